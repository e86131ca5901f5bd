"""The lenient reader: the same as msgspec where both can read, raw strings, and no way to make it work for long."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.pairs import pack
from tests.protocol.test_events import values
from zerorpc.protocol.raw_strings import decode_raw_strings, split_event


@given(values)
def test_reads_what_msgspec_writes(value: Any) -> None:
    assert decode_raw_strings(pack(value)) == value


LONG = b"x" * 70_000


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xca" + b"\x3f\x00\x00\x00", 0.5),
        (b"\xcc\xff", 255),
        (b"\xcd\x01\x00", 256),
        (b"\xce\x00\x00\x00\x01", 1),
        (b"\xcf" + b"\xff" * 8, 2**64 - 1),
        (b"\xd0\x80", -128),
        (b"\xd1\xff\xff", -1),
        (b"\xd2\xff\xff\xff\xfe", -2),
        (b"\xd3\x80" + bytes(7), -(2**63)),
        (b"\xe0", -32),
        (b"\x7f", 127),
        (b"\xc2", False),
        (b"\xd9\x01a", "a"),
        (b"\xda\x00\x01\xff", b"\xff"),
        (b"\xdb\x00\x01\x11\x70" + LONG, LONG.decode()),
        (b"\xc5\x00\x01a", b"a"),
        (b"\xc6\x00\x01\x11\x70" + LONG, LONG),
        (b"\xdc\x00\x01\x05", [5]),
        (b"\xdd\x00\x00\x00\x01\x05", [5]),
        (b"\xde\x00\x01\x05\x06", {5: 6}),
        (b"\xdf\x00\x00\x00\x01\x05\x06", {5: 6}),
        (b"\x81\xa1\xff\xa1\xfe", {b"\xff": b"\xfe"}),
    ],
)
def test_every_form(data: bytes, value: Any) -> None:
    assert decode_raw_strings(data) == value


def test_not_a_number() -> None:
    assert math.isnan(decode_raw_strings(pack(math.nan)))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends too early"),
        (b"\xa2a", "ends too early"),
        (b"\x92\x01", "ends too early"),
        (b"\xcd\x01", "ends too early"),
        (b"\xdd\xff\xff\xff\xff", "ends too early"),
        (b"\x01\x02", "1 octets follow"),
        (b"\xc1", "type 0xc1"),
        (b"\xd4\x01\x01", "type 0xd4"),
        (b"\x81\x90\x01", "key of type list"),
        (b"\x81\x80\x01", "key of type dict"),
        (b"\x91" * 100_000, "nested deeper"),
        (b"\xdd\x00\x10\x00\x00" + b"\xc0" * 0x100000, "too many values"),
    ],
)
def test_malformed(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_raw_strings(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        decode_raw_strings(data)
    except ValueError:
        return
    try:
        msgspec.msgpack.decode(data)
    except UnicodeDecodeError:
        return  # what it is for


# Splitting

BODIES = [
    *(
        pack(value)
        for value in (None, True, 5, -5, 300, 2**40, 0.5, "text", "x" * 300, b"bin", [1, [2]], {"a": {"b": 1}})
    ),
    b"\xa2\xff\xfe",
    b"\xd4\x05x",
    b"\xd8\x05" + bytes(16),
    b"\xc7\x03\x05abc",
    b"\xc8\x00\x03\x05abc",
    b"\xc9\x00\x00\x00\x03\x05abc",
    b"\xca" + bytes(4),
    b"\x91" * 900 + b"\x90",
]


@pytest.mark.parametrize("body", BODIES)
def test_an_event_is_split_at_the_ends_of_its_values(body: bytes) -> None:
    for head in (b"\x93", b"\xdc\x00\x03", b"\xdd\x00\x00\x00\x03"):
        assert split_event(head + body + pack("name") + body) == (body, pack("name"), body)
        assert split_event(head + pack({}) + body) == (pack({}), body, b"")
    assert split_event(b"\x91" + body) == (body, b"", b"")


@given(values, st.binary(max_size=30))
def test_the_rest_is_whatever_it_is(value: Any, rest: bytes) -> None:
    assert split_event(b"\x93" + pack(value) * 2 + rest) == (pack(value), pack(value), rest)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends too early"),
        (b"\xa3abc", "not an array"),
        (b"\x93", "ends too early"),
        (b"\x93\x81\x01", "ends too early"),
        (b"\x93\xc1", "type 0xc1"),
        (b"\x93\xdd\xff\xff\xff\xff" + bytes(5000), "too many values"),
        (b"\x93" + b"\x91" * 1_000_000, "too many values"),
    ],
)
def test_what_cant_be_split(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        split_event(data)
