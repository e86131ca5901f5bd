"""Which parameters a method has, as its server tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zerorpc.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable


class Parameters(NamedTuple):
    """``positional`` and ``named`` are those by position and by keyword, ``rest`` is ``*args``, ``others`` says whether
    there is ``**kwargs``; ``schemas`` has the JSON Schema of each that has an annotation.
    """

    positional: list[str]
    named: set[str]
    rest: str | None
    others: bool
    schemas: dict[str, object]

    def has(self, name: str | None) -> bool:
        """Whether there can be an argument of this name."""
        return name is not None and (self.others or name in self.named)

    def of_name(self, name: str | None) -> object:
        """The schema of an argument by keyword, None if nothing is known of it."""
        return self.schemas.get(name or "" if name in self.named else "**")

    def at(self, place: int) -> object:
        """The schema of an argument by position, None if nothing is known of it."""
        if place < len(self.positional):
            return self.schemas.get(self.positional[place])
        return self.schemas.get("*")


def parameters_of(ask: Callable[..., object], method: str) -> Parameters | None:
    """Ask a server for a method's parameters; None if it doesn't tell. Raises what ``ask``, a client, raises when there
    is no answer.
    """
    try:
        told = ask("_zerorpc_inspect")
    except RemoteError:  # a server of zerorpc 0.6 on Python 3.11 and later, or one that tells us nothing
        return None
    facts = _map(_map(_map(told).get("methods")).get(method))
    return _parameters(facts) if isinstance(facts.get("args"), list) else None


def _parameters(facts: dict[object, object]) -> Parameters:
    args = facts["args"]
    names = [name for arg in (args if isinstance(args, list) else []) if isinstance(name := _map(arg).get("name"), str)]
    plain = [name for name in names if not name.startswith("*")]
    stars = [place for place, name in enumerate(names) if name.startswith("*")]
    rest = next((name[1:] for name in names if name.startswith("*") and name[1:].isidentifier()), None)
    others = any(name.startswith("**") for name in names)
    return Parameters(names[: stars[0]] if stars else plain, set(plain), rest, others, _schemas(facts, rest))


def _schemas(facts: dict[object, object], rest: str | None) -> dict[str, object]:
    told = _map(_map(facts.get("schema")).get("arguments"))
    found: dict[str, object] = {}
    for name, schema in _map(told.get("properties")).items():
        found[str(name)] = {key: value for key, value in _map(schema).items() if key != "default"}
    if rest is not None:
        found["*"] = _map(found.pop(rest, None)).get("items")
    found["**"] = told.get("additionalProperties")
    return found


def _map(told: object) -> dict[object, object]:
    return told if isinstance(told, dict) else {}
