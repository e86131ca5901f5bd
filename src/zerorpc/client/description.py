"""The methods of a server as Python's own tools want them: names, ``inspect.Signature``, documentation."""

from __future__ import annotations

import inspect
from typing import NamedTuple

from zerorpc.described import MISSING, Code, Method, Parameter, literal, read_answer
from zerorpc.shown import block, line

__all__ = ["Description", "Told", "signature_of"]

LONGEST_DOC = 64 * 1024  # characters: longer ones nobody reads at a prompt


class Told(NamedTuple):
    """What is known of one method; ``signature`` is None if it isn't, or makes no sense."""

    signature: inspect.Signature | None
    doc: str


class Description:
    """The methods of one server, from what it answered, which may be anything."""

    def __init__(self, answer: object) -> None:
        service = read_answer({"methods": answer} if isinstance(answer, list) else answer)
        self._methods = {} if service is None else service.methods

    def method(self, name: str) -> Told | None:
        """What is told of one; None if the server has none of this name."""
        method = self._methods.get(name)
        if method is None:
            return None
        signature = signature_of(method)
        shown = block(inspect.cleandoc(method.doc), LONGEST_DOC)
        return Told(signature, shown or f"{line(name)}{'(...)' if signature is None else signature}")

    def below(self, name: str) -> list[str]:
        """The names that may follow this one and a dot; of "" those that a client's attributes have."""
        start = f"{name}." if name else ""
        found = {each[len(start) :].partition(".")[0] for each in self._methods if each.startswith(start)}
        return sorted(each for each in found if each.isidentifier() and not each.startswith("_"))


def signature_of(method: Method) -> inspect.Signature | None:
    """As Python has it; None if it isn't known, or makes no sense. Annotations are texts, and never to be evaluated."""
    if method.parameters is None:
        return None
    result = Code("Stream") if method.streams else inspect.Signature.empty
    try:
        return inspect.Signature([_parameter(each) for each in method.parameters], return_annotation=result)
    except (ValueError, TypeError):  # a name that is none, or one that comes twice
        return None


def _parameter(told: Parameter) -> inspect.Parameter:
    """Raises ValueError for what can't be a parameter."""
    default = inspect.Parameter.empty if told.default is MISSING else _showable(told.default)
    annotation = Code(line(told.type)) if told.type else inspect.Parameter.empty
    return inspect.Parameter(
        told.name, getattr(inspect.Parameter, told.kind.name), default=default, annotation=annotation
    )


def _showable(default: object) -> object:
    """A default; what stands for it, if Python can't show it, or only the server has it."""
    if type(default) is Code:
        return Code(line(default))
    try:
        repr(default)
    except (RecursionError, ValueError):
        return Code(literal(default))
    return default
