"""A service with a method for each thing that may become of a call, and who may call it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import msgspec

import zerorpc
from tests.service.running import PATIENCE

USER, PASSWORD = "alice", "wonderland"
PIXEL = b"\x89PNG\r\n\x1a\n the rest of a picture"


class Axis(enum.Enum):
    X = "x"
    Y = "y"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class NoPower(Exception):
    pass


class Robot:
    """Whoever tests it sets and reads its events."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.cancelled = threading.Event()
        self.free = threading.Event()

    # Results

    async def add(self, a: int, b: int = 2) -> int:
        return a + b

    def echo(self, value: Any) -> Any:
        return value

    def nothing(self) -> None:
        pass

    @zerorpc.on_loop
    def axis(self, axis: Axis) -> str:
        return axis.name

    def mirrored(self, point: Point) -> Point:
        return Point(-point.x, -point.y)

    def next_day(self, day: datetime.date) -> datetime.date:
        return day + datetime.timedelta(1)

    def half(self, price: decimal.Decimal) -> decimal.Decimal:
        return price / 2

    def named(self, *, name: str, times: Annotated[int, msgspec.Meta(ge=0, le=3)] = 1) -> str:
        return name * times

    def gear(self, gear: Literal["low", "high"] | None = None) -> str:
        return gear or "none"

    def picture(self) -> bytes:
        return PIXEL

    @zerorpc.process
    @staticmethod
    def apart(numbers: list[int]) -> int:
        return sum(numbers)

    def caller(self) -> str | None:
        call = zerorpc.current_call()
        return None if call is None else call.identity

    # Streams

    def count(self, stop: int) -> Iterator[int]:
        yield from range(stop)

    async def acount(self, stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            yield number

    def points(self) -> Iterator[Point]:
        yield Point(1)
        yield Point(2)

    def breaks(self) -> Iterator[int]:
        yield 1
        yield 2
        raise NoPower("in the middle")

    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    # Errors

    def fail(self) -> None:
        raise ValueError("no such luck")

    async def no_power(self) -> None:
        raise NoPower("empty: 0 V")

    def forbids(self) -> None:
        raise PermissionError("not on Sundays")

    def odd(self) -> object:
        return object()

    def secret(self) -> str:
        return "hidden"

    def secrets(self) -> Iterator[str]:
        yield "hidden"

    # That take their time

    async def waits(self) -> str:
        self.running.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled.set()
        return "never"

    async def ever(self) -> AsyncIterator[int]:
        self.running.set()
        try:
            await asyncio.sleep(PATIENCE)
            yield 1
        finally:
            self.cancelled.set()

    async def occupy(self) -> None:
        self.running.set()
        assert await asyncio.to_thread(self.free.wait, PATIENCE)


def authenticate(caller: zerorpc.Caller) -> str | None:
    return USER if (caller.user, caller.password) == (USER, PASSWORD) else None


def may_call(identity: str, method: str) -> bool:
    return not method.startswith("secret")
