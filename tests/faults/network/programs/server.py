"""The service of the cases: enters each call in the ledger when it begins, and tells of those that are ended early.

Arguments: the ledger, where to serve, the heartbeat, and perhaps the file for the answers to calls with a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import zerorpc
from tests.faults.ledger import Ledger
from tests.faults.network.programs.lines import obey, tell


class Service:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._released = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def work(self, call_id: int, seconds: float) -> int:
        """Take some time, on the loop."""
        with self._run(call_id):
            await asyncio.sleep(seconds)
        return call_id

    def plain(self, call_id: int, seconds: float) -> int:
        """Take some time, on a thread."""
        with self._run(call_id):
            time.sleep(seconds)
        return call_id

    async def hold(self, call_id: int) -> int:
        """Wait for {"do": "release"}."""
        with self._run(call_id):
            self._loop = asyncio.get_running_loop()
            await self._released.wait()
        return call_id

    @zerorpc.idempotent
    async def hold_idempotent(self, call_id: int) -> int:
        return await self.hold(call_id)

    async def ticks(self, call_id: int, seconds: float) -> AsyncIterator[int]:
        """Stream numbers without end."""
        with self._run(call_id):
            number = 0
            while True:
                yield number
                number += 1
                await asyncio.sleep(seconds)

    def blocks(self, call_id: int, size: int) -> Iterator[bytes]:
        """Stream octets without end, as fast as they are taken."""
        with self._run(call_id):
            while True:
                yield bytes(size)

    def result(self, call_id: int, size: int) -> bytes:
        """Answer with so many octets."""
        with self._run(call_id):
            return bytes(size)

    def take(self, call_id: int, data: bytes) -> int:
        with self._run(call_id):
            return call_id

    def _obey(self, order: dict[str, Any]) -> None:
        """To release what is held; not before something is."""
        assert order == {"do": "release"}
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._released.set)

    @contextlib.contextmanager
    def _run(self, call_id: int) -> Iterator[None]:
        self._ledger.enter(call_id)
        try:
            yield
        except BaseException as error:
            tell(stopped=call_id, how=type(error).__name__, at=time.monotonic())
            raise


def main() -> None:
    path, endpoint, heartbeat, *answers = sys.argv[1:]
    service = Service(Ledger(path))
    obey(service._obey)
    settings = {"heartbeat": float(heartbeat), "answers": answers[0] if answers else None}
    with zerorpc.Server(service, grace=0, **settings) as server:
        server.bind(endpoint)
        tell(ready=endpoint)
        server.run()


if __name__ == "__main__":
    main()
