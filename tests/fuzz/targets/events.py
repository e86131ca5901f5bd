"""Events: whatever octets come as one, what is made of it, and that this takes no long time."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz import grown, sources
from tests.fuzz.tape import Tape
from tests.protocol.pairs import new_ids
from zerorpc.errors import ProtocolError, RemoteError, SerializationError
from zerorpc.event_log import _describe
from zerorpc.protocol.call_header import read_call_header, readdressed, renumbered, retry_after, with_time_left
from zerorpc.protocol.events import (
    DECODE_ERRORS,
    NO_ID,
    OK,
    BadEvent,
    Header,
    WireEvent,
    decode,
    decode_header,
    decode_id,
    decode_reply,
    decode_usual,
    encode,
)
from zerorpc.protocol.lent import decode_request
from zerorpc.protocol.patterns import remote_error, reply_value
from zerorpc.protocol.raw_strings import decode_raw_strings, split_event
from zerorpc.protocol.references import Reference, borrowing
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.protocol.shape import LARGE, checked

REST = b"\xa2OK\x91\x01"  # of a reply, behind the id of what it answers
MANY_KEYS = 64
TOO_LONG = 3.0  # s of CPU time for all that is done with one event, 1 MB at most; on a busy machine it is 0.5


def _number(reference: Reference) -> object:
    return reference.number


def play(octets: bytes) -> None:
    tape = Tape(octets)
    begun = time.thread_time()
    data = tape.rest() if tape.chance(2) else made(tape)
    check(data)
    took = time.thread_time() - begun
    assert took < TOO_LONG, f"an event of {len(data)} octets took {took:.1f} s"


def made(tape: Tape) -> bytes:
    """An event of any shape."""
    if tape.chance(2):
        return b"\x93\x81\xa1v\x03\xa2OK" + grown.value(tape)
    name = tape.pick((b"\xa4echo", b"\xa3ERR", b"\xa6STREAM", b"\xa9_zpc_more", b"")) or grown.value(tape)
    header = grown.header(tape, b"\xc4\x02id", b"\xa2id", b"\x07")
    return b"".join((b"\x93", header, name, grown.value(tape))) + tape.some(2)


def check(data: bytes) -> None:
    usual = _or_none(decode_usual, data) if len(data) <= LARGE else None
    header = decode_header(data)
    assert isinstance(header, dict)
    wait = retry_after(header)
    assert wait is None or 0 <= wait < math.inf
    assert isinstance(_describe(data), str)
    check_reply(data)
    _or_none(split_event, data)
    _or_none(decode_raw_strings, data)
    try:
        event = decode(data)
    except ProtocolError:
        assert usual is None
        return
    assert usual is None or isinstance(event, WireEvent)
    assert isinstance(event.name, str)
    assert isinstance(event.header.version, int)
    check_header(event.header)
    check_request(event, data)
    if isinstance(event, WireEvent):
        check_args(event, data)


def check_reply(data: bytes) -> None:
    """What a client makes of it."""
    _or_none(lambda octets: decode_reply(checked(octets)), data)
    _or_none(lambda octets: borrowing(Any, _number, checked(octets)), data)
    _or_none(lambda octets: decode_request(checked(octets), _number), data)


def check_header(header: Header) -> None:
    """An id goes back as it came, and the rest is read or refused."""
    decode_id(header.message_id)
    if header.message_id is not NO_ID:
        sent = encode({"message_id": b"r", "v": 3, "response_to": header.message_id}, OK, [1])
        assert sent.endswith(bytes(header.message_id) + REST)
        again = readdressed(sent, {"message_id": b"n"})  # as the answer to a call with a key is
        assert again.endswith(bytes(header.message_id) + REST)
    with contextlib.suppress(ValueError):
        read_call_header(header.call)


def check_request(event: WireEvent | BadEvent, data: bytes) -> None:
    """What a server makes of it, if it is a request."""
    channel = ServerChannel(ServerPeer(None, new_ids()), b"key", event, data, None)
    channel.heed_header(1000.0)
    assert not math.isnan(channel.until)
    assert not math.isnan(channel.stream_until)
    assert isinstance(channel.request_event().header, dict)
    channel.add_credit(channel.args)


def check_args(event: WireEvent, data: bytes) -> None:
    """What each side makes of its arguments, and whether it can be sent on."""
    assert len(data) <= LARGE or not may_collide(event.args), "a map was decoded that may take any time"
    reply_value(event.args)
    error = remote_error(event.args, event.header.version)
    assert isinstance(error, RemoteError)
    assert isinstance(str(error), str)
    try:
        sent = encode({"message_id": b"r"}, event.name, event.args)
    except SerializationError:
        return
    again = decode(sent)
    assert isinstance(again, WireEvent), f"{again} of {event}"
    for changed in (with_time_left(sent, None, 5.0, 2), renumbered(sent, b"n", 2)):
        assert isinstance(decode(changed), WireEvent)


def may_collide(value: object) -> bool:
    """Whether somewhere in it there is a map whose keys anybody can make collide: tuples, and many of them."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if len(one) >= MANY_KEYS and any(isinstance(key, tuple) for key in one):
                return True
            left += one.values()
        elif isinstance(one, list):
            left += one
    return False


def _or_none(read: Callable[[bytes], Any], data: bytes) -> Any:
    """What it reads; None for what it is allowed not to be able to."""
    try:
        return read(data)
    except DECODE_ERRORS:
        return None


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Real events, and as many runs of which nothing is known."""
    real = sources.events()
    chance = Random(0)
    return tuple(b"\1" + event for event in real) + tuple(b"\0" + chance.randbytes(80) for _ in real)
