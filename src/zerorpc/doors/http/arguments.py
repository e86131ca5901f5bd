"""A request's body as the arguments of a method."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple, TypeAlias

from zerorpc.doors.http.json_values import decode
from zerorpc.service.methods import Method

__all__ = ["ByPosition", "Given", "NotArgumentsError", "arguments_of"]

Given: TypeAlias = "tuple[list[Any], dict[str, Any] | None]"


class NotArgumentsError(Exception):
    """A body that holds none; says why."""


class ByPosition(NamedTuple):
    """The names of a method's parameters that take an argument by position only, and of its ``*args``.

    Where there are ``*args``, what is before them goes by position too.
    """

    names: list[str]
    rest: str | None

    @classmethod
    def of(cls, method: Method) -> ByPosition:
        try:
            parameters = list(inspect.signature(method.entered).parameters.values())
        except BaseException:  # a program's own may raise anything
            return cls([], None)
        rest = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), None)
        last = inspect.Parameter.POSITIONAL_ONLY if rest is None else inspect.Parameter.POSITIONAL_OR_KEYWORD
        return cls([each.name for each in parameters if each.kind <= last], rest)


def arguments_of(body: bytes, placing: ByPosition | None, more: dict[str, object]) -> Given:
    """Those by position and those by keyword: a body has a map by name, or a list by position; or nothing is in it.

    ``more`` are further ones, by name; ``placing`` is the method's, None if there is no method. Raises
    NotArgumentsError.
    """
    if not body and not more:
        return [], None
    try:
        value = decode(body) if body else {}
    except ValueError as error:
        raise NotArgumentsError(f"the body is no JSON: {error}") from None
    if isinstance(value, list):
        return value, more or None
    if isinstance(value, dict):
        if twice := value.keys() & more:
            raise NotArgumentsError(f"{', '.join(twice)} streams: its items are further lines")
        value |= more
        return ([], value) if placing is None else _placed(placing, value)
    raise NotArgumentsError('arguments are a map, {"x": 1}, or a list, [1]')


def _placed(placing: ByPosition, named: dict[str, object]) -> Given:
    """With those that Python takes by position only in their places, up to the first gap: it says what is missing.

    The schema, which all callers see, has a name for each.
    """
    first, rest = placing
    if not first and rest is None:
        return [], named
    left = dict(named)
    placed: list[Any] = []
    for name in first:
        if name not in left:
            return placed, left
        placed.append(left.pop(name))
    if rest is not None and rest in left:
        several = left.pop(rest)
        if not isinstance(several, list):
            raise NotArgumentsError(f"{rest} is a list of further arguments")
        placed += several
    return placed, left
