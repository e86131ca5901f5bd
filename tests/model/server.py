"""A server that the clients under test call, in a process of its own: ``python -m tests.model.server ENDPOINT LEDGER``.

Every method enters its call into the ledger before anything else. The server ends with its stdin. SIGUSR2 has it show
its stacks.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import zerorpc
from tests.faults.ledger import Ledger

GRACE = 0.3  # s that running calls get when it is stopped


class Service:
    def __init__(self, ledger: Ledger) -> None:
        self._enter = ledger.enter
        self._hub: Any = None

    async def echo(self, call_id: int) -> int:
        return self._enter(call_id)

    def plain(self, call_id: int) -> int:
        return self._enter(call_id)

    async def slow(self, call_id: int, seconds: float) -> int:
        self._enter(call_id)
        await asyncio.sleep(seconds)
        return call_id

    def slow_plain(self, call_id: int, seconds: float) -> int:
        self._enter(call_id)
        time.sleep(seconds)
        return call_id

    async def items(self, call_id: int, count: int, pause: float) -> AsyncIterator[int]:
        self._enter(call_id)
        for number in range(count):
            if pause:
                await asyncio.sleep(pause)
            yield call_id + number

    def plain_items(self, call_id: int, count: int, pause: float) -> Iterator[int]:
        self._enter(call_id)
        for number in range(count):
            time.sleep(pause)
            yield call_id + number

    async def open_channels(self) -> list[str]:
        """But this very call's."""
        channels = [channel for link in self._hub.links for channel in link.peer.channels.values()]
        return [f"{c} {c.args} {c.runner} {c.peer}" for c in channels if c.name != "open_channels"]


def end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def main(endpoint: str, ledger: str) -> None:
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    service = Service(Ledger(ledger))
    server = zerorpc.Server(service, grace=GRACE)
    service._hub = server._core.hub
    server.bind(endpoint)
    threading.Thread(target=end_with_stdin, daemon=True).start()
    print("ready", flush=True)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
