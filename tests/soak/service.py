"""The service that is soaked, as a program: it prints its endpoint and serves until its stdin ends.

Arguments: ``pool_size`` and ``max_wait``, JSON, null for none.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import zerorpc
from tests.soak import state

WORK = 0.01  # s of CPU
WAIT = 0.02  # s


class Service:
    """A method for everything that a call can be."""

    async def echo(self, value: Any) -> Any:
        return value

    def copy(self, value: Any) -> Any:
        return value

    def fail(self, why: str) -> None:
        raise ValueError(why)

    async def nap(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    def block(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    async def count(self, stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            yield number

    def count_plainly(self, stop: int) -> Iterator[int]:
        yield from range(stop)

    async def ever(self) -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1
            await asyncio.sleep(0.001)

    def ever_plainly(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    def pages(self, count: int, size: int) -> Iterator[bytes]:
        for number in range(count):
            yield number.to_bytes(4, "big") * (size // 4)

    # For the overload

    def wait(self) -> None:
        time.sleep(WAIT)

    def work(self) -> None:
        """Keep a core busy."""
        end = time.thread_time() + WORK
        while time.thread_time() < end:
            sum(range(1000))

    # For the one who looks on

    @zerorpc.on_loop
    def state(self) -> dict[str, Any]:
        return state.state()

    @zerorpc.on_loop
    def pulse(self) -> dict[str, Any]:
        """What can be told while the load is on."""
        return {"rss": state.resident(os.getpid()), "descriptors": state.descriptors()}


def main() -> None:
    pool_size, max_wait = map(json.loads, sys.argv[1:])
    state.listen_to_complaints()
    state.raise_limit()
    server = zerorpc.Server(Service(), pool_size=pool_size, max_wait=max_wait)
    threading.Thread(target=stop_with_stdin, args=(server,), name="stdin").start()
    print(json.dumps({"endpoint": server.bind("tcp://127.0.0.1:0")[0]}), flush=True)
    server.run()


def stop_with_stdin(server: zerorpc.Server) -> None:
    while os.read(0, 4096):
        pass
    server.stop()


if __name__ == "__main__":
    main()
