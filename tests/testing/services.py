"""A service with methods of every kind, for the tests of what tests services."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator


class Cooler:
    """``blocked`` ends what blocks; ``cancelled`` tells which coroutines and streams were cancelled or closed."""

    def __init__(self) -> None:
        self.blocked = threading.Event()
        self.begun = threading.Event()
        self.cancelled: list[str] = []
        self.threads: set[int] = set()

    def add(self, a: int, b: int) -> int:
        return a + b

    def echo(self, value: object) -> object:
        return value

    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    def pair(self) -> tuple[int, int]:
        return 1, 2

    def unsendable(self) -> object:
        return object()

    def fails(self) -> None:
        raise ValueError("not today")

    def blocks(self) -> str:
        self.begun.set()
        self.blocked.wait()
        return "at last"

    async def aecho(self, value: object) -> object:
        return value

    async def chills(self) -> str:
        self.threads.add(threading.get_ident())
        await asyncio.sleep(0)
        return "chilled"

    async def hangs(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append("hangs")
            raise

    def count(self, stop: int) -> Iterator[int]:
        try:
            yield from range(stop)
        finally:
            self.cancelled.append("count")

    async def acount(self, stop: int) -> AsyncIterator[int]:
        try:
            for number in range(stop):
                yield number
        finally:
            self.cancelled.append("acount")

    async def drips(self) -> AsyncIterator[str]:
        yield "drop"
        await asyncio.Event().wait()
