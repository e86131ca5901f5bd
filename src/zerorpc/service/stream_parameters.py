"""Which parameters of a method take a stream of items from the caller, and in which form."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeVar

__all__ = ["ASYNC", "PLAIN", "Items", "parameter_at", "stream_parameters", "takes_stream", "with_iterators"]

_F = TypeVar("_F", bound=Callable[..., Any])

PLAIN, ASYNC = "an iterator", "an async iterator"

_NAMED = re.compile(r"\b(Async)?(Iterator|Iterable|Generator)\b")


class Items:
    """An argument that streams, as a method reads it; doors have subclasses."""

    convert: Callable[[Any], Any] | None = None  # what makes of an item what the annotation says; None: nothing does


def takes_stream(*names: str) -> Callable[[_F], _F]:
    """``@zerorpc.takes_stream("numbers")``: these parameters take a stream from the caller, as if annotated as one.

    A coroutine method or async generator gets an async iterator, any other one a plain one. Returns the function.
    Parameters that are annotated as ``Iterator``, ``Iterable``, ``Generator``, or as their async counterparts, need no
    mark. Raises TypeError if the function has no such parameter.
    """

    def mark(function: _F) -> _F:
        missing = [name for name in names if name not in inspect.signature(function).parameters]
        if missing:
            raise TypeError(f"@zerorpc.takes_stream: {function} has no parameter {', '.join(missing)}")
        function._zerorpc_takes_stream = names  # type: ignore[attr-defined]  # a mark of ours
        return function

    return mark


def stream_parameters(function: object) -> dict[str, str]:
    """By name, PLAIN or ASYNC. By what is written, never evaluated: an annotation may name what can't be imported.

    None where a program's own signature or annotation raises, whatever that is.
    """
    try:
        return _annotated(function) | _marked(function)
    except BaseException:
        return {}


def _annotated(function: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, parameter in _parameters(function).items():
        if parameter.annotation is not parameter.empty and (match := _NAMED.search(_text(parameter))):
            found[name] = ASYNC if match[1] else PLAIN
    return found


def _marked(function: object) -> dict[str, str]:
    names = getattr(function, "_zerorpc_takes_stream", ())
    inner = inspect.unwrap(function) if names and callable(function) else None
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    return dict.fromkeys(names, ASYNC if is_async else PLAIN)


def _parameters(function: object) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters  # type: ignore[arg-type]  # TypeError for what isn't callable


def _text(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def parameter_at(function: object, place: int | str) -> str | None:
    """The name of the parameter for an argument, by its place or keyword; None if there is none of its own."""
    parameters = _parameters(function)
    if isinstance(place, str):
        found = parameters.get(place)
        return place if found is not None and found.kind is not found.VAR_KEYWORD else None
    for n, parameter in enumerate(parameters.values()):
        if parameter.kind is parameter.VAR_POSITIONAL or n == place:
            return parameter.name if parameter.kind is not parameter.KEYWORD_ONLY else None
    return None


def with_iterators(function: Callable[..., object], parameters: Mapping[str, str]) -> Callable[..., object]:
    """A method that gets an iterator as its annotation says, also where a caller has sent a list."""
    written = _parameters(function)
    # a list is an Iterable as it is
    exact = {name for name, kind in parameters.items() if kind is ASYNC or "Iterable" not in _text(written[name])}
    if not exact:
        return function
    signature = inspect.signature(function)

    @functools.wraps(function)
    def called(*args: object, **kwargs: object) -> object:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # which says it better
        for name in exact & bound.arguments.keys():
            value = bound.arguments[name]
            if isinstance(value, list):
                bound.arguments[name] = _as_async(value) if parameters[name] is ASYNC else iter(value)
        return function(*bound.args, **bound.kwargs)

    return called


async def _as_async(values: Iterable[object]) -> AsyncIterator[object]:
    for value in values:
        yield value
