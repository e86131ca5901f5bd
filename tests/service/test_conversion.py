"""What each annotation makes of the values that can come, and what it says of those that it excludes."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import pathlib
import sys
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import annotated_types
import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from numpy.typing import NDArray

from zerorpc.remote_objects import RemoteFunction, RemoteObject
from zerorpc.service.conversion import converter_of
from zerorpc.service.mismatch import Mismatch, Unsupported

UTC = datetime.UTC
T = TypeVar("T")
Number = TypeVar("Number", int, float)
Word = TypeVar("Word", bound=str)
Volts = NewType("Volts", float)


class Axis(enum.Enum):
    X = "x"
    Y = "y"


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Number2(enum.Enum):
    ONE = 1


class Bits(enum.Flag):
    A = 1
    B = 2


class Mixed(enum.Enum):
    ONE = 1
    B = "b"
    PAIR = (1, 2)


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Positive:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n is below 0")


@attrs.define
class Pose:
    at: Point
    angle: float


class Struct(msgspec.Struct):
    axis: Axis
    when: datetime.date


class Row(NamedTuple):
    name: str
    points: list[Point]


class Options(TypedDict, total=False):
    speed: float


class Model(pydantic.BaseModel):
    n: int
    tags: list[str] = []


@dataclasses.dataclass
class Holds:
    model: Model


class Box(msgspec.Struct, Generic[T]):
    inside: T


class Motor:
    pass


class Moves(Protocol):
    def move(self) -> None: ...


class _Lease:
    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        raise AssertionError

    def release(self) -> None: ...


LENT = RemoteObject(_Lease())
FUNCTION = RemoteFunction(_Lease(), "f")
DAY, UUID = datetime.date(2026, 11, 27), uuid.UUID(int=7)
MOMENT = datetime.datetime(2026, 11, 27, 12, 0, tzinfo=UTC)

TAKEN: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (int, 2**70, 2**70),
    (float, 3, 3.0),
    (bool, True, True),
    (str, "a", "a"),
    (bytes, b"a", b"a"),
    (bytearray, b"a", bytearray(b"a")),
    (None, None, None),
    (list, [1, "a"], [1, "a"]),
    (dict, {1: "a"}, {1: "a"}),
    (list[int], [1, 2], [1, 2]),
    (Sequence[float], [1], [1.0]),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (set[int], [1, 1], {1}),
    (frozenset[Axis], ["x"], frozenset([Axis.X])),
    (dict[int, Axis], {1: "y"}, {1: Axis.Y}),
    (int | None, None, None),
    (int | str, "a", "a"),
    (typing.Optional[Axis], "x", Axis.X),  # noqa: UP045 - as it is often written
    (Literal[1, "fast"], "fast", "fast"),
    (Volts, 3, 3.0),
    (Word, "a", "a"),
    (Number, 3, 3),
    (Number, 3.5, 3.5),
    (Axis, "x", Axis.X),
    (Axis, Axis.Y, Axis.Y),
    (Level, 1, Level.LOW),
    (Rights, 3, Rights.READ | Rights.WRITE),
    (Mixed, 1, Mixed.ONE),
    (Mixed, "b", Mixed.B),
    (Mixed, [1, 2], Mixed.PAIR),
    (Point, {"x": 1}, Point(1.0)),
    (Point, Point(1.0), Point(1.0)),
    (Pose, {"at": {"x": 1, "y": 2}, "angle": 3}, Pose(Point(1.0, 2.0), 3.0)),
    (Struct, {"axis": "x", "when": "2026-11-27"}, Struct(Axis.X, DAY)),
    (Row, ["a", [{"x": 1}]], Row("a", [Point(1.0)])),
    (Options, {"speed": 1}, {"speed": 1.0}),
    (Box[int], {"inside": 1}, Box(1)),
    (datetime.date, "2026-11-27", DAY),
    (datetime.date, DAY, DAY),
    (datetime.datetime, "2026-11-27T12:00:00Z", MOMENT),
    (datetime.datetime, "2026-11-27T12:00:00", MOMENT.replace(tzinfo=None)),
    (datetime.time, "12:00:00", datetime.time(12)),
    (datetime.timedelta, "PT1M30S", datetime.timedelta(seconds=90)),
    (datetime.timedelta, 1.5, datetime.timedelta(seconds=1.5)),
    (datetime.timedelta | None, -90, datetime.timedelta(seconds=-90)),
    (datetime.timedelta | float, 1.5, 1.5),
    (complex, [1, -2.5], 1 - 2.5j),
    (Annotated[datetime.timedelta | None, "x"], 1.5, datetime.timedelta(seconds=1.5)),
    (Number2, Number2.ONE, Number2.ONE),
    (list[Number2], [Number2.ONE, 1], [Number2.ONE, Number2.ONE]),
    (dict[Number2, Number2], {Number2.ONE: 1}, {Number2.ONE: Number2.ONE}),
    (set[Number2], {Number2.ONE}, {Number2.ONE}),
    (Number2 | None, Number2.ONE, Number2.ONE),
    (Bits, Bits.A, Bits.A),
    (collections.deque[int], [1], collections.deque([1])),
    (collections.deque, [1, "a"], collections.deque([1, "a"])),
    (collections.Counter[str], {"a": 2}, collections.Counter("aa")),
    (collections.OrderedDict[str, int], {"a": 2}, collections.OrderedDict(a=2)),
    (collections.defaultdict[str, int], {"a": 2}, collections.defaultdict(int, a=2)),
    (list[complex], [[1, 2], 3], [1 + 2j, 3 + 0j]),
    (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
    (decimal.Decimal, 1.5, decimal.Decimal("1.5")),
    (uuid.UUID, str(UUID), UUID),
    (pathlib.Path, "/a", pathlib.Path("/a")),
    (pathlib.PurePosixPath, "/a", pathlib.PurePosixPath("/a")),
    (str | pathlib.Path, "/a", "/a"),
    (pathlib.Path | int, "/a", pathlib.Path("/a")),
    (ipaddress.IPv4Address, "127.0.0.1", ipaddress.IPv4Address("127.0.0.1")),
    (zoneinfo.ZoneInfo, "UTC", zoneinfo.ZoneInfo("UTC")),
    (complex, 1.5, 1.5 + 0j),
    (collections.deque, [1], collections.deque([1])),
    (collections.OrderedDict, {"a": 1}, collections.OrderedDict(a=1)),
    (list[pathlib.Path], ["/a"], [pathlib.Path("/a")]),
    (list[int] | set[str], ["a"], {"a"}),
    (Annotated[int, msgspec.Meta(ge=3)], 3, 3),
    (Annotated[int, annotated_types.Gt(3)], 4, 4),
    (Annotated[list[Annotated[int, annotated_types.Le(3)]], annotated_types.Len(1, 2)], [3], [3]),
    (Annotated[int, "a remark"], 3, 3),
    (Positive, {"n": 1}, Positive(1)),
    (Model, {"n": 1}, Model(n=1)),
    (list[Model], [{"n": 1, "tags": ["a"]}], [Model(n=1, tags=["a"])]),
    (Annotated[int, pydantic.Field(gt=3)], 4, 4),
    (Model | None, None, None),
    (Callable[[int], int], FUNCTION, FUNCTION),
    (Callable, FUNCTION, FUNCTION),
    (Callable[[], None] | None, None, None),
    (Motor, LENT, LENT),
    (Motor | None, LENT, LENT),
    (Motor | int, 3, 3),
    (Moves, LENT, LENT),
    (np.float32, 1.5, np.float32(1.5)),
    (np.int64, 3, np.int64(3)),
    (list[np.float32], [1], [np.float32(1)]),
    (Holds, {"model": {"n": 1}}, Holds(Model(n=1))),
]

EXCLUDED: list[tuple[Any, Any, str | tuple[str, ...]]] = [
    (int, "3", ": expected int, got str"),
    (int, 3.5, ": expected int, got float"),
    (int, True, ": expected int, got bool"),
    (float, "1.5", ": expected float, got str"),
    (bool, 1, ": expected bool, got int"),
    (str, b"a", ": expected str, got bytes"),
    (bytes, "YQ==", ": expected bytes, got str"),
    (None, 3, ": expected None, got int"),
    (list[int], [1, "a"], "[1]: expected int, got str"),
    (list[int], {"a": 1}, ": expected list, got dict"),
    (dict[str, int], {1: 1}, ": of a key: expected str, got int"),
    (dict[str, list[int]], {"a": [1, None]}, "[...][1]: expected int, got None"),
    (tuple[int, str], [1], ": expected list of length 2, got 1"),
    (int | None, "a", ": expected int | None, got str"),
    (Literal[1, "fast"], "slow", ": expected 1, 'fast', got 'slow'"),
    (Word, 3, ": expected str, got int"),
    (Number, "a", ": expected int | float, got str"),
    (Axis, "z", ": expected Axis ('x', 'y'), got 'z'"),
    (Axis, "X", ": expected Axis ('x', 'y'), got 'X'"),  # its name is not its value
    (Axis, 1, ": expected Axis ('x', 'y'), got 1"),
    (Axis, "z" * 1000, ": expected Axis ('x', 'y'), got 'zzzzzzzzzzzz...zzzzzzzzzzzzz'"),
    (list[Axis], ["x", "z"], "[1]: invalid enum value 'z'"),
    (Mixed, 2, ": expected Mixed (1, 'b', (1, 2)), got 2"),
    (Point, {"x": "a"}, ".x: expected float, got str"),
    (Point, {"y": 1}, ": missing required field x"),
    (Point, [1, 2], ": expected dict, got list"),
    (Pose, {"at": {"x": None}, "angle": 3}, ".at.x: expected float, got None"),
    (Row, ["a", [{"x": 1}, {}]], "[1][1]: missing required field x"),
    (datetime.date, "27.11.2026", ": invalid RFC3339 encoded date"),
    (datetime.date, 3, ": expected date, got int"),
    (decimal.Decimal, "much", ": invalid decimal string"),
    (uuid.UUID, "7", ": invalid UUID"),
    (pathlib.Path, 3, ": expected Path, got int"),
    (list[pathlib.Path], [3], "[0]: expected Path, got int"),
    (str | pathlib.Path, 3, ": expected str | Path, got int"),
    (ipaddress.IPv4Address, "localhost", ": addressValueError: Expected 4 octets in 'localhost'"),
    (zoneinfo.ZoneInfo, "../../etc/passwd", ": valueError: "),
    (complex, "1+2j", ": expected complex, got str"),
    (complex, [1, 2, 3], ": valueError: too many values to unpack"),
    (complex, [1], ": valueError: not enough values"),
    (complex, ["1", 2], ": typeError: complex() can't take second arg"),
    (datetime.timedelta, True, ": expected duration, got bool"),
    (datetime.timedelta, float("nan"), ": cannot convert float NaN to integer"),
    (datetime.timedelta, 1e300, ": "),
    (Annotated[int, msgspec.Meta(ge=3)], 2, ": expected int >= 3"),
    (Annotated[int, annotated_types.Gt(3)], 3, ": expected int >= 4"),
    (Annotated[str, annotated_types.MinLen(2)], "a", ": expected str of length >= 2"),
    (Annotated[list[Annotated[int, annotated_types.Le(3)]], annotated_types.Len(1, 2)], [4], "[0]: expected int <= 3"),
    (Annotated[list[int], annotated_types.Len(1, 2)], [1, 2, 3], ": expected list of length <= 2"),
    (Positive, {"n": -1}, ": n is below 0"),
    (Model, {"n": "many"}, ".n: input should be a valid integer, unable to parse string as an integer"),
    (list[Model], [{"n": 1}, {"n": 1, "tags": [3]}], "[1].tags[0]: input should be a valid string"),
    (Annotated[int, pydantic.Field(gt=3)], 3, ": input should be greater than 3"),
    (Callable[[int], int], 3, ": expected a function, got int"),
    (Motor, {}, ": expected Motor, got dict"),
    (Motor | int, "a", ": expected Motor | int, got str"),
    (np.float32, "a", ": expected float32, got str"),
    (NDArray[np.int32], [1.5], ": "),
    (NDArray[np.int8], [300], ": a number is too large for int8"),
    (NDArray[np.uint8], [-1], ": a number is too large for uint8"),
    (NDArray[np.uint8], [1.0], ": expected uint8, got float64"),
    (NDArray[np.float32], [1e300], ": a number is too large for float32"),
    (list[NDArray[np.float32]], [["a"]], "[0]: expected numbers, got <U1"),
    (list[NDArray[np.int8]], [np.array(["a"])], "[0]: expected numbers, got <U1"),
    (NDArray[np.int64], np.arange(3.0), ": expected int64, got float64"),
    (list[int], np.zeros(5_000_000, np.uint8), ": expected a list, got an array of more than 4,000,000 numbers"),
    (list[int], array.array("b", bytes(5_000_000)), ": expected a list, got an array of more than 4,000,000 numbers"),
    (dict, np.arange(3), (": expected dict, got list", ": AttributeError: ")),  # the second before msgspec 0.23
    (set[Any], [[1]], ("[0]: expected a hashable value, got list", ": TypeError: unhashable type: 'list'")),
    (collections.deque[int], ["a"], ": [0] expected int, got str"),
    (collections.OrderedDict[str, int], {"a": "x"}, ": [...] expected int, got str"),
    (collections.Counter[str], {"a": "x"}, ": [...] expected int, got str"),
    (np.int64, 1.5, ": expected int64, got float"),
    (np.int64, True, ": expected int64, got bool"),
    (list[np.float32], ["a"], "[0]: expected float32, got str"),
    (Holds, {"model": {"n": "many"}}, ".model: n input should be a valid integer"),
    (NDArray[np.float32], [["a"]], ": expected numbers, got <U1"),
    (NDArray[np.float32], 3, ": expected ndarray, got int"),
]

ANYTHING = [Any, object, T, int | Any]


def shown(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation)


@pytest.mark.parametrize(("annotation", "value", "made"), TAKEN, ids=[f"{shown(a)} {v!r:.30}" for a, v, _ in TAKEN])
def test_what_an_annotation_makes_of_a_value(annotation: Any, value: Any, made: Any) -> None:
    convert = converter_of(annotation)
    assert convert is not None
    result = convert(value)
    assert result == made
    assert type(result) is type(made)
    assert convert(result) == made, "what is it already passes"


@pytest.mark.parametrize(
    ("annotation", "value", "why"), EXCLUDED, ids=[f"{shown(a)} {v!r:.30}" for a, v, _ in EXCLUDED]
)
def test_what_an_annotation_excludes(annotation: Any, value: Any, why: str | tuple[str, ...]) -> None:
    convert = converter_of(annotation)
    assert convert is not None
    with pytest.raises(Mismatch) as caught:
        convert(value)
    assert f"{caught.value.path}: {caught.value.why}".startswith(why)
    assert len(caught.value.why) < 400


@pytest.mark.parametrize("annotation", ANYTHING, ids=shown)
def test_what_says_nothing_takes_anything_at_no_cost(annotation: Any) -> None:
    assert converter_of(annotation) is None


def test_a_number_of_many_digits_is_told() -> None:
    convert = converter_of(Level)
    assert convert is not None
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(4300)  # as usual; a test of the command line may have changed it
    try:
        with pytest.raises(Mismatch, match="4300 digits"):
            convert(10**5000)
    finally:
        sys.set_int_max_str_digits(before)


def test_an_array_comes_as_lists() -> None:
    convert = converter_of(NDArray[np.float32])
    assert convert is not None
    array = convert([[1, 2], [3, 4.5]])
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 2], [3, 4.5]]
    assert convert(array) is array
    for kind in (np.uint8, np.uint16, np.int64, np.float16):
        unsigned = converter_of(NDArray[kind])
        assert unsigned is not None
        assert (unsigned([1, 2]).dtype, unsigned([]).dtype, unsigned([]).shape) == (kind, kind, (0,))  # type: ignore[attr-defined]
    nested = converter_of(dict[str, NDArray[np.float32]])
    assert nested is not None
    made = nested({"a": np.arange(3), "b": [1]})
    assert (made["a"].dtype, made["b"].dtype) == (np.float32, np.float32)  # type: ignore[index]
    anything = converter_of(np.ndarray)
    assert anything is not None
    assert anything([1, 2]).dtype.kind == "i"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no type aliases of its own")
def test_an_alias_is_what_it_stands_for() -> None:
    names: dict[str, Any] = {}
    exec("type Number = int\ntype Pair[T] = tuple[T, T]\ntype Pairs = list[Pair[Number]]", names)
    for annotation, value, made in (
        (names["Number"], 3, 3),
        (names["Pair"][float], [1, 2], (1.0, 2.0)),
        (names["Pairs"], [[1, 2]], [(1, 2)]),
        (names["Pair"][int] | None, None, None),
    ):
        convert = converter_of(annotation)
        assert convert is not None
        assert convert(value) == made
        with pytest.raises(Mismatch):
            convert("3")


@pytest.mark.parametrize("annotation", ["the voltage", 3, list[int | pathlib.Path], list[Motor], typing.Self])
def test_what_cannot_be_checked_is_said_to_be_so(annotation: Any) -> None:
    with pytest.raises(Unsupported):
        converter_of(annotation)


def test_a_value_that_is_nested_too_deeply_is_told() -> None:
    class Nested(msgspec.Struct):
        inside: Nested | None = None

    Nested.__annotations__ = {"inside": "Nested | None"}
    deep: Any = None
    for _ in range(100_000):
        deep = {"inside": deep}
    globals()["Nested"] = Nested
    try:
        convert = converter_of(Nested)
        assert convert is not None
        with pytest.raises(Mismatch, match="nested too deeply"):
            convert(deep)
    finally:
        del globals()["Nested"]
        while deep is not None:
            deep = deep["inside"]
