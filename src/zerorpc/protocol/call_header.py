"""What a request of ours says besides its name and its arguments (docs/protocol.md, What a request may say besides).

It all stands under one key of the header, so that the requests which say nothing of it cost nothing. Peers of extension
level 0 ignore the key; what they must not ignore is not sent to them (``ClientChannel.needs``).
"""

from __future__ import annotations

from math import inf
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from zerorpc.protocol.events import CALL_KEY, DECODE_ERRORS, NO_ID, RETRY_AFTER_KEY, TIMEOUT_KEY, Buffer
from zerorpc.protocol.framed import FramedEvent, hook_with, with_buffers
from zerorpc.protocol.packing import pack
from zerorpc.protocol.values import value_of

__all__ = [
    "KEY_MAX",
    "CallHeader",
    "Metadata",
    "read_call_header",
    "readdressed",
    "renumbered",
    "retry_after",
    "with_time_left",
]

Metadata: TypeAlias = dict[str, str | bytes]


KEY_MAX = 255  # characters or octets of an idempotency key; a UUID has 36


class CallHeader(msgspec.Struct):
    """The value of that key. Other keys in it are ignored."""

    kwargs: dict[str, Any] | None = None  # the arguments given by keyword
    options: list[str] | None = None  # keywords that the caller took for options of the call, and not for arguments
    deadline: float | None = None  # seconds that are left for all of the call, a stream's items included
    metadata: dict[str, Any] | None = None  # of the program: texts and octets
    stream: int | str | None = None  # the argument that streams, by its place or keyword; nil stands there
    key: Any = None  # an idempotency key, text or octets: the same for all attempts of one call
    attempt: int | None = None  # of a call that is repeated: which one this is
    lends: bool = False  # whether there are references among the arguments (``references``)
    ref: int | None = None  # the reference whose function or object is called
    words: bool = False  # the arguments are words that somebody typed, and may mean numbers and the like
    progress: bool = False  # the caller wants to hear how far the method has come: by the function that has this name,
    # of the reference PROGRESS
    within: Raw = NO_ID  # the id of the call whose function makes this one, while that waits for it


def read_call_header(raw: Raw, event: Buffer = b"") -> CallHeader:
    """Decode the key's value, in an event. Raises ValueError, which says what is wrong with it."""
    try:
        if isinstance(event, FramedEvent):
            header = msgspec.msgpack.decode(raw, type=CallHeader, ext_hook=hook_with(event.buffers))
        else:
            header = _decoder.decode(raw)
    except DECODE_ERRORS as error:
        raise ValueError(f"{CALL_KEY} in its header: {error}") from None
    for name, value in (header.metadata or {}).items():
        if not isinstance(value, (str, bytes)):
            raise ValueError(f"metadata has to be texts or octets, and {name} is of type {type(value).__name__}")
    key = header.key
    if key is not None and not (isinstance(key, (str, bytes)) and 0 < len(key) <= KEY_MAX):
        raise ValueError(f"an idempotency key has to be a text or octets, 1 to {KEY_MAX} of them")
    return header


_decoder = msgspec.msgpack.Decoder(CallHeader, ext_hook=value_of)


class _Parts(msgspec.Struct, array_like=True):
    header: dict[str, Any]
    name: Raw
    args: Raw


class _ReplyParts(msgspec.Struct, array_like=True):
    header: dict[str, Raw]
    name: Raw
    args: Raw


_parts_decoder = msgspec.msgpack.Decoder(_Parts)
_reply_decoder = msgspec.msgpack.Decoder(_ReplyParts)


def with_time_left(request: Buffer, first: float | None, all_of_it: float, attempt: int = 1) -> bytes:
    """The same packed request, sent later than when it was packed: ``first`` seconds are left for the first reply, and
    ``all_of_it`` for the whole call, if it has such a limit. ``attempt`` is its number. Everything else stays as it is.
    """
    parts = _parts_decoder.decode(bytes(request))
    header = parts.header
    header[TIMEOUT_KEY] = first
    call = header.get(CALL_KEY)
    if isinstance(call, dict) and "deadline" in call:
        call["deadline"] = all_of_it
    if attempt > 1:
        header[CALL_KEY] = {**call, "attempt": attempt} if isinstance(call, dict) else {"attempt": attempt}
    return _again(request, (header, parts.name, parts.args))


def _again(event: Buffer, parts: object) -> bytes:
    return with_buffers(pack(parts), event.buffers if isinstance(event, FramedEvent) else ())


def renumbered(request: Buffer, message_id: object, attempt: int) -> bytes:
    """The same packed request with an id of its own, as a further attempt."""
    parts = _parts_decoder.decode(bytes(request))
    call = parts.header.get(CALL_KEY)
    said = {**(call if isinstance(call, dict) else {}), "attempt": attempt}
    return _again(request, ({**parts.header, "message_id": message_id, CALL_KEY: said}, parts.name, parts.args))


def readdressed(reply: bytes, header: dict[str, Any]) -> bytes:
    """A packed reply as one to another request: ``header`` has what differs. The request's id may be unreadable."""
    parts = _reply_decoder.decode(bytes(reply))
    return _again(reply, ({**parts.header, **header}, parts.name, parts.args))


def retry_after(header: dict[str, Any]) -> float | None:
    """The seconds after which a server that is overloaded wants to be asked again; None if its header doesn't say."""
    told = header.get(RETRY_AFTER_KEY)
    return float(told) if isinstance(told, (int, float)) and not isinstance(told, bool) and 0 <= told < inf else None
