"""Values as MessagePack: what it has, what a type of its own stands for, and large ones also when memory runs out.

msgspec packs fastest, but takes a date for a text and a set for a list, and can't be told not to. So it packs what can
only be what it is, such as a text, and ormsgpack lists and maps, which stops at anything that MessagePack lacks
(``quick``): for a list of 100 maps in 1.2 times of msgspec's time, where a look at each value in Python takes 20 times.
What is left goes through ``Forms`` first, value by value.

msgspec's ``encode`` ends the process with SIGSEGV when its output can't grow, whatever is packed: so it does for 64
MiB of octets, texts or numbers with 20 MiB left (0.22, Linux). Its ``encode_into`` raises MemoryError, but takes
longer: for all requests and replies 2.8% of a call's instructions. So that packs large octets that are an argument, a
result or an item by themselves. Those inside of a list or map are not seen.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral
from types import NoneType
from typing import Any, TypeAlias

import msgspec
import ormsgpack
from msgspec import Raw
from msgspec.msgpack import Ext

from zerorpc.errors import SerializationError
from zerorpc.protocol.data_classes import fields_of
from zerorpc.protocol.forms import INT, NUMPY_SCALAR, Form
from zerorpc.protocol.framed import ALONE, ASIDE_MAX, BYTES_ASIDE, aside, with_buffers
from zerorpc.protocol.values import form_of, map_form
from zerorpc.shown import message_of, name_of

__all__ = [
    "CALL_KEY",
    "LARGE_OCTETS",
    "PLAIN",
    "SIZED",
    "Forms",
    "Lend",
    "encode_quickly",
    "encode_usual",
    "pack",
    "problem_of",
    "put_aside",
    "quick",
    "unsendable",
]

CALL_KEY = "_zpc_call"  # a request's header: a map of what it says besides (``call_header``)
PLAIN = frozenset((str, int, float, bool, NoneType))  # what ``encode_usual`` packs as what it is
LARGE_OCTETS = 16 * 1024  # octets, from which on another copy costs more than ``encode``
_SIZED = (bytes, bytearray, memoryview)
SIZED = frozenset(_SIZED)  # of a memoryview len() may raise


def plain(value: Any) -> Any:
    """What msgspec can't pack but the old implementation could: subclasses of the basic types; and any integer."""
    why = ""
    try:
        for base, convert in _SUBCLASSED:
            if isinstance(value, base):
                return convert(value)
        if hasattr(type(value), "__index__") and not hasattr(type(value), "__len__"):
            return operator.index(value)  # and no array of NumPy's, which may hide its one number
    except MemoryError:
        raise
    except Exception as error:
        why = f": {problem_of(error)}"
    raise TypeError(f"a value of type {type(value).__qualname__} can't be sent{why}")


_SUBCLASSED: tuple[tuple[type, Any], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)


def pack(value: object, encoder: msgspec.msgpack.Encoder | None = None) -> bytearray:
    """``encode_usual``, or what another encoder makes of it, that raises MemoryError when memory runs out."""
    buffer = bytearray()
    (encoder or _encoder).encode_into(value, buffer)
    return buffer


_encoder = msgspec.msgpack.Encoder(enc_hook=plain)  # of ids, and of what hooks put into headers
# Of a (header, name, args) that seems small, for where a call costs, and whose values are PLAIN: what it raises goes
# through ``unsendable``, and whether the event is too large is up to the caller.
encode_usual: Callable[[object], bytes] = _encoder.encode


# Lists and maps


_STOP = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_UUID
)  # without OPT_NON_STR_KEYS: with it, a date that is a key becomes a text


def quick(value: object) -> bytes:
    """Pack a value of which all parts are what MessagePack has. Raises TypeError for others, and for what it doesn't
    look into: maps whose keys aren't texts, and more than 200 lists in each other.
    """
    return ormsgpack.packb(value, None, _STOP)


def encode_quickly(header: Mapping[str, object], name: object, args: Sequence[object]) -> bytes:
    """A request with arguments that aren't PLAIN, or with keyword arguments, which stand in the header.

    Raises as ``quick``.
    """
    if len(args) == 1 and type(args[0]) is bytes and len(args[0]) > LARGE_OCTETS and CALL_KEY not in header:
        return with_buffers(encode_usual((header, name, ALONE)), (args[0],))  # the usual, in a few steps
    beside: list[bytes] = []
    call = header.get(CALL_KEY)
    if isinstance(call, dict) and isinstance(call.get("kwargs"), dict):
        kwargs = {name: _quickly(value, beside) for name, value in call["kwargs"].items()}
        header = {**header, CALL_KEY: {**call, "kwargs": kwargs}}
    return with_buffers(encode_usual((header, name, [_quickly(arg, beside) for arg in args])), beside)


def _quickly(value: object, beside: list[bytes]) -> object:
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind in SIZED and isinstance(value, _SIZED):
        return put_aside(value, beside)
    return Raw(quick(value))


def put_aside(value: bytes | bytearray | memoryview, beside: list[bytes]) -> object:
    """What stands for octets in an event: they go ``beside`` it, if they are large. Raises TypeError for a memoryview
    of something else.
    """
    if type(value) is not bytes and isinstance(value, memoryview) and not is_plain(value):
        raise TypeError("a memoryview of more than octets")
    place = len(beside)
    if len(value) <= LARGE_OCTETS or place >= ASIDE_MAX:
        return value
    beside.append(bytes(value))
    return BYTES_ASIDE[place]


def is_plain(value: memoryview) -> bool:
    """Whether it is of plain octets, which MessagePack has."""
    return value.format == "B" and value.ndim == 1 and value.contiguous


# What needs a form

_LISTS = (list, tuple)
Lend: TypeAlias = Callable[[object], "Ext | None"]


class Forms:
    """Gives each value of one message its form. ``lend`` says what stands for what isn't sent, but lent; None for what
    isn't lent.

    ``natural``: its receiver is one of ours, and takes the extension types; else they are refused, by TypeError.
    ``used`` has those that the message has got, by the names of their types.
    """

    def __init__(self, natural: bool, lend: Lend | None = None, in_band: bool = False) -> None:
        self._natural = natural
        self._lend = lend
        self.used: dict[str, Form] = {}
        self.beside: list[bytes] = []  # large octets, which go beside the event
        self._inside = in_band  # large octets stay where they are: inside of a form, too

    @property
    def needs(self) -> tuple[str, ...]:
        """What an older peer lacks, for an error."""
        return tuple(f"values of type {name} (it takes {form.instead})" for name, form in self.used.items())

    @property
    def only_numbers(self) -> bool:
        """Whether an older peer might take all that has a form here, as numbers."""
        return all(form.code == NUMPY_SCALAR for form in self.used.values())

    def pack(self, header: object, name: object, args: object) -> bytes:
        """An event. Raises what its values' own code raises, and what goes through ``unsendable``."""
        return with_buffers(pack((header, name, self.of(args))), self.beside)

    def of(self, value: object) -> Any:
        """A value that MessagePack has."""
        kind = type(value)
        if kind in PLAIN:
            return value if kind is not int or _are_plain((value,)) else self._other(value, int)
        if kind in _LISTS and isinstance(value, _LISTS):
            return value if _are_plain(value) else [self.of(each) for each in value]
        if kind is dict and isinstance(value, dict):
            return value if _are_plain(value) and _are_plain(value.values()) else self._map(value)
        if kind in SIZED and isinstance(value, _SIZED) and (not isinstance(value, memoryview) or is_plain(value)):
            return value if self._inside else put_aside(value, self.beside)
        return self._other(value, kind)

    def _map(self, value: dict[object, object]) -> object:
        keys = [self._key(key) for key in value]
        if len(set(keys) if not any(map(_has_form, keys)) else value) < len(value):
            raise TypeError("two keys of a map would become the same")
        # A receiver refuses keys that are lists, as soon as they are many: anybody can make their hashes collide.
        if not any(isinstance(key, tuple) or _has_form(key) for key in keys) or not self._natural:
            return dict(zip(keys, map(self.of, value.values()), strict=True))
        return map_form(list(zip(keys, value.values(), strict=True)), self._nested)

    def _key(self, key: object) -> Any:
        inside, self._inside = self._inside, True
        try:
            formed = self.of(key)
        finally:
            self._inside = inside
        return tuple(map(self._key, formed)) if isinstance(formed, (list, tuple)) else formed

    def _nested(self, value: object) -> bytes:
        """What is inside of a form. Nothing is lent there."""
        lend, inside = self._lend, self._inside
        self._lend, self._inside = None, True
        try:
            return bytes(pack(self.of(value)))
        finally:
            self._lend, self._inside = lend, inside

    def _other(self, value: object, kind: type) -> Any:
        lent = None if self._lend is None else self._lend(value)
        if lent is not None:
            return lent
        if kind is Ext:
            return value
        form = form_of(kind)
        if form is None and issubclass(kind, enum.Enum) and not issubclass(kind, _BASIC):
            form = _ENUM
        if form is None:
            fields = fields_of(value)
            return self.of(plain(value) if fields is None else fields)
        if not self._natural:
            return _for_older(value, form)
        self.used[_name_of(kind)] = form
        if form is _ENUM and isinstance(value, enum.Enum):
            return self.of(value.value)
        if form.split is None:
            return Ext(form.code, form.encode(value, self._nested))
        description, octets = form.split(value)
        if len(octets) <= LARGE_OCTETS or self._inside or len(self.beside) >= ASIDE_MAX:
            return Ext(form.code, description + octets)
        self.beside.append(octets)
        return aside(len(self.beside) - 1, form.code, description)


def _are_plain(values: Collection[object]) -> bool:
    kinds = set(map(type, values))
    if not kinds <= PLAIN:
        return False
    return int not in kinds or all(-(1 << 63) <= value < 1 << 64 for value in values if isinstance(value, int))


def _has_form(key: object) -> bool:
    return isinstance(key, Ext) or (isinstance(key, tuple) and any(map(_has_form, key)))


_ENUM = Form(-1, lambda value, nested: nested(value.value), "its value")  # an annotation makes it one again
_BASIC = (str, int, float, bytes)


def _for_older(value: object, form: Form) -> object:
    """What zerorpc 0.6 could pack: numbers of NumPy that are numbers for Python, too."""
    if form.code == INT:
        return value  # which is too large, as msgspec says
    kind = type(value)
    is_number = issubclass(kind, _BASIC) or (issubclass(kind, Integral) and hasattr(kind, "__index__"))
    if form.code == NUMPY_SCALAR and is_number:  # a truth has __index__ before NumPy 2.3, and a time is Integral
        return plain(value)
    name = _name_of(kind)
    raise TypeError(f"a value of type {name} can't be sent to a peer of an older protocol, which takes {form.instead}")


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# Errors


def unsendable(error: Exception) -> Exception:
    """What to raise for what was raised while a value was packed, by its own code, perhaps.

    Only a lack of memory stays what it is: it says nothing about the value.
    """
    return error if issubclass(type(error), MemoryError) else SerializationError(problem_of(error))


def problem_of(error: Exception) -> str:
    """What an error is about; its type too, where that is no error of packing but of a value's own code."""
    kind, text = name_of(error), message_of(error)
    if not text:
        return kind
    return text if issubclass(type(error), _PACKING_ERRORS) else f"{kind}: {text}"


_PACKING_ERRORS = (TypeError, ValueError, OverflowError, RecursionError, BufferError)
