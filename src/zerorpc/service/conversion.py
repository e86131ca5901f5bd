"""From an annotation to the function that checks a value, and makes of it what the annotation says.

msgspec does it for all that it knows: numbers, texts, enums, dataclasses, attrs, TypedDict, NamedTuple, dates, unions
of these, and whatever consists of them. Here is what it leaves to others: which form a type of the standard library
takes that MessagePack has no form for, arrays of numpy, models of pydantic, and limits in the words of
annotated-types.

A value of a type that MessagePack lacks comes in its natural form: a text for a date or a path, the value of an enum, a
list for a tuple or set. Nothing else is guessed: a text is no number.
"""

from __future__ import annotations

import array
import collections
import contextlib
import datetime as dt
import decimal
import enum
import functools
import itertools
import operator
import re
import reprlib
import sys
import types
import uuid
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

import msgspec

from zerorpc.remote_objects import RemoteFunction, RemoteObject
from zerorpc.service.annotations import UNIONS, alternatives, is_of_pydantic, parts, unaliased, with_limits
from zerorpc.shown import message_of, name_of, text_of

__all__ = ["Converter", "Mismatch", "Unsupported", "converter_of"]

Converter: TypeAlias = Callable[[object], object]  # raises Mismatch


class Mismatch(Exception):
    """A value isn't what an annotation says. ``path`` leads from the value to the part that isn't, as in ``[3].name``;
    ``why`` says what was expected.
    """

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(why, path)
        self.why: str = why
        self.path: str = path


class Unsupported(Exception):
    """Nothing can be told of whether a value is what this annotation says."""


def converter_of(annotation: object, strict: bool = False) -> Converter | None:
    """What makes a value that came from elsewhere into one that the annotation describes; None if that is any value.

    A value that is one already passes; if ``strict``, its natural form doesn't, but for what has no other form between
    our peers: a list for a tuple, a map for a dataclass, an enum's value. Raises Unsupported for what is no type, and
    for types that can't be checked.
    """
    annotation = unaliased(annotation)
    if isinstance(annotation, TypeVar):
        return _of_type_variable(annotation, strict)
    origin = get_origin(annotation)
    if any(part is Any or part is object for part in alternatives(annotation)):
        return None
    if is_of_pydantic(annotation):
        return _of_pydantic(annotation)
    if _is_of_numpy(origin or annotation):
        return _of_numpy(annotation, strict)
    if Callable in (origin, annotation):
        return _as_function
    translated = with_limits(annotation)
    if _is_own_class(translated):
        return _of_own_class(translated)
    if (problem := _problem(translated)) is None:
        convert = _of_msgspec(translated, strict)
        return convert if strict or not _is_of_seconds(annotation) else _of_seconds(convert)
    if origin in UNIONS:
        return _of_union(annotation, strict)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _of_enum(annotation)
    raise Unsupported(problem)


def _of_type_variable(variable: TypeVar, strict: bool) -> Converter | None:
    if variable.__constraints__:
        return converter_of(functools.reduce(operator.or_, variable.__constraints__), strict)
    return None if variable.__bound__ is None else converter_of(variable.__bound__, strict)


def _as_function(value: object) -> Any:
    if callable(value):
        return value
    raise Mismatch(f"expected a function, got {_kind(value)}")


# What msgspec knows

_BUILTIN = (bytes, bytearray, memoryview)  # MessagePack has these; msgspec would take a text for base64
# of which msgspec would else take the text or a number
_EVERY = (*_BUILTIN, dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, decimal.Decimal)
_AS_THEY_ARE = (bool, int, float, str, bytes, list, dict)
_PLAIN: dict[Any, Any] = {list[Any]: list, dict[Any, Any]: dict}


def _problem(annotation: object) -> str | None:
    """Why msgspec can't tell whether a value is of this type; None if it can."""
    try:
        msgspec.msgpack.Decoder(annotation)
    except Exception as error:  # also what can't be evaluated in the classes that the annotation names
        return message_of(error)
    inner = next((part for part in parts(annotation) if _is_own_class(part)), None)
    # a function or object of the caller's may stand for it, which msgspec would refuse
    return None if inner is None else f"{text_of(inner)} has no form in MessagePack"


def _of_msgspec(annotation: object, strict: bool) -> Converter:
    builtin, hook = (_EVERY, _exact) if strict else (_BUILTIN, _natural)
    # msgspec remembers of a Struct how its fields are converted, and of no other type: 1 us instead of 9 for a union
    box: Any = msgspec.defstruct("Box", [("value", annotation)], array_like=True)

    def convert(value: object) -> Any:
        try:
            return msgspec.convert((value,), box, dec_hook=hook, builtin_types=builtin).value
        except msgspec.ValidationError as error:
            plainer = value if strict else _without_arrays(value)
            if plainer is not value:
                return convert(plainer)
            raise _told(error, annotation, value) from None
        except RecursionError:
            raise Mismatch("it is nested too deeply") from None

    annotation = _PLAIN.get(annotation, annotation)
    if annotation not in _AS_THEY_ARE:
        return convert
    return lambda value: value if type(value) is annotation else convert(value)


def _is_of_seconds(annotation: object) -> bool:
    kinds = alternatives(annotation)
    return dt.timedelta in kinds and not {int, float}.intersection(kinds)


def _of_seconds(convert: Converter) -> Converter:
    """A timedelta's other natural form is a number, which msgspec takes for texts of numbers, too, or not at all."""

    def converted(value: object) -> Any:
        if isinstance(value, (int, float)) and type(value) is not bool:
            try:
                value = dt.timedelta(seconds=value)
            except (ValueError, OverflowError) as error:
                raise Mismatch(message_of(error)) from None
        return convert(value)

    return converted


_QUOTED = re.compile("`([^`]*)`")
_THEIRS = re.compile(r"\b(array|object|null)\b")
_OURS = {"array": "list", "object": "dict", "null": "None"}
_LONGEST = 300  # characters of a reason: msgspec quotes the value


def _told(error: msgspec.ValidationError, annotation: object, value: Any) -> Mismatch:
    """In our words: where msgspec says ``Expected `int`, got `str` - at `$[0].x` ``."""
    text, _, where = message_of(error).rpartition(" - at `")
    of_key, _, path = where.removesuffix("`").rpartition("$[0]")
    if not path and isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return Mismatch(_not_among(annotation, value))
    why = _QUOTED.sub(lambda quoted: _THEIRS.sub(lambda word: _OURS[word[0]], quoted[1]), text[:_LONGEST])
    why = why.removeprefix("Object ")
    why = f"{why[:1].lower()}{why[1:]}"
    return Mismatch(f"of a key: {why}" if of_key else why, path)


def _exact(kind: object, value: object) -> Any:
    """As ``_natural``, and nothing is made of anything."""
    origin: Any = get_origin(kind) or kind
    if isinstance(value, origin):
        return value
    raise TypeError(f"expected {origin.__name__}, got {_kind(value)}")


def _natural(kind: object, value: object) -> Any:
    """What msgspec asks for a type that it doesn't know. Raises TypeError, which it tells with the path."""
    origin: Any = get_origin(kind) or kind
    if isinstance(value, origin):
        return value
    if _is_of_numpy(origin) or is_of_pydantic(kind):  # in a class of another kind
        try:
            return (_of_numpy if _is_of_numpy(origin) else _of_pydantic)(kind)(value)
        except Mismatch as error:
            raise TypeError(f"{error.path.lstrip('.')} {error.why}".lstrip()) from None
    for base, forms in _forms().items():
        if issubclass(origin, base) and isinstance(value, forms):
            try:
                return _of_parts(value) if base is complex and isinstance(value, list) else origin(value)
            except Exception as error:
                raise TypeError(f"{name_of(error)}: {message_of(error)}") from None
    raise TypeError(f"expected {origin.__name__}, got {_kind(value)}")


def _of_parts(value: list[Any]) -> complex:
    real, imaginary = value
    return complex(real, imaginary)


@functools.cache
def _forms() -> dict[type, type | tuple[type, ...]]:
    """In which form a value of a type comes that MessagePack has none for. Dates, Decimal, UUID, enums are msgspec's.

    Nothing whose making could take long: of the text "1e999999999" a Fraction has a billion digits. Imported late: a
    server starts sooner without them.
    """
    import ipaddress
    import pathlib
    import zoneinfo

    return {
        pathlib.PurePath: str,
        ipaddress.IPv4Address: str,
        ipaddress.IPv6Address: str,
        ipaddress.IPv4Network: str,
        ipaddress.IPv6Network: str,
        zoneinfo.ZoneInfo: str,
        complex: (int, float, list),  # of its two parts
        collections.deque: list,
        collections.Counter: dict,
        collections.OrderedDict: dict,
    }


# What it doesn't know


def _is_own_class(kind: object) -> bool:
    """A program's class, that is neither data nor has a natural form: an object of it can only be lent."""
    if not isinstance(kind, type) or get_origin(kind) is not None or issubclass(kind, tuple(_forms())):
        return False
    if _is_of_numpy(kind):
        return False
    try:
        return isinstance(msgspec.inspect.type_info(kind), msgspec.inspect.CustomType)
    except Exception:
        return False


def _of_own_class(kind: type) -> Converter:
    def check(value: object) -> Any:
        if isinstance(value, (RemoteFunction, RemoteObject)):
            return value
        with contextlib.suppress(TypeError):  # of a Protocol: nobody can tell
            if not isinstance(value, kind):
                raise Mismatch(f"expected {kind.__name__}, got {_kind(value)}")
        return value

    return check


def _of_union(annotation: object, strict: bool) -> Converter | None:
    """Of types that msgspec doesn't tell apart, the first that takes the value as it is, or else that takes it."""
    members = get_args(annotation)
    converters = [converter_of(member, strict) for member in members]
    classes = tuple(member for member in members if isinstance(member, type) and get_origin(member) is None)
    known = [converter for converter in converters if converter is not None]
    if len(known) < len(converters):
        return None

    def convert(value: object) -> Any:
        if type(value) in classes:
            return value
        for converter in known:
            with contextlib.suppress(Mismatch):
                return converter(value)
        raise Mismatch(f"expected {' | '.join(map(_name, members))}, got {_kind(value)}")

    return convert


def _of_enum(kind: type[enum.Enum]) -> Converter:
    """One with other values than only texts or only whole numbers."""

    def convert(value: object) -> Any:
        for form in (value, tuple(value)) if isinstance(value, list) else (value,):
            with contextlib.suppress(Exception):  # ValueError, or what an own _missing_ raises
                return kind(form)
        raise Mismatch(_not_among(kind, value))

    return convert


def _not_among(kind: type[enum.Enum], value: object) -> str:
    values = ", ".join(reprlib.repr(member.value) for member in itertools.islice(kind, 20))
    return f"expected {kind.__name__} ({values}), got {reprlib.repr(value)}"


# pydantic, numpy and annotated-types. None is imported before somebody annotates with it.


@functools.cache
def _of_pydantic(annotation: object) -> Converter:
    import pydantic

    try:
        adapter: Any = pydantic.TypeAdapter(annotation)  # type: ignore[arg-type]  # any form of one
    except Exception as error:
        raise Unsupported(message_of(error)) from None

    def convert(value: object) -> Any:
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
            raise Mismatch(first["msg"][:1].lower() + first["msg"][1:], path) from None

    return convert


def _is_of_numpy(kind: object) -> bool:
    return isinstance(kind, type) and kind.__module__.partition(".")[0] == "numpy"


@functools.cache
def _of_numpy(annotation: object, strict: bool = False) -> Converter:
    """An array comes as lists of numbers, a scalar as a number."""
    import numpy as np

    kind: Any = get_origin(annotation) or annotation
    scalars = [part for part in parts(annotation) if isinstance(part, type) and issubclass(part, np.generic)]
    if issubclass(kind, np.ndarray):
        forms: tuple[type, ...] = (list, array.array, memoryview)
        make: Converter = functools.partial(_as_array, scalars[0] if scalars else None)
    else:
        make = kind  # which would cut 1.5 to 1
        forms = (bool,) if issubclass(kind, np.bool_) else (int,) if issubclass(kind, np.integer) else (int, float)

    def convert(value: object) -> Any:
        if isinstance(value, kind):
            return make(value) if kind is np.ndarray else value
        value = value.item() if isinstance(value, np.generic) else value
        if strict or not isinstance(value, forms) or (type(value) is bool and bool not in forms):
            raise Mismatch(f"expected {kind.__name__}, got {_kind(value)}")
        try:
            return make(value)
        except Exception as error:
            raise Mismatch(message_of(error)) from None

    return convert


def _as_array(scalar: type | None, value: object) -> Any:
    import numpy as np

    given = np.asarray(value)
    kind: type = given.dtype.type
    if (scalar is None and given is value) or (scalar is not None and issubclass(kind, scalar)):
        return given
    if given.dtype.kind not in "biufc" and given.size:
        raise ValueError(f"expected numbers, got {given.dtype}")
    if scalar is None:
        return given
    made: Any = given.astype(scalar, casting="same_kind", copy=False)
    if made.dtype.kind in "iu" and not np.array_equal(made, given):  # it would have wrapped around
        raise ValueError(f"a number is too large for {scalar.__name__}")
    return made


def _without_arrays(value: object) -> object:
    """With lists and numbers in place of arrays and of NumPy's numbers; the value itself if it has none."""
    np: Any = sys.modules.get("numpy")
    if isinstance(value, array.array) or (np is not None and isinstance(value, (np.ndarray, np.generic))):
        return value.tolist()
    parts: Any = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    plainer = [_without_arrays(part) for part in parts]
    if all(new is old for new, old in zip(plainer, parts, strict=True)):
        return value
    return dict(zip(value, plainer, strict=True)) if isinstance(value, dict) else plainer


# What both are told with


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _name(annotation: object) -> str:
    if annotation is types.NoneType:
        return "None"
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else text_of(annotation)
