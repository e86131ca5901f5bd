"""Values that MessagePack has no form for, as extension types (docs/protocol.md, Values).

They travel between our peers only, each as itself. An older peer would take a date's text for a text, so it is sent
none: who calls is told what it would take instead.
"""

from __future__ import annotations

import collections
import datetime
import struct
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from zerorpc.protocol import buffers, shape
from zerorpc.protocol.forms import (
    COMPLEX,
    DATE,
    DATETIME,
    DECIMAL,
    FROZENSET,
    INT,
    MAP,
    SET,
    TIME,
    TIMEDELTA,
    UUID,
    Form,
    Nested,
)

__all__ = ["form_of", "is_registered", "map_form", "register_type", "value_of"]

SAME_HASH_MAX = 64  # elements of a set, or keys of a map, with the same hash: more are somebody's attack


def _of_int(value: int, _: Nested) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _of_set(value: set[object], nested: Nested) -> bytes:
    return nested(list(value))


def _of_complex(value: complex, _: Nested) -> bytes:
    return _COMPLEX.pack(value.real, value.imag)


def _iso(value: datetime.date | datetime.time, _: Nested) -> bytes:
    """With its offset, if it has one."""
    if isinstance(value, datetime.time) and value.tzinfo is not None and value.utcoffset() is None:
        raise TypeError("a time whose zone has an offset only on a date can't be sent")
    return value.isoformat().encode()


def _of_timedelta(value: datetime.timedelta, nested: Nested) -> bytes:
    return nested([value.days, value.seconds, value.microseconds])


_COMPLEX = struct.Struct(">dd")
_FORMS: dict[type, Form] = {
    int: Form(INT, _of_int, "a text"),  # one of more than 64 bits
    set: Form(SET, _of_set, "a list"),
    frozenset: Form(FROZENSET, _of_set, "a list"),
    complex: Form(COMPLEX, _of_complex, "a list of two numbers"),
    datetime.datetime: Form(DATETIME, _iso, "its isoformat()"),
    datetime.date: Form(DATE, _iso, "its isoformat()"),
    datetime.time: Form(TIME, _iso, "its isoformat()"),
    datetime.timedelta: Form(TIMEDELTA, _of_timedelta, "its total_seconds()"),
    Decimal: Form(DECIMAL, lambda value, _: str(value).encode(), "its text"),
    uuid.UUID: Form(UUID, lambda value, _: value.bytes, "its text"),
    **buffers.FORMS,
}


def form_of(kind: type) -> Form | None:
    """How values of exactly this type travel; None if it isn't one of these."""
    form = _FORMS.get(kind)
    return buffers.numpy_form(kind) if form is None and kind.__module__ == "numpy" else form


def map_form(pairs: Sequence[tuple[object, object]], nested: Nested) -> Ext:
    """A map with keys that need a form."""
    return Ext(MAP, nested([part for pair in pairs for part in pair]))


# In


def value_of(code: int, data: memoryview) -> object:
    """As a decoder's hook: what an extension type stands for; an Ext for one that isn't known. Raises ValueError."""
    read = _READ.get(code)
    if read is None:
        return Ext(code, bytes(data))
    try:
        return read(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of a program's own function, perhaps
        raise ValueError(f"a value of extension type {code} can't be read: {type(error).__name__}: {error}") from error


def _decoded(data: memoryview) -> Any:
    return _decoder.decode(data)


_decoder = msgspec.msgpack.Decoder(ext_hook=value_of)


def _elements(data: memoryview) -> frozenset[Any]:
    elements = _hashable(_decoded(data))
    found = frozenset(elements)
    if len(found) < len(elements):
        raise ValueError("two of its elements are the same")
    return found


def _hashable(values: list[object]) -> list[Any]:
    """With tuples in place of lists, which a set's elements and a map's keys can't have been."""
    values = [_frozen(value) for value in values]
    if len(values) > SAME_HASH_MAX:
        _, most = collections.Counter(map(hash, values)).most_common(1)[0]
        if most > SAME_HASH_MAX:
            raise ValueError(f"more than {SAME_HASH_MAX} of its elements have the same hash")
    return values


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _map(data: memoryview) -> dict[Any, Any]:
    parts = _decoded(data)
    found = dict(zip(_hashable(parts[::2]), parts[1::2], strict=True))
    if 2 * len(found) < len(parts):
        raise ValueError("two of its keys are the same")
    return found


def _text(data: memoryview) -> str:
    return str(data, "ascii")


_READ: dict[int, Callable[[memoryview], object]] = {
    INT: lambda data: int.from_bytes(data, "big", signed=True),
    SET: lambda data: set(_elements(data)),
    FROZENSET: _elements,
    MAP: _map,
    COMPLEX: lambda data: complex(*_COMPLEX.unpack(data)),
    DATETIME: lambda data: datetime.datetime.fromisoformat(_text(data)),
    DATE: lambda data: datetime.date.fromisoformat(_text(data)),
    TIME: lambda data: datetime.time.fromisoformat(_text(data)),
    TIMEDELTA: lambda data: datetime.timedelta(*_decoded(data)),
    DECIMAL: lambda data: Decimal(_text(data)),
    UUID: lambda data: uuid.UUID(bytes=bytes(data)),
    **buffers.READ,
}


# A program's own


def is_registered(cls: type) -> bool:
    """Whether values of a program's class travel as themselves."""
    return cls in _registered.values()


_OF_MESSAGEPACK = (list, tuple, dict, bytes, bytearray, str, float, bool, type(None))
_CODES: range = range(64)  # the codes that are a program's to give
_registered: dict[int, type] = {}


def register_type(code: int, cls: type, encode: Callable[[Any], object], decode: Callable[[Any], object]) -> None:
    """Let values of a class of your own travel as themselves: as arguments, results and items, wherever they stand.

    ``encode`` makes of one what can be sent, such as a list or map of its parts; ``decode`` makes the value of that
    again, and may raise for what isn't one. Both are called on any thread. ``code`` is 0 to 63; each side has to
    register the class with the same one, before it calls or serves. Only values of exactly this class are meant, not
    those of derived ones. Peers that speak an older protocol are sent none.

    Raises ValueError for a code or class that was registered for something else. To repeat a registration, with
    other functions perhaps, is fine. Safe in any thread.

    Example::

        zerorpc.register_type(1, Point, lambda p: [p.x, p.y], lambda parts: Point(*parts))
    """
    if not isinstance(cls, type):
        raise TypeError(f"a class is needed, not {cls!r}")
    if type(code) is not int or code not in _CODES:
        raise ValueError(f"a code is a number from 0 to {_CODES.stop - 1}, not {code!r}")
    if _registered.get(code, cls) is not cls:
        raise ValueError(f"code {code} was registered for {_registered[code].__qualname__}")
    if cls in _OF_MESSAGEPACK or (cls in _FORMS and cls not in _registered.values()):
        raise ValueError(f"{cls.__qualname__} travels as itself already")
    if (known := _FORMS.get(cls)) is not None and known.code != code:
        raise ValueError(f"{cls.__qualname__} was registered with code {known.code}")
    _registered[code] = cls
    shape.VALUES_INSIDE.add(code)
    _FORMS[cls] = Form(code, lambda value, nested: nested(encode(value)), "what it consists of")
    _READ[code] = lambda data: decode(_decoded(data))


shape.VALUES_INSIDE.update((SET, FROZENSET, MAP))
