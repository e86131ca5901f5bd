"""A service with one of each kind that the console shows in a way of its own."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import struct
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import msgspec

import zerorpc


class Gait(enum.Enum):
    WALK = "walk"
    TROT = "trot"
    GALLOP = "gallop"


@dataclasses.dataclass
class Point:
    x: float
    y: float
    label: str = ""


@dataclasses.dataclass
class Route:
    points: list[Point]
    gait: Gait = Gait.WALK
    repeat: int | None = None


class Arm:
    """Lifts and turns."""

    def lift(self, grams: Annotated[int, msgspec.Meta(ge=0, le=5000)], *, slowly: bool = False) -> str:
        """Lift something.

        ``slowly`` is for eggs.
        """
        return f"lifted {grams} g{' slowly' if slowly else ''}"

    def turn(self, *angles: float) -> list[float]:
        """Turn each joint by its angle."""
        return list(angles)


class Robot:
    """A robot that walks, looks around, and tells how warm it is.

    It stands in the cellar. Ask before you let it gallop.
    """

    def __init__(self) -> None:
        self.streaming = threading.Event()
        self.ended = threading.Event()

    def move(self, x: float, y: float = 0.0, gait: Gait = Gait.WALK) -> dict[str, Any]:
        """Go there, and tell where it stands then.

        The way is straight. What stands in it is:

        - a wall: it stops, and raises ``ValueError``
        - a cat: it waits
        """
        if x < 0:
            raise ValueError(f"there is a wall at {x}")
        return {"x": x, "y": y, "gait": gait.value, "battery": {"volts": 12.4, "cells": [4.1, 4.2, 4.1]}}

    def follow(self, route: Route, until: datetime.datetime | None = None) -> int:
        """Walk along a route; how many points it has."""
        return len(route.points)

    def meet(self, at: Point | None = None, sure: bool | None = None) -> str:
        """Be there."""
        return f"{at} {sure}"

    @zerorpc.safe
    def parts(self) -> list[dict[str, Any]]:
        """What it is made of."""
        names = ("knee", "hip", "neck", "wrist", "elbow", "ankle")
        return [
            {"part": name, "hours": 120 * number, "worn": number > 3, "last oiled": f"2026-0{number + 1}-14"}
            for number, name in enumerate(names)
        ]

    @zerorpc.safe
    def map(self, size: Annotated[int, msgspec.Meta(ge=2, le=200)] = 48) -> list[list[float]]:
        """The cellar from above, as heights."""
        return [
            [round(math.sin(row / size * 9) * math.cos(column / size * 7) + row / size, 3) for column in range(size)]
            for row in range(size)
        ]

    def picture(self) -> bytes:
        """What it sees just now, as PNG."""
        return png(64, 40)

    async def temperature(self, seconds: float = 60.0) -> AsyncIterator[dict[str, float]]:
        """How warm its motors are, twenty times a second."""
        import asyncio

        try:
            for number in range(int(seconds * 20)):
                left = 41 + 3 * math.sin(number / 9) + number / 60
                yield {"left": round(left, 2), "right": round(39 + 2 * math.cos(number / 14), 2)}
                self.streaming.set()
                await asyncio.sleep(0.05)
        finally:
            self.ended.set()

    def count(self, stop: int = 10) -> Iterator[int]:
        """Count."""
        yield from range(stop)

    def stumble(self, after: int = 3) -> Iterator[int]:
        """Walk, and fall."""
        yield from range(after)
        raise RuntimeError("it stumbled")

    def say(self, text: str, volume: Literal["low", "high"] = "low", password: str = "") -> str:
        """Say it aloud."""
        return text.upper() if volume == "high" else text

    def total(self, items: Iterator[float]) -> float:
        """The sum of what is sent."""
        return sum(items)

    def echo(self, value, *more, **named):  # type: ignore[no-untyped-def]
        """Whatever it is, back."""
        return [value, *more, named] if more or named else value

    def store(self, image: bytes, big: int = 2**60, day: datetime.date = datetime.date(2026, 1, 31)) -> str:
        """Keep a picture."""
        return f"{len(image)} bytes, {big}, {day}"

    def wait(self, seconds: float = 60.0) -> str:
        """Take its time."""
        self.streaming.set()
        time.sleep(seconds)
        return "rested"


def png(width: int, height: int) -> bytes:
    """A picture of a sunset."""
    rows = b"".join(
        b"\0" + b"".join(bytes((255 - 3 * row, 120 - row, 60 + 2 * column)) for column in range(width))
        for row in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def robot_server(robot: Robot | None = None, **settings: Any) -> zerorpc.Server:
    """Of the robot and its arm, not bound to anything."""
    server = zerorpc.Server(robot or Robot(), **settings)
    server.register(Arm(), "arm")
    return server
