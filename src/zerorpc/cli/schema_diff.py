"""What of a service's changes would break its callers. Pure: two services in, findings out.

- WIRE breaks calls as every peer makes them, by position, or what callers make of the answers.
- SOURCE breaks only calls that give arguments by keyword.

What is only added, or takes more than before, breaks nobody and isn't found.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from zerorpc.cli.schema_parts import told
from zerorpc.cli.schema_types import Typed, excess
from zerorpc.described import BY_NAME, BY_PLACE, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zerorpc.described import Method, Parameter, Schema, Service


class Level(enum.Enum):
    """Whom it breaks."""

    WIRE = "wire"
    SOURCE = "source"


class Finding(NamedTuple):
    """One change that would break a caller."""

    level: Level
    method: str
    what: str

    def __str__(self) -> str:
        return f"{self.level.name} {self.method}: {self.what}"


def differences(old: Service, new: Service) -> list[Finding]:
    """In the order of the old service's methods; empty if nobody would notice."""
    found: list[Finding] = []
    for name, method in old.methods.items():
        now = new.methods.get(name)
        if now is None:
            found.append(Finding(Level.WIRE, name, "the method is gone"))
        else:
            found += (Finding(level, name, what) for level, what in _of_method(method, now))
    return found


def _of_method(old: Method, new: Method) -> Iterator[tuple[Level, str]]:
    if old == new:  # however large it is
        return
    if old.parameters is not None and new.parameters is not None:
        yield from _Parameters(old, new).changes()
    if None not in (old.streams, new.streams) and old.streams is not new.streams:
        yield Level.WIRE, "it streams its result now" if new.streams else "it doesn't stream its result any more"
    else:
        changed = excess(Typed(new.result, new.definitions, True), Typed(old.result, old.definitions))
        if changed is not None:
            yield Level.WIRE, f"{'item' if new.streams else 'result'}{changed}"
    if old.idempotent and not new.idempotent:
        yield (
            Level.WIRE,
            "it isn't idempotent any more: a client with retry= repeats it no longer",
        )


class _Parameters:
    """Those of one method, before and now."""

    def __init__(self, old: Method, new: Method) -> None:
        self._old, self._new = old, new
        self._before = {each.name: each for each in old.parameters or ()}
        self._now = {each.name: each for each in new.parameters or ()}
        self._places = [name for name, each in self._before.items() if each.kind in BY_PLACE]
        self._places_now = [name for name, each in self._now.items() if each.kind in BY_PLACE]
        self._variadic = {each.kind: each for each in self._now.values() if each.kind not in (*BY_PLACE, *BY_NAME)}
        self._renamed = dict(self._renames())  # to new names

    def changes(self) -> Iterator[tuple[Level, str]]:
        for old in self._before.values():
            if old.kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD):
                yield from self._of_variadic(old)
            else:
                yield from self._of_one(old)
        yield from self._order()
        for name, new in self._now.items():
            if new.required and name not in self._before and name not in self._renamed.values():
                yield Level.WIRE, f"parameter {name} is new and has no default"

    def _renames(self) -> Iterator[tuple[str, str]]:
        """What stands in the place of another, if neither is elsewhere; a keyword-only one if there is no choice."""
        for old, new in zip(self._places, self._places_now, strict=False):
            if old not in self._now and new not in self._before:
                yield old, new
        gone = [p for p in self._before.values() if p.kind is Kind.KEYWORD_ONLY and p.name not in self._now]
        come = [p for p in self._now.values() if p.kind is Kind.KEYWORD_ONLY and p.name not in self._before]
        if len(gone) == len(come) == 1 and self._narrower(gone[0], come[0]) is None:
            yield gone[0].name, come[0].name

    def _of_one(self, old: Parameter) -> Iterator[tuple[Level, str]]:
        name = old.name
        new = self._now.get(self._renamed.get(name, name))
        if new is None or new.kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD):
            yield from self._of_removed(old)
            return
        if name in self._renamed and old.kind in BY_NAME:
            yield Level.SOURCE, f"parameter {name} is called {new.name} now"
        elif old.kind in BY_NAME and new.kind not in BY_NAME:
            yield Level.SOURCE, f"parameter {name} can't be given by keyword any more"
        if old.kind in BY_PLACE and new.kind not in BY_PLACE:
            yield Level.WIRE, f"parameter {name} can only be given by keyword now"
        yield from self._of_pair(old, new)

    def _of_pair(self, old: Parameter, new: Parameter) -> Iterator[tuple[Level, str]]:
        if new.required and not old.required:
            yield Level.WIRE, f"parameter {new.shown} has no default any more"
        if old.streams and not new.streams:
            yield Level.WIRE, f"parameter {new.shown} takes no stream any more"
            return
        narrower = self._narrower(old, new)
        if narrower is not None:
            yield Level.WIRE, f"parameter {new.shown}{narrower}"

    def _narrower(self, old: Parameter, new: Parameter) -> str | None:
        now = _taken(new)
        if new.streams and not old.streams:  # which takes a list too
            now = {"type": "array", "items": now}
        return excess(Typed(_taken(old), self._old.definitions), Typed(now, self._new.definitions, True))

    def _of_removed(self, old: Parameter) -> Iterator[tuple[Level, str]]:
        """One that *args or **kwargs may take in its place."""
        rest, named = self._variadic.get(Kind.VAR_POSITIONAL), self._variadic.get(Kind.VAR_KEYWORD)
        by_place, by_name = old.kind in BY_PLACE, old.kind in BY_NAME
        if (by_place and rest is None) or (not by_place and named is None):
            yield Level.WIRE, f"parameter {old.name} was removed"
            return
        if by_name and named is None:
            yield Level.SOURCE, f"parameter {old.name} can't be given by keyword any more"
        new = rest if by_place else named
        if new is not None:
            yield from self._of_pair(old, new)

    def _of_variadic(self, old: Parameter) -> Iterator[tuple[Level, str]]:
        new = self._variadic.get(old.kind)
        if new is not None:
            yield from self._of_pair(old, new)
        elif old.kind is Kind.VAR_POSITIONAL:
            yield Level.WIRE, f"parameter {old.shown} was removed: it takes no more arguments than it names"
        else:
            yield Level.SOURCE, f"parameter {old.shown} was removed: it takes no keywords but those that it names"

    def _order(self) -> Iterator[tuple[Level, str]]:
        """What was given by position and would go elsewhere."""
        before = [self._renamed.get(name, name) for name in self._places]
        stayed = [name for name in before if name in self._places_now]
        if stayed != [name for name in self._places_now if name in stayed]:
            was, now = ", ".join(self._places), ", ".join(self._places_now)
            yield Level.WIRE, f"parameters have another order: ({was}) became ({now})"
            return
        for place, name in enumerate(self._places_now):
            following = [each for each in self._places_now[place:] if each in stayed]
            if name not in stayed and following and not self._now[name].required:  # a required one is told of as new
                yield Level.WIRE, f"parameter {name} is new and stands before {following[0]}"


def _taken(parameter: Parameter) -> Schema:
    """What it takes: also None, if that is its default, whatever else is written."""
    schema = parameter.schema
    if parameter.default is not None or not told(schema):
        return schema
    return {"anyOf": [schema, {"type": "null"}]}
