"""Events, ``[header, name, args]`` in MessagePack: all that zerorpc peers say to each other (docs/protocol.md, Events).

On the way in an event is a ``WireEvent``: decoded once, ids kept as the very octets that came, so that they go back
exact to the byte and the type. Hooks see an ``Event``, whose header is a plain dict; it is only built for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, final

import msgspec
from msgspec import Raw

from zerorpc.errors import ProtocolError, SerializationError
from zerorpc.limits import Limits
from zerorpc.protocol.framed import ALONE, FramedEvent, decoded, hook_with, with_buffers
from zerorpc.protocol.packing import (
    CALL_KEY,
    LARGE_OCTETS,
    PLAIN,
    SIZED,
    Forms,
    Lend,
    encode_usual,
    problem_of,
    put_aside,
    quick,
    unsendable,
)
from zerorpc.protocol.raw_strings import decode_raw_strings, split_event
from zerorpc.protocol.references import find_references
from zerorpc.protocol.shape import LARGE, checked, shape_problem
from zerorpc.protocol.values import value_of
from zerorpc.zmtp import frames

__all__ = [
    "CALL_KEY",
    "CANCEL",
    "DECODE_ERRORS",
    "DONE",
    "DROPPED",
    "ERR",
    "ERROR_KEY",
    "GOAWAY",
    "HEARTBEAT",
    "ID_MAX",
    "ITEM_EVENTS",
    "LATEST",
    "MORE",
    "NO_ID",
    "OK",
    "RAN_KEY",
    "RETRY_AFTER_KEY",
    "STREAM",
    "TIMEOUT_KEY",
    "USUAL_TIMEOUT",
    "VERSION",
    "BadEvent",
    "Event",
    "Header",
    "MessageId",
    "Reply",
    "ReplyHeader",
    "WireEvent",
    "decode",
    "decode_header",
    "decode_id",
    "decode_reply",
    "decode_usual",
    "encode",
    "encode_item",
    "encode_ok",
    "encode_with",
    "problem_beside",
    "too_large",
]

VERSION = 3
TIMEOUT_KEY = "_zpc_timeout"  # a request's header: seconds that its caller waits for the first reply, nil for ever,
USUAL_TIMEOUT = 30  # absent if it is what every client of zerorpc waits when it isn't told otherwise
RAN_KEY = "_zpc_ran"  # an ERR's header, to peers of extension level 1: whether the method ran, nil if that isn't known;
ERROR_KEY = "_zpc_error"  # the same, if the server itself refused: which of ``errors.SERVER_ERRORS`` it is
RETRY_AFTER_KEY = "_zpc_retry_after"  # and of a ServerOverloaded: seconds after which to try again, as a float
ID_MAX = 64 * 1024  # octets of a message id, which every further event of its channel carries; ours have 34

OK = "OK"
ERR = "ERR"
STREAM = "STREAM"
DONE = "STREAM_DONE"
ITEM_EVENTS = (STREAM, DONE, ERR)  # what a stream is made of
MORE = "_zpc_more"
HEARTBEAT = "_zpc_hb"
CANCEL = "_zpc_cancel"  # these are ours, sent to peers of extension level 1 only
GOAWAY = "_zpc_goaway"
LATEST = "_zpc_latest"  # of a stream only its newest item is wanted whenever there is credit,
DROPPED = "_zpc_dropped"  # and so many were left out before the next one

Buffer: TypeAlias = "bytes | bytearray"
MessageId: TypeAlias = "bytes | str | int"  # bytes, unless a program makes its own (``Context.new_msgid``)

NO_ID = Raw(b"")


class Header(msgspec.Struct, gc=False):  # nothing in it leads back to it: to decode one takes 200 instructions less
    """What the protocol itself reads of a header; other keys are the middleware's (``decode_header``)."""

    message_id: Raw = NO_ID
    v: Any = 1
    response_to: Raw = NO_ID
    timeout: Any = msgspec.field(default=USUAL_TIMEOUT, name=TIMEOUT_KEY)
    call: Raw = msgspec.field(default=NO_ID, name=CALL_KEY)  # undecoded, since hardly any request has it

    @property
    def version(self) -> int:
        """The sender's protocol version; missing means 1."""
        return self.v if type(self.v) is int else 1


class WireEvent(msgspec.Struct, array_like=True):
    """An event as received."""

    header: Header
    name: str
    args: Any


class ReplyHeader(msgspec.Struct, gc=False):  # as the other one
    """What a client reads of a header. It knows the ids that it made by their value; others are nobody's."""

    response_to: Any = None
    v: Any = 1

    @property
    def version(self) -> int:
        """The sender's protocol version; missing means 1."""
        return self.v if type(self.v) is int else 1


class Reply(msgspec.Struct, array_like=True):
    """An event as a client receives it: a WireEvent, for 0.1 us less."""

    header: ReplyHeader
    name: str
    args: Any


@final
class BadEvent(msgspec.Struct):
    """An event of which only the header could be read; ``problem`` says what is wrong with the rest."""

    header: Header
    name: str
    problem: str


class Event:
    """An event as hooks see it: ``name``, ``args`` and ``header`` (a dict) may be changed before it is sent.

    Of a request, a server's hooks also see its ``identity``, the frames that a reply goes back by, and its ``caller``:
    where it comes from, such as "tcp://203.0.113.9:40312".
    """

    __slots__ = ("args", "caller", "header", "identity", "name")

    def __init__(
        self, name: str, args: object, header: dict[str, object], identity: object = None, caller: str | None = None
    ) -> None:
        self.name: str = name
        self.args: Any = args
        self.header: dict[str, Any] = header
        self.identity: object = identity
        self.caller: str | None = caller

    def __repr__(self) -> str:
        return f"<Event {self.name} {self.header!r}>"


# Out


def encode(
    header: Mapping[str, object], name: str, args: object, natural: bool = False, lend: Lend | None = None
) -> bytes:
    """Pack one event, whose receiver may be one of ours (``Forms``). Raises SerializationError when a value has no form
    that it could be sent in, or all are too large.
    """
    return encode_with(Forms(natural, lend), header, name, args)


def encode_with(forms: Forms, header: Mapping[str, object] | Raw, name: str | bytes, args: object) -> bytes:
    """The same; ``forms`` tells afterwards what the event has."""
    try:
        data = forms.pack(header, name, args)
    except Exception as error:
        raise unsendable(error) from error
    if len(data) > frames.MESSAGE_MAX:
        raise too_large(len(data))
    return data


def encode_ok(message_id: bytes, response_to: Raw, value: object) -> bytes:
    """``encode({"message_id": …, "v": 3, "response_to": …}, OK, [value])`` for an id of 32 octets, in less time.

    Raises SerializationError also for what ``quick`` leaves to ``encode``.
    """
    if type(value) not in PLAIN:
        return _encode_other((_REPLY_HEAD, message_id, _REPLY_MIDDLE, response_to, _OK_TAIL), value)
    try:
        data = b"".join((_REPLY_HEAD, message_id, _REPLY_MIDDLE, response_to, _OK_TAIL, encode_usual(value)))
    except Exception as error:
        raise unsendable(error) from error
    if len(data) > frames.MESSAGE_MAX:
        raise too_large(len(data))
    return data


def encode_item(message_id: bytes, response_to: Raw, value: object) -> bytes:
    """The same for STREAM."""
    if type(value) not in PLAIN:
        return _encode_other((_REPLY_HEAD, message_id, _REPLY_MIDDLE, response_to, _STREAM_TAIL), value)
    try:
        data = b"".join((_REPLY_HEAD, message_id, _REPLY_MIDDLE, response_to, _STREAM_TAIL, encode_usual(value)))
    except Exception as error:
        raise unsendable(error) from error
    if len(data) > frames.MESSAGE_MAX:
        raise too_large(len(data))
    return data


def _encode_other(head: tuple[bytes, ...], value: object) -> bytes:
    """What isn't PLAIN. Large octets stand beside it."""
    try:
        if type(value) is bytes and len(value) > LARGE_OCTETS:  # the usual, in a few steps
            data = with_buffers(b"".join((*head, _ALONE)), (value,))
        elif isinstance(value, (bytes, bytearray, memoryview)) and type(value) in SIZED:
            beside: list[bytes] = []
            packed = encode_usual(put_aside(value, beside))
            data = with_buffers(b"".join((*head, packed)), beside)
        else:
            data = b"".join((*head, quick(value)))
    except Exception as error:
        raise unsendable(error) from error
    if len(data) > frames.MESSAGE_MAX:
        raise too_large(len(data))
    return data


def too_large(size: int) -> SerializationError:
    """The error of an event that its receiver would refuse, and the connection with it."""
    return SerializationError(f"a message of {size} octets (the limit is {frames.MESSAGE_MAX})")


# A reply as ``encode`` packs it, with gaps for what differs.
_REPLY_HEAD = b"\x93\x83" + encode_usual("message_id") + b"\xc4\x20"  # a bin of 32 octets
_REPLY_MIDDLE = encode_usual("v") + encode_usual(VERSION) + encode_usual("response_to")
_OK_TAIL = encode_usual(OK) + b"\x91"
_STREAM_TAIL = encode_usual(STREAM)
_ALONE = encode_usual(ALONE[0])


# In

# ``decode`` without its second try, for where a call costs: they raise one of DECODE_ERRORS instead.
decode_usual: Callable[[Buffer], WireEvent] = msgspec.msgpack.Decoder(WireEvent, ext_hook=value_of).decode
# A reply with references raises HasReferences, too: its peer decodes it again (``references.borrowing``).
decode_reply: Callable[[Buffer], Reply] = msgspec.msgpack.Decoder(Reply, ext_hook=find_references).decode
_decode_simply: Callable[[Buffer], WireEvent] = msgspec.msgpack.Decoder(WireEvent).decode  # with no hook
DECODE_ERRORS = (msgspec.MsgspecError, ValueError, TypeError, RecursionError, OverflowError, MemoryError)


def decode(data: Buffer, values_max: int = Limits().values) -> WireEvent | BadEvent:
    """Unpack one event; a BadEvent if just the header makes sense. Raises ProtocolError if not even that."""
    if isinstance(data, FramedEvent):
        return _decode_framed(data, values_max)
    problem = shape_problem(data, values_max) if len(data) > LARGE else None
    if type(data) is frames.Oversized:
        problem = data.why
    if problem is None:
        with contextlib.suppress(*DECODE_ERRORS):
            return decode_usual(data)
    return _decode_by_parts(bytes(data), problem)


def _decode_framed(data: FramedEvent, values_max: int) -> WireEvent | BadEvent:
    problem = problem_beside(data, values_max)
    if problem is None:
        try:
            event = decoded(data, _decode_simply)
            return event or msgspec.msgpack.decode(data, type=WireEvent, ext_hook=hook_with(data.buffers))
        except DECODE_ERRORS as error:
            problem = f"the arguments can't be decoded: {problem_of(error)}"
    return _decode_by_parts(bytes(data), problem)


def problem_beside(data: FramedEvent, values_max: int) -> str | None:
    """Why an event with buffers is not to be decoded; None if it is."""
    for buffer in data.buffers:
        if type(buffer) is frames.Oversized:
            return buffer.why
    return shape_problem(bytes(data), values_max) if bytes.__len__(data) > LARGE else None


def decode_id(octets: Raw) -> object:
    """An id's value; None for one that has none."""
    try:
        return _any_decoder.decode(octets)
    except DECODE_ERRORS:
        return None


def decode_header(data: Buffer) -> dict[str, Any]:
    """The whole header as a dict, for hooks. Never raises, whatever the octets.

    What has no meaning in it, such as a text that isn't UTF-8, is left out; and everything, if it is no header at all
    or takes too long to go through.
    """
    if isinstance(data, FramedEvent):
        data = bytes(data)
    try:
        return _header_decoder.decode(data if len(data) <= LARGE else checked(data)).header
    except DECODE_ERRORS:
        pass
    try:
        return _readable_values(split_event(bytes(data))[0])
    except DECODE_ERRORS:
        return {}


class _HeaderOnly(msgspec.Struct, array_like=True):
    header: dict[str, Any]


_header_decoder = msgspec.msgpack.Decoder(_HeaderOnly)
_raw_map_decoder = msgspec.msgpack.Decoder(dict[Any, Raw])
_any_decoder = msgspec.msgpack.Decoder()
_args_decoder = msgspec.msgpack.Decoder(ext_hook=value_of)


def _decode_by_parts(data: bytes, refused: str | None = None) -> WireEvent | BadEvent:
    """Find out which part of an event is unreadable, and make the best of the others; or of those of one that is
    ``refused`` for what they are.
    """
    try:
        raw_header, raw_name, raw_args = split_event(data)
        header, header_problem = _lenient_header(raw_header)
    except DECODE_ERRORS as error:
        raise ProtocolError(f"not an event: {error}") from None
    name, name_problem = _lenient_name(raw_name)
    problem = header_problem or name_problem or refused
    if problem is None:
        try:
            return WireEvent(header, name, _lenient_args(raw_args, header.version))
        except DECODE_ERRORS as error:
            problem = f"the arguments can't be decoded: {problem_of(error)}"
    return BadEvent(header, name, problem)


def _lenient_header(data: bytes) -> tuple[Header, str | None]:
    """Read a header whose keys may be of the wrong type."""
    fields: dict[object, Raw] = {}
    problem = None
    for key, value in _raw_map_decoder.decode(data).items():
        if isinstance(key, bytes):
            problem = "the header's keys are bytes, not strings"
            key = key.decode("latin-1")
        fields[key] = value
    version = _any_decoder.decode(fields["v"]) if "v" in fields else 1
    return Header(fields.get("message_id", NO_ID), version, fields.get("response_to", NO_ID)), problem


def _readable_values(data: bytes) -> dict[str, object]:
    """What can be read of a header as a dict."""
    values: dict[str, object] = {}
    for key, value in _raw_map_decoder.decode(data).items():
        if isinstance(key, (str, bytes)):
            with contextlib.suppress(*DECODE_ERRORS):
                values[key if isinstance(key, str) else key.decode("latin-1")] = _any_decoder.decode(value)
    return values


def _lenient_name(raw: bytes) -> tuple[str, str | None]:
    try:
        name = _any_decoder.decode(raw)
    except DECODE_ERRORS as error:
        return "?", f"the method's name can't be decoded: {error}"
    if isinstance(name, str):
        return name, None
    shown = name.decode("utf-8", "replace") if isinstance(name, bytes) else "?"
    return shown, f"the method's name is of type {type(name).__name__}, not a string"


def _lenient_args(raw: bytes, version: int) -> object:
    try:
        return _args_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):  # of a str that isn't UTF-8; the second before msgspec 0.23
        if version >= VERSION:
            raise
        return decode_raw_strings(raw)
