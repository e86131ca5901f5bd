"""What a server has told of its methods, as Python's own tools want it: names, signatures, documentation.

Servers tell it in two ways, and everything in it may be missing or nonsense: a map of methods (protocol version 3), or
a list of ``[name, argspec, doc]`` (version 2). Of older ones only the names are known.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from zerorpc.shown import block, line

__all__ = ["Description", "Told"]

METHODS_MAX = 10_000  # as the command line's list has it: nobody completes among more
LONGEST_DOC = 64 * 1024  # characters: longer ones nobody reads at a prompt


class Told(NamedTuple):
    """What is known of one method; ``signature`` is None if it isn't, or makes no sense."""

    signature: inspect.Signature | None
    doc: str


class Description:
    """The methods of one server, from what it answered."""

    def __init__(self, answer: object) -> None:
        methods = answer.get("methods") if isinstance(answer, dict) else answer
        pairs = methods.items() if isinstance(methods, dict) else _of_list(methods)
        self._methods: dict[str, object] = {
            name: told for name, told in islice(pairs, METHODS_MAX) if isinstance(name, str)
        }

    def method(self, name: str) -> Told | None:
        """What is told of one; None if the server has none of this name."""
        if name not in self._methods:
            return None
        told = self._methods[name]
        facts = told if isinstance(told, dict) else {}
        signature = _signature(facts)
        doc = facts.get("doc")
        shown = block(inspect.cleandoc(doc), LONGEST_DOC) if isinstance(doc, str) else ""
        return Told(signature, shown or f"{line(name)}{'(...)' if signature is None else signature}")

    def below(self, name: str) -> list[str]:
        """The names that may follow this one and a dot; of "" those that a client's attributes have."""
        start = f"{name}." if name else ""
        found = {each[len(start) :].partition(".")[0] for each in self._methods if each.startswith(start)}
        return sorted(each for each in found if each.isidentifier() and not each.startswith("_"))


def _of_list(methods: object) -> Iterator[tuple[object, object]]:
    for entry in methods if isinstance(methods, list) else ():
        name, argspec, doc, *_ = [*(entry if isinstance(entry, list) else [entry]), None, None, None]
        yield name, {"args": _of_argspec(argspec), "doc": doc}


def _of_argspec(argspec: object) -> object:
    """From ``[names, name of *args, name of **kwargs, defaults of the last names]`` to the form of version 3."""
    if not isinstance(argspec, list) or len(argspec) != 4 or not isinstance(argspec[0], list):
        return None
    names, rest, keywords, defaults = argspec
    args = [{"name": name} for name in names]
    last = reversed(defaults if isinstance(defaults, list) else [])
    for arg, default in zip(reversed(args), last, strict=False):
        arg["default"] = default
    stars = [{"name": f"{star}{name}"} for star, name in (("*", rest), ("**", keywords)) if name]
    return [*args, *stars]


def _signature(facts: dict[str, object]) -> inspect.Signature | None:
    args = facts.get("args")
    if not isinstance(args, list):
        return None
    result = _Text("Stream") if facts.get("streams") is True else inspect.Signature.empty
    try:
        return inspect.Signature(list(_parameters(args)), return_annotation=result)
    except (ValueError, TypeError):  # a name that is none, or one that comes twice
        return None


def _parameters(args: list[object]) -> Iterator[inspect.Parameter]:
    """Raises ValueError or TypeError for what can't be a parameter."""
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for arg in args:
        facts = arg if isinstance(arg, dict) else {}
        name = facts.get("name")
        if name == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
            continue
        own: Any = kind
        if not isinstance(name, str):
            raise TypeError(name)
        if name.startswith("**"):
            own = inspect.Parameter.VAR_KEYWORD
        elif name.startswith("*"):
            own, kind = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY
        said = facts.get("type")
        annotation = _Text(line(said)) if isinstance(said, str) else inspect.Parameter.empty
        default = facts.get("default", inspect.Parameter.empty)
        yield inspect.Parameter(name.lstrip("*"), own, default=default, annotation=annotation)


class _Text(str):
    """An annotation as it was written: signatures show it without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
