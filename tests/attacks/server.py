"""The server that is attacked: ``python -m tests.attacks.server LOOP [SETTING=VALUE ...]``; LOOP is uvloop or asyncio.

It prints its endpoint. The service tells how long its loop was held up, in CPU time, and what memory it took.
"""

from __future__ import annotations

import ast
import asyncio
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import zerorpc

TICK = 0.005  # s between two looks at how long the loop was held up


class Service:
    """A usual one."""

    def __init__(self) -> None:
        self._probe: asyncio.Task[None] | None = None
        self._held_up = 0.0
        self._released = threading.Event()
        self.server: Any = None

    async def echo(self, value: Any) -> Any:
        return value

    def plain(self, value: Any) -> Any:
        return value

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def block(self, seconds: float) -> None:
        self._released.wait(seconds)

    def blob(self, octets: int) -> bytes:
        return bytes(octets)

    async def items(self) -> AsyncIterator[int]:
        for number in range(1_000_000_000):
            yield number

    def plain_items(self) -> Iterator[int]:
        yield from range(1_000_000_000)

    # What the attack did

    async def connections(self) -> int:
        return len(self.server._core.hub.links)

    async def begin(self) -> None:
        """Measure from now on."""
        self._held_up = 0.0
        if self._probe is None:
            self._probe = asyncio.get_running_loop().create_task(self._look())

    async def figures(self) -> dict[str, float]:
        """The longest time that the loop did nothing else, in seconds of its thread's CPU time; threads; MB."""
        return {"held_up": self._held_up, "threads": threading.active_count(), "resident": resident(), "peak": peak()}

    async def _look(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(TICK)
            self._held_up = max(self._held_up, time.thread_time() - before)


def resident() -> float:
    """Memory of this process that is in use now, in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def peak() -> float:
    """The most that was in use so far, in MB. Not ru_maxrss, which begins with what the parent had."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1e3


def main(loop: str, *settings: str) -> None:
    if loop == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment]
    given = {name: ast.literal_eval(value) for name, _, value in (text.partition("=") for text in settings)}
    service = Service()
    server = service.server = zerorpc.Server(service, grace=0.1, **given)
    print(*server.bind("tcp://127.0.0.1:0"), flush=True)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
