"""What is not decoded, since it would take too long or too much memory; and what is, as ever."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerorpc.protocol import shape
from zerorpc.protocol.events import BadEvent, decode, decode_header, encode
from zerorpc.protocol.shape import LARGE, checked, shape_problem

HEADER = {"message_id": b"1" * 32, "v": 3}


@pytest.fixture(autouse=True, scope="module")
def nothing_compiled_yet() -> None:
    """Expressions are compiled once in a process: here again, whatever ran before, so that coverage sees it."""
    for cached in (shape._scalars, shape._small, shape._run):
        cached.cache_clear()


def array_as_key(value: object) -> bytes:
    return b"\x91" + msgspec.msgpack.encode(value)


def map_of(keys: list[bytes]) -> bytes:
    """With nil for each key."""
    count = len(keys)
    head = b"\xde" + count.to_bytes(2, "big") if count < 65536 else b"\xdf" + count.to_bytes(4, "big")
    return head + b"".join(key + b"\xc0" for key in keys)


ARRAYS = [array_as_key(number) for number in range(64)]
TEXTS = [msgspec.msgpack.encode(f"key {number}") for number in range(200)]
LONG = [msgspec.msgpack.encode(f"{number:0100}") for number in range(200)]
KEYS = "a map has keys that are arrays or maps"


@pytest.mark.parametrize(
    "data",
    [
        map_of(ARRAYS),
        map_of([*TEXTS, *ARRAYS]),
        map_of([*LONG, *ARRAYS]),
        map_of([*TEXTS[:63], b"\x80"]),
        map_of([array_as_key(number) for number in range(70_000)]),
        b"\x93\x01" + msgspec.msgpack.encode([1.5, "text", b"x" * 300, None]) + map_of(ARRAYS),
        map_of(TEXTS)[:-1] + map_of(ARRAYS),  # inside of another
        map_of(TEXTS)[:-1] + b"\x92\x01" + map_of(ARRAYS),
        map_of(TEXTS)[:-1] + b"\x81\xa1a" + map_of(ARRAYS),
        b"\xc7\x03\x01abc"[:0] + b"\x92\xc7\x03\x01abc" + map_of(ARRAYS),  # behind an extension
    ],
)
def test_a_map_of_many_keys_that_are_arrays(data: bytes) -> None:
    assert shape_problem(data) == KEYS
    with pytest.raises(ValueError, match=KEYS):
        checked(data)


@pytest.mark.parametrize(
    "value",
    [
        {f"key {number}": number for number in range(70_000)},
        {number: [number] * 5 for number in range(1000)},
        {float(number): {"a": [1, {}, "x" * 40]} for number in range(1000)},
        {f"{number:050}": f"{number:0300}" for number in range(1000)},
        {b"%d" % number: {f"key {n}": n for n in range(100)} for number in range(100)},
        [{f"key {n}": [n] * 20 for n in range(100)}] * 10,
        [b"\xde\xff\xff" * 100, "text", msgspec.msgpack.Ext(5, b"x" * 70_000)],
    ],
)
def test_other_maps(value: Any) -> None:
    data = msgspec.msgpack.encode(value)
    assert shape_problem(data) is None
    assert checked(data) is data


@pytest.mark.parametrize(
    "values",
    [b"\x80", b"\x91\xc0", b"\x90", b"\xdc\x00\x00", b"\x81\xa1a\xc0"],
    ids=["{}", "[nil]", "[]", "long []", "map"],
)
def test_too_many_values(values: bytes) -> None:
    count = 8_000_000
    data = b"\xdd" + count.to_bytes(4, "big") + values * (2_000_000 // len(values))
    assert shape_problem(data) == (
        "it has too many values (the limit is 4000000, an array or a map counts for 9, "
        "a text of more than 31 octets for 4)"
    )


@pytest.mark.parametrize(("count", "is_refused"), [(990_000, False), (1_010_000, True)])
def test_long_texts_count_for_four(count: int, is_refused: bool) -> None:
    """They are skipped one by one."""
    data = b"\xdd" + count.to_bytes(4, "big") + (b"\xd9\x20" + bytes(32)) * count
    assert (shape_problem(data) is not None) == is_refused


def test_many_values_in_one_another() -> None:
    assert "too many values" in str(shape_problem(b"\x91" * 1_000_000))


def test_as_many_numbers_as_there_may_be() -> None:
    data = msgspec.msgpack.encode([0] * 1_000_000)
    assert shape_problem(data) is None


def test_many_values_in_maps_of_many_keys_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.shape._STEPS_MAX", 100)
    assert shape_problem(map_of(LONG)) == "it has too many values in maps of many keys"


@given(st.binary(max_size=200), st.integers(0, 200))
def test_nothing_that_is_malformed_raises(data: bytes, cut: int) -> None:
    shape_problem(data)
    shape_problem(b"\xde\x01\x00" + data)
    shape_problem(map_of(ARRAYS)[:cut])
    shape_problem(map_of(TEXTS)[: cut * 5])


def test_what_is_refused_can_be_answered() -> None:
    data = b"\x93" + msgspec.msgpack.encode(HEADER) + b"\xa1f" + b"\x91" + map_of(ARRAYS) + b""
    event = decode(data[:-1] + msgspec.msgpack.encode(bytes(LARGE)))
    assert isinstance(event, BadEvent)
    assert event.name == "f"
    assert event.problem == KEYS


def test_a_header_with_such_a_map_is_read_for_hooks_without_it() -> None:
    header = b"\x82\xa1v\x03\xa1x" + map_of(ARRAYS)
    data = b"\x93" + header + b"\xa1f" + msgspec.msgpack.encode([bytes(LARGE)])
    assert isinstance(decode(data), BadEvent)
    assert decode_header(data).get("v") == 3


def test_what_is_small_is_decoded_as_ever() -> None:
    event = decode(encode(HEADER, "f", [{(1, 2): 3}]))
    assert not isinstance(event, BadEvent)
    assert event.args == [{(1, 2): 3}]


def test_extension_types_count_for_thirty_and_what_is_inside_counts_too() -> None:
    date = msgspec.msgpack.encode(msgspec.msgpack.Ext(70, b"2026-11-28"))
    moment = msgspec.msgpack.encode(msgspec.msgpack.Ext(-1, bytes(4)))
    for many, is_refused in ((date * 130_000, True), (date * 120_000, False), (moment * 500_000, False)):
        count = len(many) // len(date if many[:13] == date[:13] else moment)
        assert (shape_problem(b"\xdd" + count.to_bytes(4, "big") + many) is not None) == is_refused
    numbers = b"\xdd" + (4_100_000).to_bytes(4, "big") + b"\x01" * 4_100_000
    for code, is_refused in ((65, True), (77, False)):
        inside = b"\xc9" + len(numbers).to_bytes(4, "big") + bytes((code,)) + numbers
        assert (shape_problem(inside) is not None) == is_refused


def test_extension_types_as_keys_of_large_maps() -> None:
    def mapped(key: bytes) -> bytes:
        return b"\xde\x01\x00" + (key + b"\x01") * 256 + bytes(LARGE)

    assert shape_problem(mapped(b"\xd4\x46x")) == "a map has keys that are extension types"
    assert shape_problem(mapped(b"\xc7\x03\x41\x92\x01\x02")) == "a map has keys that are extension types"
    assert shape_problem(mapped(b"\xd6\xff" + bytes(4))) is None
    inside = b"\xde\x01\x00" + b"\x01\xc7\x03\x41\x92\x01\x02" * 256 + bytes(LARGE)
    assert shape_problem(inside) is None
    hidden = b"\xc9" + (3 + 512).to_bytes(4, "big") + b"\x41" + mapped(b"\xd4\x46x")
    assert shape_problem(hidden) == "a map has keys that are extension types"
