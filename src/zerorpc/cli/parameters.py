"""Which parameters a word of the command line may be an argument for, as the server tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.asking import ask_method
from zerorpc.described import ANYTHING, BY_NAME, BY_PLACE, Kind

if TYPE_CHECKING:
    from zerorpc.cli.asking import Ask
    from zerorpc.described import Method, Schema


class Parameters:
    """Those of one method."""

    def __init__(self, method: Method) -> None:
        told = method.parameters or ()
        self._places = [each.schema for each in told if each.kind in BY_PLACE]
        self._names = {each.name: each.schema for each in told if each.kind in BY_NAME}
        self._others = {each.kind: each.schema for each in told if each.kind not in (*BY_NAME, *BY_PLACE)}

    @property
    def names(self) -> list[str]:
        """Of those that may be given by keyword."""
        return list(self._names)

    def has(self, name: str | None) -> bool:
        """Whether there can be an argument of this name."""
        return name is not None and (name in self._names or Kind.VAR_KEYWORD in self._others)

    def of_name(self, name: str | None) -> Schema:
        """The schema of an argument by keyword, without its default; empty if nothing is known of it."""
        return _bare(self._names.get(name or "", self._others.get(Kind.VAR_KEYWORD, ANYTHING)))

    def at(self, place: int) -> Schema:
        """The schema of an argument by position; empty if nothing is known of it."""
        if place < len(self._places):
            return _bare(self._places[place])
        return _bare(self._others.get(Kind.VAR_POSITIONAL, ANYTHING))


def parameters_of(ask: Ask, method: str) -> Parameters | None:
    """Those of a method, None if the server doesn't tell them. ``ask`` is a client; raises what it raises when there is
    no answer.
    """
    found = ask_method(ask, method)
    return None if found is None or found.parameters is None else Parameters(found)


def _bare(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "default"}
