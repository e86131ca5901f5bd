"""Octets among the arguments that came as JSON, where they are texts in base64.

A server decodes them by its annotations. A gateway has only the schema that the server behind it tells.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from zerorpc.described import Kind, Parameter, Schema, mapping, sequence
from zerorpc.mcp.octets import decoded
from zerorpc.service.schema import Schema as Conversion

__all__ = ["OctetsOfJson"]

Decoder: TypeAlias = "Callable[[Any], object]"

_DEEPEST = 8  # of lists and maps in each other; a schema may come nested without end


class OctetsOfJson(Conversion):
    """Of one method with these parameters: ``for_json`` decodes, and all else stays as it came."""

    def __init__(self, name: str, parameters: Iterable[Parameter]) -> None:
        super().__init__(name, _nothing)
        self._decoding = Conversion(name, _nothing)
        for place, parameter in enumerate(parameters):
            decoder = None if parameter.streams else _decoder(parameter.schema)
            if decoder is not None:
                self._add_decoder(place, parameter, decoder)

    def _add_decoder(self, place: int, parameter: Parameter, decoder: Decoder) -> None:
        made = self._decoding
        if parameter.kind is Kind.VAR_POSITIONAL:
            made.rest = place, parameter.name, decoder
        elif parameter.kind is Kind.VAR_KEYWORD:
            made.rest_named = decoder
        else:
            made.positional.append((place, parameter.name, decoder))
            made.named[parameter.name] = decoder

    @property
    def needed(self) -> bool:
        """Whether there are any."""
        return self._decoding.arguments

    @functools.cached_property
    def for_json(self) -> Conversion:
        return self._decoding

    @functools.cached_property
    def for_words(self) -> Conversion:
        return Conversion("", _nothing)


def _nothing() -> None: ...


def _decoder(schema: Schema, depth: int = 0) -> Decoder | None:
    """What decodes a value of this schema, None if there are no octets in it. Behind references nobody looks."""
    if not schema or depth > _DEEPEST:
        return None
    if schema.get("contentEncoding") == "base64":
        return decoded
    members = [mapping(each) for each in sequence(schema.get("anyOf"))]
    if any(each.get("type") == "string" and "contentEncoding" not in each for each in members):
        return None  # a text that looks like base64 is one all the same
    if any(each.get("contentEncoding") == "base64" for each in members):
        return decoded
    if (each := _decoder(mapping(schema.get("items")), depth + 1)) is not None:
        return lambda value: list(map(each, value)) if isinstance(value, list) else value
    if (one := _decoder(mapping(schema.get("additionalProperties")), depth + 1)) is not None:
        return lambda value: {k: one(v) for k, v in value.items()} if isinstance(value, dict) else value
    return None
