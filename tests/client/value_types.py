"""A value of each type that MessagePack lacks, and one of those that it has."""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import math
import uuid
from decimal import Decimal
from typing import Any

import numpy as np

import zerorpc

__all__ = ["NATURAL", "NUMBERS", "TO_OLDER", "Direction", "Point", "same"]

HALF_PAST_FIVE = datetime.timezone(datetime.timedelta(hours=5, minutes=30, seconds=15))
DAY = datetime.date(2026, 11, 27)


class Direction(enum.Enum):
    UP = "up"


class Point:
    """A class that is registered."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __repr__(self) -> str:
        return f"Point({self.x!r}, {self.y!r})"

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)


zerorpc.register_type(63, Point, lambda point: [point.x, point.y], lambda parts: Point(*parts))


@dataclasses.dataclass
class Reading:
    when: datetime.date
    tags: set[str]


NATURAL: dict[str, Any] = {
    "int of 65 bits": 2**64,
    "large int": -(3**500),
    "smallest": -(2**63) - 1,
    "set": {1, "two", None},
    "empty set": set(),
    "frozenset": frozenset([(1, (2, "x")), b"octets"]),
    "nested set": {frozenset([1, frozenset()]), 2},
    "large set": set(range(1000)),
    "complex": complex(-0.0, math.inf),
    "naive datetime": datetime.datetime(2026, 11, 27, 12, 30, 15, 123456),
    "aware datetime": datetime.datetime(2026, 11, 27, 12, tzinfo=HALF_PAST_FIVE),
    "utc": datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
    "last datetime": datetime.datetime.max,
    "date": DAY,
    "time": datetime.time(1, 2, 3, 4),
    "aware time": datetime.time(1, tzinfo=HALF_PAST_FIVE),
    "timedelta": datetime.timedelta(-1, 86_399, 999_999),
    "longest": datetime.timedelta.max,
    "decimal": Decimal("-1.10E+400"),
    "decimal nan": Decimal("NaN"),
    "uuid": uuid.UUID(int=2**128 - 1),
    "map of dates": {DAY: 1, (1, DAY): [2], "text": {2**70: None}},
    "map of tuples with dates": {(1, DAY): 2},
    "own type": Point(1, [DAY, {2}]),
    "own type as a key": {Point(1, 2): Point(Point(3, 4), 5)},
    "array": array.array("d", [1.5, -math.inf]),
    "array of long": array.array("l", [-1, 2**31]),
    "empty array": array.array("H"),
    "memoryview": memoryview(array.array("i", [1, 2, 3])),
    "memoryview of two dimensions": memoryview(bytes(range(12))).cast("B", (3, 4)),
    "numpy": np.arange(6, dtype=np.float32).reshape(2, 3),
    "numpy, other way round": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "numpy, every second": np.arange(10)[::2],
    "numpy, big-endian": np.array([1, 2], ">i2"),
    "numpy, empty": np.zeros((0, 3)),
    "numpy, no dimension": np.array(5, np.uint8),
    "numpy, times": np.array(["2026-11-27", "NaT"], "M8[D]"),
    "numpy, times of a pickle of NumPy 2.3": np.array(["2026-11-27", "NaT"], np.dtype("M8[us]", metadata={})),
    "numpy, records with these": np.zeros(2, [("when", np.dtype("M8[us]", metadata={})), ("value", "f8")]),
    "numpy, texts": np.array(["a", "long"]),
    "numpy, records": np.array([("a", (1, 2))], [("name", "U3"), ("pair", "<i4", (2,))]),
    "numpy, truths": np.array([True, False]),
    "numpy datetime": np.datetime64("2026-11-27T12", "s"),
}
# which an older peer gets as Python's
NUMBERS: dict[str, Any] = {"numpy float": np.float64(1.5), "numpy int": np.int8(-3)}
# and the others, with what the error says to send
TO_OLDER: dict[str, tuple[Any, str]] = {
    "set": ({1}, r"values of type set \(it takes a list\)"),
    "date": (DAY, r"values of type datetime.date \(it takes its isoformat\(\)\)"),
    "decimal": (Decimal(1), r"values of type decimal.Decimal \(it takes its text\)"),
    "large int": (2**70, r"values of type int \(it takes a text\)"),
    "numpy": (np.zeros(2), r"values of type numpy.ndarray \(it takes its tolist\(\)\)"),
    "numpy bool": (np.bool_(True), r"values of type numpy.bool_? \(it takes its item\(\)\)"),
    "enum": (Direction.UP, r"values of type tests.client.value_types.Direction \(it takes its value\)"),
    "own type": (Point(1, 2), r"values of type tests.client.value_types.Point \(it takes what it consists of\)"),
    "memoryview": (memoryview(array.array("i", [1])), r"values of type memoryview \(it takes its tobytes\(\)\)"),
    "map of dates": ({DAY: 1}, r"values of type datetime.date \(it takes its isoformat\(\)\)"),
    "in a dataclass": (Reading(DAY, set()), r"values of type datetime.date .*values of type set "),
}


def same(left: Any, right: Any) -> bool:
    """Equal in value and type, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and bytes(left.tobytes()) == right.tobytes()
    if isinstance(left, memoryview):
        return (left.format, left.shape, left.tobytes()) == (right.format, right.shape, right.tobytes())
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, set | frozenset):
        return left == right and sorted(map(repr, map(type, left))) == sorted(map(repr, map(type, right)))
    if isinstance(left, Point):
        return same([left.x, left.y], [right.x, right.y])
    return repr(left) == repr(right)
