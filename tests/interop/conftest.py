"""Fixtures of the interoperability tests, and the output of other programs beside the test that failed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.interop.either_peer import SERVERS
from tests.interop.programs import LIVE
from tests.interop.raw_zmq import Sockets


@pytest.fixture
def new_ipc() -> Iterator[Callable[[], str]]:
    """Makes ipc endpoints, short enough for a socket's path (107 bytes) wherever the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="zi-", dir="/tmp"))
    numbers = iter(range(1000))
    yield lambda: f"ipc://{folder}/{next(numbers)}"
    shutil.rmtree(folder)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with contextlib.closing(Sockets()) as sockets:
        yield sockets


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Makes calls on threads while the test does something else, such as to play the server."""
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture(scope="module", params=SERVERS.values(), ids=SERVERS)
def older(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where zerorpc 0.6.3 serves, or Node."""
    with request.param("--bind", "tcp://127.0.0.1:0") as server:
        yield server.endpoint


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed:
        report.sections += [(f"stderr of {program!r}", program.stderr()) for program in LIVE]
    return report
