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
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from zerorpc.limits import Limits
from zerorpc.protocol.values import is_registered
from zerorpc.remote_objects import RemoteFunction, RemoteObject
from zerorpc.service.annotations import UNIONS, alternatives, is_of_pydantic, parts, unaliased, with_limits
from zerorpc.service.mismatch import Converter, Mismatch, Unsupported, kind_of
from zerorpc.service.numpy_conversion import is_of_numpy, of_numpy
from zerorpc.shown import message_of, name_of, text_of

__all__ = ["converter_of"]


def converter_of(annotation: object, strict: bool = False, text_keys: bool = False) -> Converter | None:
    """What makes a value that came from elsewhere into one that the annotation describes; None if that is any value.

    A value that is one already passes; if ``strict``, its natural form doesn't, but for what has no other form between
    our peers: a list for a tuple, a map for a dataclass, an enum's value. With ``text_keys`` the keys of maps are
    texts, as in JSON, whatever they stand for. Raises Unsupported for what is no type, or can't be checked.
    """
    annotation = unaliased(annotation)
    if isinstance(annotation, TypeVar):
        return _of_type_variable(annotation, strict, text_keys)
    origin = get_origin(annotation)
    if any(part is Any or part is object for part in alternatives(annotation)):
        return None
    if is_of_pydantic(annotation):
        return _of_pydantic(annotation)
    if is_of_numpy(origin or annotation):
        return of_numpy(annotation, strict)
    if Callable in (origin, annotation):
        return _as_function
    translated = with_limits(annotation)
    if _is_own_class(translated):
        return _of_own_class(translated)
    if (problem := _problem(translated)) is None:
        convert = _of_msgspec(translated, strict, text_keys)
        return convert if strict or not _is_of_seconds(annotation) else _of_seconds(convert)
    if origin in UNIONS:
        return _of_union(annotation, strict, text_keys)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _of_enum(annotation)
    raise Unsupported(problem)


def _of_type_variable(variable: TypeVar, strict: bool, text_keys: bool) -> Converter | None:
    if variable.__constraints__:
        return converter_of(functools.reduce(operator.or_, variable.__constraints__), strict, text_keys)
    return None if variable.__bound__ is None else converter_of(variable.__bound__, strict, text_keys)


def _as_function(value: object) -> Any:
    if callable(value):
        return value
    raise Mismatch(f"expected a function, got {kind_of(value)}")


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


def _of_msgspec(annotation: object, strict: bool, text_keys: bool) -> Converter:
    builtin, hook = (_EVERY, _exact) if strict else (_BUILTIN, _natural)
    # msgspec remembers of a Struct how its fields are converted, and of no other type: 1 us instead of 9 for a union
    box: Any = msgspec.defstruct("Box", [("value", annotation)], array_like=True)

    def convert(value: object) -> Any:
        try:
            return msgspec.convert((value,), box, dec_hook=hook, builtin_types=builtin, str_keys=text_keys).value
        except msgspec.ValidationError as error:
            plainer = _plainer(value, arrays=not strict)
            if plainer is not value:
                return convert(plainer)
            raise _told(error, annotation, value) from None
        except RecursionError:
            raise Mismatch("it is nested too deeply") from None
        except MemoryError:
            raise
        except Exception as error:  # what the value's parts don't allow, such as a list in a set
            raise Mismatch(f"{name_of(error)}: {message_of(error)}") from None

    annotation = _PLAIN.get(annotation, annotation)
    if annotation not in _AS_THEY_ARE:
        return convert
    return lambda value: value if type(value) is annotation else convert(value)


def _is_of_seconds(annotation: object) -> bool:
    kinds = alternatives(get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation)
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
    if not path and get_origin(annotation) is Literal:
        return Mismatch(f"expected {', '.join(map(reprlib.repr, get_args(annotation)))}, got {reprlib.repr(value)}")
    why = _QUOTED.sub(lambda quoted: _THEIRS.sub(lambda word: _OURS[word[0]], quoted[1]), text[:_LONGEST])
    why = why.removeprefix("Object ")
    why = f"{why[:1].lower()}{why[1:]}"
    return Mismatch(f"of a key: {why}" if of_key else why, path)


def _exact(kind: object, value: object) -> Any:
    """As ``_natural``, and nothing is made of anything."""
    origin: Any = get_origin(kind) or kind
    if is_of_numpy(origin):
        return _part(of_numpy(kind, strict=True), value)
    if issubclass(origin, _COLLECTIONS):
        return _collection(kind, value, strict=True)
    if isinstance(value, origin):
        return value
    raise TypeError(f"expected {origin.__name__}, got {kind_of(value)}")


def _natural(kind: object, value: object) -> Any:
    """What msgspec asks for a type that it doesn't know. Raises TypeError, which it tells with the path."""
    origin: Any = get_origin(kind) or kind
    if is_of_numpy(origin):  # in a class of another kind
        return _part(of_numpy(kind), value)
    if issubclass(origin, _COLLECTIONS):
        return _collection(kind, value)
    if isinstance(value, origin):
        return value
    if is_of_pydantic(kind):
        return _part(_of_pydantic(kind), value)
    for base, forms in _forms().items():
        if issubclass(origin, base) and isinstance(value, forms):
            try:
                return _of_parts(value) if base is complex and isinstance(value, list) else origin(value)
            except Exception as error:
                raise TypeError(f"{name_of(error)}: {message_of(error)}") from None
    raise TypeError(f"expected {origin.__name__}, got {kind_of(value)}")


def _part(convert: Converter, value: object) -> Any:
    """Raises TypeError."""
    try:
        return convert(value)
    except Mismatch as error:
        raise TypeError(f"{error.path.lstrip('.')} {error.why}".lstrip()) from None


_COLLECTIONS = (collections.deque, collections.Counter, collections.OrderedDict, collections.defaultdict)


def _collection(kind: object, value: object, strict: bool = False) -> Any:
    """One of these travels as a list or dict, whose parts are checked. Raises TypeError."""
    origin: Any = get_origin(kind) or kind
    parts = get_args(kind)
    if origin is collections.Counter:
        inner: Any = types.GenericAlias(dict, (*(parts or (Any,)), int))
    else:
        plain = list if origin is collections.deque else dict
        inner = types.GenericAlias(plain, parts) if parts else plain
    as_it_came = list(value) if isinstance(value, collections.deque) else value
    convert = _inner(inner, strict)
    converted: Any = as_it_came if convert is None else _part(convert, as_it_came)
    if origin is collections.defaultdict:
        return collections.defaultdict(parts[1] if parts and isinstance(parts[1], type) else None, converted)
    return origin(converted)


@functools.cache
def _inner(kind: object, strict: bool) -> Converter | None:
    return converter_of(kind, strict)


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
        **dict.fromkeys(_COLLECTIONS, ()),
    }


# What it doesn't know


def _is_own_class(kind: object) -> bool:
    """A program's class, that is neither data nor has a natural form: an object of it can only be lent."""
    if not isinstance(kind, type) or get_origin(kind) is not None or issubclass(kind, tuple(_forms())):
        return False
    if is_of_numpy(kind) or is_registered(kind):
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
                raise Mismatch(f"expected {kind.__name__}, got {kind_of(value)}")
        return value

    return check


def _of_union(annotation: object, strict: bool, text_keys: bool) -> Converter | None:
    """Of types that msgspec doesn't tell apart, the first that takes the value as it is, or else that takes it."""
    members = get_args(annotation)
    converters = [converter_of(member, strict, text_keys) for member in members]
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
        raise Mismatch(f"expected {' | '.join(map(_name, members))}, got {kind_of(value)}")

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
    return f"expected {kind.__name__} ({values}), got {text_of(value, reprlib.repr)}"


# pydantic, which is imported when somebody annotates with it


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


_LISTED_MAX = Limits().values  # numbers of an array that become a list: as many as a list may bring


def _plainer(value: object, arrays: bool) -> object:
    """With their values in place of members of Enums, which msgspec doesn't take for what they are, and of ``arrays``
    and of NumPy's numbers lists and numbers; the value itself if it has none.
    """
    if isinstance(value, enum.Enum) and not isinstance(value, (int, str)):
        return value.value
    np: Any = sys.modules.get("numpy")
    if arrays and (isinstance(value, array.array) or (np is not None and isinstance(value, (np.ndarray, np.generic)))):
        if len(value) > _LISTED_MAX if isinstance(value, array.array) else value.size > _LISTED_MAX:
            raise Mismatch(f"expected a list, got an array of more than {_LISTED_MAX:,} numbers")
        return value.tolist()
    if isinstance(value, dict):
        keys, values = _all_plainer(value, arrays), _all_plainer(value.values(), arrays)
        return value if keys is values is None else dict(zip(keys or value, values or value.values(), strict=True))
    if isinstance(value, (list, tuple, set, frozenset)):
        parts = _all_plainer(value, arrays)
        return value if parts is None else set(parts) if isinstance(value, (set, frozenset)) else parts
    return value


def _all_plainer(values: Collection[object], arrays: bool) -> list[Any] | None:
    """None if none is changed."""
    plainer = [_plainer(value, arrays) for value in values]
    return None if all(new is old for new, old in zip(plainer, values, strict=True)) else plainer


def _name(annotation: object) -> str:
    if annotation is types.NoneType:
        return "None"
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else text_of(annotation)
