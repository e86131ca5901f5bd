"""What stands in an annotation: its parts, what an alias stands for, and limits in the words of msgspec."""

from __future__ import annotations

import collections
import functools
import operator
import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

__all__ = ["UNIONS", "alternatives", "is_of_pydantic", "parts", "unaliased", "with_limits"]

UNIONS = (Union, types.UnionType)


def unaliased(annotation: object) -> Any:
    """What an alias stands for (PEP 695: ``type Name = ...``, as NumPy's NDArray is on Python 3.12 and later)."""
    alias: Any = get_origin(annotation) or annotation
    if type(alias).__name__ != "TypeAliasType":
        return annotation
    args = get_args(annotation)
    return unaliased(alias.__value__[args] if args else alias.__value__)


def alternatives(annotation: object) -> tuple[Any, ...]:
    """What a union is of; any other annotation alone."""
    return get_args(annotation) if get_origin(annotation) in UNIONS else (annotation,)


def parts(annotation: object) -> Iterator[Any]:
    """An annotation and all that stands in it."""
    yield annotation
    if get_origin(annotation) is Literal:
        return
    for part in get_args(annotation):
        if isinstance(part, list):  # the arguments of a Callable
            continue
        yield from parts(part)


def is_of_pydantic(annotation: object) -> bool:
    """Whether pydantic has to say what a value is: it stands in the annotation."""
    return "pydantic" in sys.modules and any(
        hasattr(part, "__get_pydantic_core_schema__")
        or hasattr(part, "__pydantic_validator__")
        or (type(part).__module__ or "").partition(".")[0] == "pydantic"
        for part in parts(annotation)
    )


def with_limits(annotation: object) -> Any:
    """The same with limits in msgspec's words."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if origin is Annotated:
        limits = [limit for each in args[1:] for limit in _limits_of(each)]
        inner = with_limits(args[0])
        return functools.reduce(lambda kind, limit: Annotated[kind, limit], limits, inner)
    if not args or origin is Literal or origin is collections.abc.Callable:
        return annotation
    changed = tuple(map(with_limits, args))
    if changed == args:
        return annotation
    if origin in UNIONS:
        return functools.reduce(operator.or_, changed)
    return origin[changed]


def _limits_of(metadata: object) -> Iterator[msgspec.Meta]:
    if isinstance(metadata, msgspec.Meta):
        yield metadata
    elif type(metadata).__module__ == "annotated_types":
        names = {_WORDS[name]: getattr(metadata, name) for name in _WORDS if getattr(metadata, name, None) is not None}
        if names.get("min_length") == 0:
            del names["min_length"]
        if names:
            yield msgspec.Meta(**names)


_WORDS = {name: name for name in ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length")}
