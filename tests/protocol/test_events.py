"""Events: round trips, what can't be sent, and the best that can be made of what came."""

from __future__ import annotations

import collections
import contextlib
import datetime
import enum
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from tests.protocol.pairs import pack
from zerorpc.errors import ProtocolError, SerializationError
from zerorpc.protocol.events import BadEvent, Event, WireEvent, decode, decode_header, encode, encode_item, encode_ok

HEADER = {"message_id": b"id", "v": 3}

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(), st.binary()
)
keys = st.text() | st.integers(-(2**63), 2**64 - 1)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=10)


def wire(event: WireEvent | BadEvent) -> tuple[bytes, int, bytes]:
    """A header as plain values."""
    return bytes(event.header.message_id), event.header.version, bytes(event.header.response_to)


def good(data: bytes) -> WireEvent:
    event = decode(data)
    assert isinstance(event, WireEvent)
    return event


def bad(data: bytes) -> BadEvent:
    event = decode(data)
    assert isinstance(event, BadEvent)
    return event


# Round trips


@given(st.binary(), st.text(), values)
def test_what_is_sent_arrives(message_id: bytes, name: str, args: Any) -> None:
    data = encode({"message_id": message_id, "v": 3, "response_to": 7, "trace": "x"}, name, args)
    event = good(data)
    assert (event.name, event.args) == (name, args)
    assert wire(event) == (pack(message_id), 3, b"\x07")
    assert decode_header(data) == {"message_id": message_id, "v": 3, "response_to": 7, "trace": "x"}


@given(values, st.sampled_from([b"\xc4\x01a", b"\xa1a", b"\x07"]))
@example(b"x" * 100_000, b"\x07")
def test_the_quick_forms_for_replies_write_the_same(value: Any, response_to: bytes) -> None:
    message_id = b"%032d" % 7
    header = {"message_id": message_id, "v": 3, "response_to": Raw(response_to)}
    for quick, name, args in ((encode_ok, "OK", [value]), (encode_item, "STREAM", value)):
        with contextlib.suppress(SerializationError):  # of keys that aren't texts, which `encode` looks into
            assert quick(message_id, Raw(response_to), value) == encode(header, name, args)


def test_the_octets_that_the_old_implementation_writes() -> None:
    data = encode({"message_id": b"\x00", "v": 3}, "add", (1, 2))
    assert data == b"\x93\x82\xaamessage_id\xc4\x01\x00\xa1v\x03\xa3add\x92\x01\x02"


class Number(int):
    pass


class Real(float):
    pass


class Word(str):
    __slots__ = ()


class Octets(bytes):
    pass


class Index:
    def __index__(self) -> int:
        return 5


class Colour(enum.IntEnum):
    RED = 1


class Direction(enum.Enum):
    UP = "up"


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, (2,)), [1, [2]]),
        (Number(3), 3),
        (Real(0.5), 0.5),
        (Word("w"), "w"),
        (Octets(b"o"), b"o"),
        (bytearray(b"b"), b"b"),
        (memoryview(b"m"), b"m"),
        (Index(), 5),
        (True, True),
        (Colour.RED, 1),
        (collections.OrderedDict(a=1), {"a": 1}),
        ({1: "int keys", "and": "text"}, {1: "int keys", "and": "text"}),
        (collections.namedtuple("Point", "x y")(1, 2), [1, 2]),
        (Direction.UP, "up"),
    ],
)
def test_what_python_has_more_types_for(value: Any, arrives: Any) -> None:
    assert good(encode(HEADER, "m", value, True)).args == arrives


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "a value of type object can't be sent"),
        (2**64, "can't serialize ints"),
        ("\ud800", "surrogates not allowed"),
        (nested(100_000), "recursion"),
        ({(1,): object()}, "object"),
    ],
)
def test_what_cant_be_sent_is_a_serialization_error(value: Any, why: str) -> None:
    with pytest.raises(SerializationError, match=why):
        encode(HEADER, "m", value)
    for quick in (encode_ok, encode_item):
        with pytest.raises(SerializationError):
            quick(b"x" * 32, Raw(b"\xc0"), value)


def test_an_error_without_words_is_named_by_its_type() -> None:
    class Silent:
        def __index__(self) -> int:
            raise ValueError

    with pytest.raises(SerializationError, match="ValueError"):
        encode(HEADER, "m", Silent())


# The header

EXACT_IDS = [
    b"\x07",  # int
    b"\xcc\x07",  # the same int, not in its shortest form
    b"\xcf" + bytes(7) + b"\x07",
    b"\xff",
    b"\xc4\x01a",  # bin
    b"\xc5\x00\x01a",
    b"\xa1a",  # str
    b"\xd9\x01a",
    b"\xdb\x00\x00\x00\x01a",
    b"\xa2\xff\xfe",  # raw, no UTF-8
    b"\xcb" + bytes(8),  # float
    b"\xc3",
    b"\x93\x01\x02\x03",
    b"\xdc\x00\x01\x01",
    b"\x81\xa1k\x90",
    b"\x82\x90\x01\x90\x02",
    b"\xd4\x05x",  # ext
]


@pytest.mark.parametrize("octets", EXACT_IDS)
def test_ids_stay_the_octets_that_came(octets: bytes) -> None:
    header = b"\x83" + pack("v") + b"\x03" + pack("message_id") + octets + pack("response_to") + octets
    event = good(b"\x93" + header + pack("m") + b"\x90")
    assert wire(event) == (octets, 3, octets)
    again = encode({"response_to": event.header.message_id}, "m", None)
    assert again == b"\x93\x81" + pack("response_to") + octets + pack("m") + b"\xc0"


@pytest.mark.parametrize(
    ("header", "version"), [({}, 1), ({"v": 2}, 2), ({"v": 3}, 3), ({"v": "3"}, 1), ({"v": None}, 1), ({"v": True}, 1)]
)
def test_a_missing_version_means_1(header: dict[str, Any], version: int) -> None:
    assert good(pack([header, "m", []])).header.version == version


def test_unknown_header_keys_disturb_nothing() -> None:
    data = pack([{**HEADER, "trace": {"deep": [1]}, 5: 6}, "m", []])
    assert wire(good(data)) == (pack(b"id"), 3, b"")


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        (b"\xa1t\xa1\xff", {}),  # a value that isn't UTF-8
        (b"\xa1t\x05", {"t": 5}),
        (b"\xc4\x01t\x05", {"t": 5}),  # a bin key
        (b"\x07\x05", {}),  # an int key is of no use to anybody
    ],
)
def test_hooks_see_of_the_header_what_has_a_meaning(extra: bytes, shown: dict[str, Any]) -> None:
    data = b"\x93\x82" + pack("message_id") + pack(b"id") + extra + pack("m") + b"\x90"
    decode(data)
    assert decode_header(data) == {"message_id": b"id", **shown}


def test_a_header_key_that_is_no_text_leaves_hooks_nothing() -> None:
    data = b"\x93\x82" + pack("message_id") + pack(b"id") + b"\xa1\xff\x05" + pack("m") + b"\x90"
    assert wire(good(data)) == (pack(b"id"), 1, b"")
    assert decode_header(data) == {}


# What can be told to the sender, because its header can be read

READABLE = pack(HEADER)
NAMED = READABLE + pack("add")


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (b"\x93" + pack({b"message_id": b"id", b"v": 3}) + pack("add") + b"\x90", "add", "header's keys are bytes"),
        (b"\x93" + READABLE + pack(b"add") + b"\x90", "add", "name is of type bytes"),
        (b"\x93" + READABLE + pack(b"a\xffd") + b"\x90", "a\ufffdd", "name is of type bytes"),
        (b"\x93" + READABLE + pack(5) + b"\x90", "?", "name is of type int"),
        (b"\x93" + READABLE + b"\x91" * 500 + b"\x90" + b"\x90", "?", "name is of type list"),
        (b"\x93" + READABLE + b"\xa1\xff" + b"\x90", "?", "name can't be decoded"),
        (b"\x93" + NAMED + b"\x91\xa1\xff", "add", "arguments can't be decoded: .*utf-8"),
        (b"\x93" + NAMED + b"\x91" * 100_000, "add", "arguments can't be decoded: .*recursion"),
        (b"\x93" + NAMED + b"\x91\x81\x80\x01", "add", "arguments can't be decoded: .*hashable"),
        (b"\x93" + NAMED + b"\x92\x01", "add", "arguments can't be decoded: .*truncated"),
        (b"\x93" + NAMED + b"\xdd\xff\xff\xff\xff\x01", "add", "arguments can't be decoded: .*truncated"),
        (b"\x93" + NAMED + b"\xc6\xff\xff\xff\xff\x01", "add", "arguments can't be decoded: .*truncated"),
        (b"\x93" + NAMED + b"\xc1", "add", "arguments can't be decoded: .*invalid opcode"),
        (b"\x93" + NAMED + b"\x91\xd7\xff" + b"\xff" * 8, "add", "arguments can't be decoded: .*timestamp"),
        (b"\x93" + NAMED + b"\x90\x90", "add", "arguments can't be decoded: .*trailing"),
        (b"\x92" + NAMED, "add", "arguments can't be decoded: .*truncated"),
        (b"\x91" + READABLE, "?", "name can't be decoded: .*truncated"),
    ],
)
def test_the_header_is_saved_from_an_event_that_is_broken(data: bytes, name: str, problem: str) -> None:
    event = bad(data)
    assert wire(event) == (pack(b"id"), 3, b"")
    assert event.name == name
    assert re.search(problem, event.problem, re.IGNORECASE)


def test_of_a_reply_the_response_to_is_saved_too() -> None:
    event = bad(b"\x93" + pack({"message_id": b"id", "v": 3, "response_to": "r"}) + pack("OK") + b"\x91\xa1\xff")
    assert wire(event) == (pack(b"id"), 3, pack("r"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x90",
        b"hello",
        b"\x93",
        pack([[], "m", []]),
        pack([None, "m", []]),
        pack(["header", "m", []]),
        pack({"header": 1}),
        b"\x93\x81" + pack("v") + b"\xc1" + pack("m") + b"\x90",
        b"\x93\x81" + pack("v") + b"\x91" * 500_000 + pack("m") + b"\x90",
        b"\x93\x81\x80\x01" + pack("m") + b"\x90",
        b"\x93\x82\xa2\xff\xfe\x01" + pack("m"),
    ],
)
def test_without_a_header_there_is_no_event(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not an event"):
        decode(data)


# Older peers


@pytest.mark.parametrize("version", [1, 2])
def test_raw_strings_of_old_peers_may_hold_any_octets(version: int) -> None:
    data = b"\x93" + pack({"message_id": b"id", "v": version}) + pack("m") + b"\x92\xa2\xff\xfe\xa2ok"
    assert good(data).args == [b"\xff\xfe", "ok"]
    cut_short = decode(data[:-1])
    assert isinstance(cut_short, BadEvent)
    assert cut_short.problem == "the arguments can't be decoded: the data ends too early"


# Anything

pieces = st.one_of(
    st.binary(max_size=8),
    values.map(pack),
    st.sampled_from([b"\x93", b"\x92", b"\xdd", b"\x91" * 300, b"\xc7\x0c\xff", b"\xd6\xff", b"\xc1", READABLE, NAMED]),
)


# of an event that decodes, although its header has a text that isn't UTF-8 and more values than are gone through
OVERFULL = b"\x93\x82" + pack("message_id") + pack(b"id") + pack("x") + b"\x92\xa1\xff\xdc\x05\xdc"
OVERFULL += b"\xc0" * 1500 + pack("add") + b"\x90"


@given(st.lists(pieces, max_size=6).map(b"".join))
@example(b"\x93" + NAMED + b"\xdf\xff\xff\xff\xff")
@example(b"\x94" + NAMED + b"\x90\x90")
@example(OVERFULL)
def test_any_bytes_are_an_event_or_a_protocol_error(data: bytes) -> None:
    for form in (data, bytearray(data)):
        assert isinstance(decode_header(form), dict)
        try:
            event = decode(form)
        except ProtocolError:
            continue
        assert isinstance(event, (WireEvent, BadEvent))
        assert isinstance(event.name, str)
        assert isinstance(event.header.version, int)


def test_a_header_with_too_much_in_it_leaves_hooks_nothing() -> None:
    assert wire(good(OVERFULL)) == (pack(b"id"), 1, b"")
    assert decode_header(OVERFULL) == {}


def test_times_come_as_times() -> None:
    noon = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
    assert good(encode(HEADER, "m", [noon], True)).args == [noon]
    assert good(msgspec.msgpack.encode((HEADER, "m", [noon]))).args == [noon]  # MessagePack's own timestamp


def test_an_event_for_hooks_shows_itself() -> None:
    event = Event("m", [1], {"v": 3}, identity=("r",))
    assert repr(event) == "<Event m {'v': 3}>"
    assert (event.args, event.identity) == ([1], ("r",))
