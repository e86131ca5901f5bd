"""Serves methods of all kinds, for tools that go by ``/openapi.json``; prints where."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

import annotated_types

import zerorpc


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Service:
    def add(self, a: int, b: int = 2) -> int:
        return a + b

    async def move(self, to: Point, *, speed: float = 1.0) -> Point:
        return Point(to.x, speed)

    def paint(self, colour: Colour, on: datetime.date | None = None) -> list[str]:
        return [colour.value, str(on)]

    def many(self, points: list[Point], names: dict[str, int]) -> int:
        return len(points) + len(names)

    def limited(
        self, n: Annotated[int, annotated_types.Ge(0), annotated_types.Le(10)], kind: Literal["a", "b"] = "a"
    ) -> int:
        return n

    def octets(self, data: bytes) -> bytes:
        return data

    def money(self, amount: Decimal, of: uuid.UUID) -> Decimal:
        return amount

    def echo(self, it: Any) -> Any:
        return it

    def placed(self, a: int, /, *more: int, **named: str) -> list[int]:
        return [a, *more]

    def sets(self, some: set[int], both: tuple[int, str]) -> int:
        return len(some)

    @zerorpc.safe
    def find(self, name: str, limit: int = 3, since: datetime.datetime | None = None) -> list[str]:
        """Find some."""
        return [name]

    def count(self, stop: Annotated[int, annotated_types.Le(100)]) -> Iterator[int]:
        yield from range(stop)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    def nothing(self) -> None: ...


if __name__ == "__main__":
    server = zerorpc.Server(Service())
    print(*server.bind("http://127.0.0.1:0"), flush=True)
    server.run()
