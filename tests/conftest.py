"""What every test gets: a short ipc endpoint to ask for, and a check that it leaves nothing behind.

And what keeps a run of all tests short: their order, and which are measured for coverage.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

# The same examples in every run, and no deadline that a slow machine would miss.
hypothesis.settings.register_profile("zerorpc", derandomize=True, deadline=None)
hypothesis.settings.load_profile("zerorpc")

# A shell that starts us in the background has Ctrl-C ignored, by us and so by all programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whoever runs the tests may know servers, have keys of their own, and call one server most often.
os.environ["XDG_CONFIG_HOME"] = os.path.join(tempfile.gettempdir(), "zerorpc-tests-without-settings")
os.environ.pop("ZERORPC_ADDRESS", None)
os.environ["ZERORPC_NO_HISTORY"] = "1"  # nor is it to be remembered what tests call

ROOT = Path(__file__).parents[1]

# Files that take the longest, these first: so pytest-xdist's workers come to their ends at about the same time.
LONGEST = [
    "tests/cli/test_programs.py",
    "tests/runtime/test_signals.py",
    "tests/test_readme.py",
    "tests/test_site.py",
    "tests/server/test_server.py",
    "tests/server/test_supervisor.py",
    "tests/transport/test_blocking.py",
    "tests/test_costs.py",
    "tests/interop/test_wsgi.py",
    "tests/service/test_evil_errors.py",
    "tests/interop/test_liveness.py",
    "tests/interop/test_node_liveness.py",
    "tests/one_way/test_outbox.py",
    "tests/one_way/test_inbox.py",
    "tests/faults/processes/test_cases.py",
    "tests/faults/network/test_network.py",
    "tests/client/test_blocking.py",
    "tests/client/test_several.py",
    "tests/service/test_process_pool.py",
    "tests/service/test_process_jobs.py",
    "tests/model/test_model.py",
]

# Coverage doubles what a test takes, and a program that it starts needs 150 ms more. So it leaves out tests with other
# programs, which say how two programs do together, and long files that run the same lines as other files do.
UNMEASURED = (
    "tests/attacks/",
    "tests/benchmarks/",
    "tests/conformance/",
    "tests/faults/",
    "tests/fuzz/",
    "tests/interop/",
    "tests/soak/",
    "tests/cli/test_programs.py",
    "tests/client/test_several.py",
    "tests/runtime/test_signals.py",
    "tests/server/test_server.py",
    "tests/service/test_evil_errors.py",
    "tests/service/test_process_pool.py",
    "tests/test_grpc_cases.py",
    "tests/test_readme.py",
    "tests/test_site.py",
    "tests/transport/test_blocking_nested.py",
)

GRACE = 5.0  # seconds for a thread already on its way out; a loaded machine is slow to let it run


@pytest.fixture
def ipc_endpoint() -> Iterator[str]:
    """An ipc endpoint of its own; tmp_path is often too long for AF_UNIX (107 bytes, 103 on macOS)."""
    short = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="zerorpc-", dir=short) as folder:
        yield f"ipc://{folder}/s"


@pytest.fixture
def no_second_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of a blocking client look up now and then, in case they were not told of something: here they don't.

    So what is found at such a look only is never found, and the test fails without a clock.
    """
    for name in ("polling._POLL_LONGEST", "leading._LEAD_LONGEST", "leading._LOOK_UP"):
        monkeypatch.setattr(f"zerorpc.transport.{name}", 3600.0)
    monkeypatch.setattr("zerorpc.transport.polling._POLL_LONGEST_MS", 3_600_000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests log what is no text, such as half a character; the pipes of pytest-xdist take only text."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {path: place for place, path in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(_path(item), len(places)))


def _path(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module", autouse=True)
def measured_or_not(request: pytest.FixtureRequest) -> Iterator[None]:
    """Under coverage, it looks away while the tests of UNMEASURED run, and from the programs that they start."""
    tracer, threads_tracer = sys.gettrace(), threading.gettrace()
    if "COVERAGE_PROCESS_CONFIG" not in os.environ or not _path(request.node).startswith(UNMEASURED):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG")
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        yield
    sys.settrace(tracer)
    threading.settrace(threads_tracer)


@pytest.fixture(scope="module", autouse=True)
def collected_at_last() -> Iterator[None]:
    """What a file's tests had in common, or dropped in another test than the one that made it, is collected with it.

    What was there before its first test is out of the collector's sight: pytest's own, and what all files have
    imported. Else to collect takes 20 ms after each test and 300 after all, more than most tests do.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_left_behind(collected_at_last: None) -> Iterator[None]:
    """Fails a test that leaves a thread, or of which asyncio complains ("Task was destroyed", ...).

    Sockets never closed and coroutines never awaited are warnings, and those are errors already; collecting
    here makes them show in the test that is to blame and not in a later one.
    """
    gc.collect()
    before = set(threading.enumerate())
    with _Complaints() as complaints:
        yield
        left = _left_threads(before)
        gc.collect()
    assert not left, f"threads left behind: {left}"
    assert not complaints.messages, "\n".join(complaints.messages)


def _left_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    new = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
    for thread in new:
        thread.join(GRACE)
    return [thread for thread in new if thread.is_alive()]


class _Complaints(logging.Handler):
    """Collects the errors that asyncio logs: so it tells of tasks and exceptions that nobody waits for."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def __enter__(self) -> _Complaints:
        logging.getLogger("asyncio").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("asyncio").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))
