"""A service with tools. It stands alone: its process method imports this module, and the SDK takes a second or more."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator

import zerorpc
from tests.service.running import PATIENCE

PIXEL = b"\x89PNG\r\n\x1a\n the rest of a picture"


class Lab:
    """A lab with a stage and a lamp.

    Home the stage before you move it."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.stopped = threading.Event()
        self.free = threading.Event()
        self.made = 0

    @zerorpc.tool
    @zerorpc.safe
    def add(self, a: int, b: int = 2) -> int:
        """Add two numbers.

        They may be negative."""
        return a + b

    @zerorpc.tool(destructive=True)
    @zerorpc.idempotent
    async def move(self, to: dict[str, float]) -> dict[str, float]:
        return to

    @zerorpc.tool
    def count(self, stop: int) -> Iterator[int]:
        for number in range(stop):
            self.made = number + 1
            yield number

    @zerorpc.tool
    async def acount(self, stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            yield number

    @zerorpc.tool
    @staticmethod
    @zerorpc.process
    def apart(octets: bytes) -> list[int]:
        return [os.getpid(), len(octets)]

    @zerorpc.tool
    def reversed(self, octets: bytes) -> bytes:
        return octets[::-1]

    @zerorpc.tool
    def picture(self) -> bytes:
        return PIXEL

    @zerorpc.tool
    def pictures(self) -> Iterator[bytes]:
        yield PIXEL
        yield PIXEL

    @zerorpc.tool
    def fail(self) -> None:
        raise ValueError("no such luck")

    @zerorpc.tool
    def breaks(self) -> Iterator[int]:
        yield 1
        raise ValueError("in the middle")

    @zerorpc.tool
    async def waits(self) -> str:
        import asyncio

        self.running.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.stopped.set()
        return "never"

    @zerorpc.tool
    def reports(self) -> str:
        zerorpc.progress(1, 2, "half")
        self.running.set()
        assert self.free.wait(PATIENCE)
        return "done"

    def secret(self) -> str:
        return "hidden"
