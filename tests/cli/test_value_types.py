"""Values of every type at the command line: given as words, shown as results, items and errors, and as JSON."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.client.value_types import NATURAL, NUMBERS, Direction, Point, Reading
from tests.service.running import serving
from zerorpc.cli import main
from zerorpc.cli.printing import pretty
from zerorpc.shown import block

ALL: dict[str, Any] = {**NATURAL, **NUMBERS}
DAY = datetime.date(2026, 11, 27)
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))


def result(kind: str) -> Any:
    return ALL[kind]


def items(kind: str) -> Iterator[Any]:
    yield ALL[kind]
    yield [ALL[kind]] if "memoryview" not in kind else 1  # in a list it would be its octets


def fail(kind: str) -> None:
    raise ValueError(ALL[kind])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving({each.__name__: each for each in (result, items, fail)}) as server:
        yield server.endpoints[0]


@pytest.mark.parametrize("kind", ALL)
def test_a_result_an_item_and_an_error(endpoint: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = ALL[kind]
    assert main([endpoint, "result", kind]) == 0
    told = capsys.readouterr().out
    expected = f"{pretty(value)}\n"
    assert told == expected or (
        isinstance(value, (set, frozenset)) and sorted(told) == sorted(expected)
    )  # in any order
    assert main(["--jsonl", endpoint, "items", kind]) == 0
    alone, listed = map(json.loads, capsys.readouterr().out.splitlines())
    assert listed == ([alone] if "memoryview" not in kind else 1)
    assert main(["--print-json", endpoint, "result", kind]) == 0
    assert json.loads(capsys.readouterr().out) == alone
    assert main([endpoint, "fail", kind]) == 1
    told = capsys.readouterr().err
    assert block(f"ValueError: {value}") in told.replace("\n    ", "\n")


AS_JSON: dict[str, Any] = {
    "int of 65 bits": 2**64,
    "date": "2026-11-27",
    "aware datetime": "2026-11-27T12:00:00+05:30:15",
    "timedelta": datetime.timedelta(-1, 86_399, 999_999).total_seconds(),
    "decimal": "-1.10E+400",
    "empty set": [],
    "map of dates": {"2026-11-27": 1, '[1, "2026-11-27"]': [2], "text": {str(2**70): None}},
    "array": [1.5, None],
    "memoryview of two dimensions": [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]],
    "numpy": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
    "numpy int": -3,
}


@pytest.mark.parametrize("kind", AS_JSON)
def test_what_is_printed_as_json(endpoint: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-json", endpoint, "result", kind]) == 0
    assert json.loads(capsys.readouterr().out) == AS_JSON[kind]


# Given as words: by what the parameter's annotation says, as a word and as JSON


def take_date(it: datetime.date) -> Any: ...
def take_datetime(it: datetime.datetime) -> Any: ...
def take_time(it: datetime.time) -> Any: ...
def take_timedelta(it: datetime.timedelta) -> Any: ...
def take_decimal(it: Decimal) -> Any: ...
def take_uuid(it: uuid.UUID) -> Any: ...
def take_int(it: int) -> Any: ...
def take_complex(it: complex) -> Any: ...
def take_set(it: set[int]) -> Any: ...
def take_frozenset(it: frozenset[str]) -> Any: ...
def take_map(it: dict[datetime.date, int]) -> Any: ...
def take_array(it: np.ndarray[Any, np.dtype[np.float32]]) -> Any: ...
def take_bytes(it: bytes) -> Any: ...
def take_enum(it: Direction) -> Any: ...
def take_record(it: Reading) -> Any: ...


WORDS = [
    (take_date, "2026-11-27", DAY),
    (take_datetime, "2026-11-27T12:00:00+05:30", datetime.datetime(2026, 11, 27, 12, tzinfo=INDIA)),
    (take_time, "01:02:03", datetime.time(1, 2, 3)),
    (take_timedelta, "PT1.5S", datetime.timedelta(seconds=1.5)),
    (take_timedelta, "1.5", datetime.timedelta(seconds=1.5)),
    (take_decimal, "1.10", Decimal("1.10")),
    (take_uuid, str(uuid.UUID(int=7)), uuid.UUID(int=7)),
    (take_int, str(3**100), 3**100),
    (take_complex, "[1, -2.5]", 1 - 2.5j),
    (take_complex, "3", 3 + 0j),
    (take_set, "[1, 2, 2]", {1, 2}),
    (take_frozenset, '["a"]', frozenset("a")),
    (take_map, '{"2026-11-27": 1}', {DAY: 1}),
    (take_array, "[[1, 2]]", np.array([[1, 2]], np.float32)),
    (take_bytes, "octets", b"octets"),
    (take_enum, "up", Direction.UP),
    (take_record, '{"when": "2026-11-27", "tags": ["a"]}', Reading(DAY, {"a"})),
]


@pytest.mark.parametrize(("method", "word", "expected"), WORDS)
def test_an_argument(method: Any, word: str, expected: Any, capsys: pytest.CaptureFixture[str]) -> None:
    taken: list[Any] = []

    def take(it: Any) -> None:
        taken.append(it)

    take.__annotations__ = method.__annotations__
    with serving({"take": take}) as server:
        assert main([server.endpoints[0], "take", word]) == 0
        assert main([server.endpoints[0], "take", f"it={word}"]) == 0
        as_json = word if word[0] in "[{" else json.dumps(word)
        if method is not take_bytes:  # a text isn't octets, unless somebody typed it
            assert main(["--json", server.endpoints[0], "take", as_json]) == 0 or word in ("1.5", "3", str(3**100))
    for each in taken:
        assert type(each) is type(expected)
        assert np.array_equal(each, expected) if isinstance(expected, np.ndarray) else each == expected
    assert len(taken) >= 2
    assert "None" in capsys.readouterr().out


# Enums of numbers, maps with keys that are no texts, and numbers as Python writes them


class Gain(enum.Enum):
    LOW = 1
    HIGH = 4


class Bits(enum.Flag):
    A = 1
    B = 2


def take_gain(it: Gain) -> Any: ...
def take_gain_or_none(it: Gain | None) -> Any: ...
def take_gains(it: list[Gain]) -> Any: ...
def take_gain_map(it: dict[Gain, Gain]) -> Any: ...
def take_bits(it: Bits) -> Any: ...
def take_int_map(it: dict[int, int]) -> Any: ...
def take_float(it: float) -> Any: ...
def take_points(it: list[Point]) -> Any: ...


MORE_WORDS = [
    (take_gain, "4", Gain.HIGH),
    (take_gain_or_none, "4", Gain.HIGH),
    (take_gain_or_none, "null", None),
    (take_gains, "[1, 4]", [Gain.LOW, Gain.HIGH]),
    (take_gain_map, '{"1": 4}', {Gain.LOW: Gain.HIGH}),
    (take_bits, "2", Bits.B),
    (take_int_map, '{"1": 2}', {1: 2}),
    (take_float, ".5", 0.5),
    (take_float, "inf", float("inf")),
    (take_complex, "1-2.5j", 1 - 2.5j),
]


@pytest.mark.parametrize(("method", "word", "expected"), MORE_WORDS)
def test_words_for_what_json_lacks(method: Any, word: str, expected: Any) -> None:
    taken: list[Any] = []

    def take(it: Any) -> None:
        taken.append(it)

    take.__annotations__ = method.__annotations__
    with serving({"take": take}) as server:
        assert main([server.endpoints[0], "take", word]) == 0
    assert taken == [expected]


@pytest.mark.parametrize(
    ("method", "word", "problem"),
    [
        (take_float, "much", "it: expected float, got 'much'"),
        (take_int, "1e3", "it: expected int, got '1e3'"),
        (take_set, "1,2", "it: expected list, got '1,2'"),
        (take_set, "[1, 2", "it: expected list, got '[1, 2', which is no JSON: "),
        (take_gain, "3", "it: expected Gain (1, 4), got 3"),
        (take_points, "[1]", "it[0]: expected Point, got int"),
    ],
)
def test_an_error_shows_the_word(method: Any, word: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    def take(it: Any) -> None: ...

    take.__annotations__ = method.__annotations__
    with serving({"take": take}) as server:
        assert main([server.endpoints[0], "take", word]) == 1
    assert problem in capsys.readouterr().err


def test_a_type_that_is_registered_elsewhere_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = msgspec.msgpack.Ext(59, b"\x01")
    with serving({"get": lambda: [unknown]}) as server:
        assert main([server.endpoints[0], "get"]) == 0
        assert main(["-pj", server.endpoints[0], "get"]) == 0
    assert capsys.readouterr().out == '[Ext(59, b\'\\x01\')]\n[{"$ext": [59, "AQ=="]}]\n'
