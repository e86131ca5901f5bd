"""Several servers, each a process of its own: which of them gets the calls of one client while some of them fail."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, Program, eventually, eventually_async, run

# Not a thread of this process: it is to be stopped, and killed.
SERVER = """
import os, sys, zerorpc
server = zerorpc.Server({"pid": os.getpid}, heartbeat=30)
print(server.bind(sys.argv[1])[0])
server.run()
"""


class Serving(Program):
    def __init__(self, endpoint: str = "tcp://127.0.0.1:0") -> None:
        super().__init__(SERVER, endpoint)
        self.endpoint = self.line()
        self.pid = self.process.pid


@pytest.fixture
def servers() -> Iterator[list[Serving]]:
    with Serving() as one, Serving() as other:
        yield [one, other]


def times_out(client: Any) -> None:
    with pytest.raises(zerorpc.TimeoutExpired):
        client.pid(timeout=0.05)


def test_a_stopped_server_gets_no_calls_after_five_failures(servers: list[Serving]) -> None:
    """With the blocking client; its heartbeat would find out only after a minute."""
    stopped, good = servers
    with zerorpc.Client([one.endpoint for one in servers], timeout=PATIENCE, heartbeat=30) as client:
        eventually(lambda: {client.pid() for _ in range(2)} == {stopped.pid, good.pid})
        stopped.signal(signal.SIGSTOP)
        failed = 0
        while not client._core.calls.outliers.doubted:
            try:
                assert client.pid(timeout=0.5) == good.pid
            except zerorpc.TimeoutExpired:
                failed += 1
                assert failed <= 5
        assert {client.pid() for _ in range(20)} == {good.pid}
        good.signal(signal.SIGSTOP)  # the last one is never ejected
        for _ in range(6):
            times_out(client)
        good.signal(signal.SIGCONT)
        assert client.pid() == good.pid


def test_the_same_with_many_calls_at_once(servers: list[Serving]) -> None:
    stopped, good = servers

    async def main() -> None:
        endpoints = [one.endpoint for one in servers]
        async with zerorpc.AsyncClient(endpoints, timeout=PATIENCE, heartbeat=30) as client:
            await eventually_async(lambda: len(client._core.calls.peers) == 2)
            assert {await client.pid() for _ in range(2)} == {stopped.pid, good.pid}
            stopped.signal(signal.SIGSTOP)
            calls = [client.pid(timeout=0.5) for _ in range(20)]
            late = 0
            for call in calls:
                try:
                    assert await call == good.pid
                except zerorpc.TimeoutExpired:
                    late += 1
            assert late >= 10
            assert {await client.pid() for _ in range(20)} == {good.pid}

    run(main())
