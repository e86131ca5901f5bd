"""A method of another server, as one of this server's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import msgspec

from zerorpc.client.description import signature_of
from zerorpc.described import Kind, Parameter, Schema, mapping, sequence
from zerorpc.described import Method as Told
from zerorpc.forwarding.octets import OctetsOfJson
from zerorpc.service.methods import Method
from zerorpc.service.schema import Schema as Conversion
from zerorpc.service.stream_parameters import ASYNC

__all__ = ["Forward", "ForwardedMethod"]

Forward: TypeAlias = "Callable[..., Coroutine[Any, Any, Any]]"


class ForwardedMethod(Method):
    """Callers see it as the other server has told it, ``of``. ``forward`` makes the call there.

    Nothing that the server tells is evaluated: its annotations are texts, and stay so.
    """

    __slots__ = ("of", "told")

    forwards = True

    def __init__(self, name: str, of: Told, forward: Forward) -> None:
        async def forwarded(*args: object, **kwargs: object) -> Any:
            return await forward(*args, **kwargs)

        signature = signature_of(of)
        if signature is not None:
            forwarded.__signature__ = signature  # type: ignore[attr-defined]  # which ``inspect`` goes by
        super().__init__(name, forwarded)
        self.of: Told = of
        self.functor: Callable[..., Any] = forwarded  # without what would make iterators of lists
        self.streams: bool = of.streams is True
        self.idempotent: bool = of.idempotent
        said = of.tool
        self.tool: dict[str, bool] | None = None if said is None else {key: bool(value) for key, value in said.items()}
        self.safe: bool = self.tool is not None and self.tool.get("safe", False)
        parameters = of.parameters or ()
        self.takes: dict[str, str] = {each.name: ASYNC for each in parameters if each.streams}
        named = _ANY if signature is None else parameters
        self.told: dict[str, Any] | None = _as_told(of.schema) or _of_names(named)
        octets = OctetsOfJson(name, parameters)
        self.schema: Conversion | None = octets if octets.needed else None

    @property
    def doc(self) -> str | None:
        return self.of.doc or None


_ANY = (Parameter("args", Kind.VAR_POSITIONAL, required=False), Parameter("kwargs", Kind.VAR_KEYWORD, required=False))


def _as_told(schema: Schema) -> dict[str, Any]:
    """A schema as it came, if it makes sense, and JSON can have it; else an empty one."""
    arguments = schema.get("arguments")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("properties"), dict):
        return {}
    properties, definitions = arguments["properties"], mapping(schema.get("$defs"))
    if not all(isinstance(each, dict) for each in (*properties.values(), *definitions.values())):
        return {}
    if not all(isinstance(name, str) for name in sequence(arguments.get("required"))):
        return {}
    told = {key: schema[key] for key in ("arguments", "parameters", "result", "$defs") if key in schema}
    try:
        msgspec.json.encode(told)
    except (TypeError, ValueError, RecursionError):
        return {}
    return told


def _of_names(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """What an older server doesn't tell may be anything; the names of the parameters are known."""
    named = [each for each in parameters if each.kind is not Kind.VAR_KEYWORD]
    rest = {"type": "array"}
    arguments: dict[str, Any] = {
        "type": "object",
        "properties": {each.name: rest if each.kind is Kind.VAR_POSITIONAL else {} for each in named},
        "additionalProperties": len(named) < len(parameters),
    }
    if required := [each.name for each in named if each.required]:
        arguments["required"] = required
    told = [{"name": each.name, "kind": each.kind.value} for each in parameters]
    return {"arguments": arguments, "parameters": told}
