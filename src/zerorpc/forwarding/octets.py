"""Arguments that are octets and came as JSON, as texts in base64.

A server decodes them by its annotations. A gateway has only the schema that the server behind it tells.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from zerorpc.described import Kind, Parameter, Schema, mapping, sequence
from zerorpc.mcp.octets import decoded
from zerorpc.service.schema import Schema as Conversion

__all__ = ["OctetsOfJson"]


class OctetsOfJson(Conversion):
    """Of one method with these parameters: ``for_json`` decodes, and all else stays as it came."""

    def __init__(self, name: str, parameters: Iterable[Parameter]) -> None:
        super().__init__(name, _nothing)
        self._decoding = Conversion(name, _nothing)
        for place, parameter in enumerate(parameters):
            if not parameter.streams and _is_octets(parameter.schema):
                self._decode(place, parameter)

    def _decode(self, place: int, parameter: Parameter) -> None:
        made = self._decoding
        if parameter.kind is Kind.VAR_POSITIONAL:
            made.rest = place, parameter.name, decoded
        elif parameter.kind is Kind.VAR_KEYWORD:
            made.rest_named = decoded
        else:
            made.positional.append((place, parameter.name, decoded))
            made.named[parameter.name] = decoded

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


def _is_octets(schema: Schema) -> bool:
    """Whether an argument of this schema may be octets, and no text, which may look like base64."""
    members = [mapping(each) for each in sequence(schema.get("anyOf"))] or [schema]
    encodings = [each.get("contentEncoding") for each in members if each.get("type") == "string"]
    return bool(encodings) and all(each == "base64" for each in encodings)
