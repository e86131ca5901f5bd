"""A server for tests of retries, as a program to kill: ``repeating_server.py endpoint ledger`` says where it serves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # it is run as a script

import zerorpc
from tests.faults.ledger import Ledger


class Service:
    """``price`` may be run again, ``order`` may not. Both wait until somebody calls ``release``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._released = asyncio.Event()
        self._held = 0

    @zerorpc.idempotent
    async def price(self, number: int) -> int:
        await self._hold()
        return number

    async def order(self, number: int) -> int:
        self._ledger.enter(number)
        await self._hold()
        return number

    async def _hold(self) -> None:
        self._held += 1
        await self._released.wait()

    @zerorpc.on_loop
    def held(self) -> int:
        return self._held

    @zerorpc.on_loop
    def release(self) -> None:
        self._released.set()


def main() -> None:
    endpoint, path = sys.argv[1:]
    with zerorpc.Server(Service(Ledger(path)), heartbeat=2.0) as server:
        print(server.bind(endpoint)[0], flush=True)
        server.run()


if __name__ == "__main__":
    main()
