"""Large octets of an event beside it, in frames of their own: they are not copied into it, nor out of it.

In the event stands an extension type that says which frame it is, and what its octets are. Only values that are an
argument, a result, an item, or in lists and maps of these are taken out, and only between our peers; whoever sends to
an older one puts them back (``in_band``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec.msgpack import Ext

from zerorpc.protocol import buffers
from zerorpc.protocol.forms import BUFFER
from zerorpc.protocol.values import value_of
from zerorpc.zmtp.frames import Frame, Framed

__all__ = [
    "ALONE",
    "ASIDE_MAX",
    "BYTES_ASIDE",
    "FramedEvent",
    "aside",
    "decoded",
    "hook_with",
    "put_back",
    "with_buffers",
]

ASIDE_MAX = 16  # buffers of an event: a peer takes no message of many frames


class FramedEvent(Framed):
    """A packed event and its ``buffers``. Its length is that of all."""

    def in_band(self) -> bytes:
        """The event with its large octets in it. Raises ValueError for what doesn't make sense."""
        left: list[Frame | None] = list(self.buffers)

        def hook(code: int, data: memoryview) -> object:
            if code != BUFFER:
                return Ext(code, bytes(data))
            octets, kind, description = _taken(data, left)
            return Ext(kind, b"".join((description, octets))) if kind else bytes(octets)

        return bytes(_pack(msgspec.msgpack.Decoder(ext_hook=hook).decode(bytes(self))))


_pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


def with_buffers(data: bytes | bytearray, aside: Sequence[Frame]) -> bytes:
    """An event with its buffers; as it is if there are none."""
    if not aside:
        return bytes(data)
    made = FramedEvent(data)
    made.buffers = aside
    return made


def aside(place: int, code: int = 0, description: bytes | memoryview = b"") -> Ext:
    """What stands for the buffer at that place: bytes, or what the ``code`` and ``description`` make of it."""
    return Ext(BUFFER, b"".join((place.to_bytes(2, "big"), bytes((code,)), description)))


BYTES_ASIDE: list[Ext] = [aside(place) for place in range(ASIDE_MAX)]
ALONE: list[Ext] = BYTES_ASIDE[:1]  # arguments, or results, that are large bytes and nothing else


Hook: TypeAlias = "Callable[[int, memoryview], object]"
E = TypeVar("E")  # an event, of whichever kind


def hook_with(found: Sequence[Frame], others: Hook = value_of) -> Hook:
    """As a decoder's hook: ``value_of`` for an event that has these buffers; or ``others`` for what else is in it."""
    left: list[Frame | None] = list(found)

    def hook(code: int, data: memoryview) -> object:
        return _value(data, left) if code == BUFFER else others(code, data)

    return hook if left else others


def decoded(data: FramedEvent, simply: Callable[[bytes], E]) -> E | None:
    """An event with its octets, by a decoder that has no hook, which takes half of the time; None if it takes a hook.

    Raises ValueError as the hook does.
    """
    try:
        event = simply(data)
    except msgspec.MsgspecError:  # such as a map's key that only the hook makes hashable
        return None
    return event if put_back(event, data.buffers) else None


def put_back(event: Any, found: Sequence[Frame]) -> bool:
    """Put the octets into an event that was decoded without a hook, if that is all that a hook would have done, and
    tell whether it was: not so if there are other extension types, or something that may have some in it.

    Raises ValueError as the hook does.
    """
    args = event.args
    if len(found) == 1 and type(found[0]) is bytes:  # the usual, in a few steps
        if args == ALONE:
            args[0] = found[0]
            return True
        if args == BYTES_ASIDE[0]:
            event.args = found[0]
            return True
    if type(args) is not list:
        return False
    stand_ins = []
    for place, arg in enumerate(args):
        kind = type(arg)
        if kind is Ext and arg.code == BUFFER:
            stand_ins.append(place)
        elif kind not in _PLAIN:
            return False
    left: list[Frame | None] = list(found)
    for place in stand_ins:
        args[place] = _value(memoryview(args[place].data), left)
    return True


_PLAIN = frozenset((str, int, float, bool, NoneType, bytes))


def _value(data: memoryview, left: list[Frame | None]) -> object:
    octets, kind, description = _taken(data, left)
    if kind:
        return buffers.made_of(kind, description, octets)
    return octets if type(octets) is bytes else bytes(octets)


def _taken(data: memoryview, left: list[Frame | None]) -> tuple[Frame, int, memoryview]:
    """A buffer, and what is to be made of it. Each is there once: of many references to one, each would be a copy."""
    place = int.from_bytes(data[:2], "big")
    if len(data) < 3 or place >= len(left):
        raise ValueError("it refers to a frame that isn't there")
    octets, left[place] = left[place], None
    if octets is None:
        raise ValueError("it refers to a frame twice")
    return octets, data[2], data[3:]
