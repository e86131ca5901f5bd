"""A service as ``zerorpc schema`` tells of it: what ``zerorpc stub`` writes down and ``zerorpc diff`` compares."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

Schema: TypeAlias = "Mapping[str, object]"

ANYTHING: Schema = MappingProxyType({})


class Kind(enum.Enum):
    """How a parameter is given, in the words of Python's ``inspect``."""

    POSITIONAL_ONLY = "positional-only"
    POSITIONAL_OR_KEYWORD = "positional or keyword"
    VAR_POSITIONAL = "variadic positional"
    KEYWORD_ONLY = "keyword-only"
    VAR_KEYWORD = "variadic keyword"


BY_PLACE = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD)
BY_NAME = (Kind.KEYWORD_ONLY, Kind.POSITIONAL_OR_KEYWORD)


class Parameter(NamedTuple):
    """One parameter. The schema of a variadic one, or of one that takes a stream, is that of each item."""

    name: str
    kind: Kind
    schema: Schema = ANYTHING
    required: bool = True
    streams: bool = False

    @property
    def shown(self) -> str:
        """Its name, with the stars that Python writes."""
        return {Kind.VAR_POSITIONAL: "*", Kind.VAR_KEYWORD: "**"}.get(self.kind, "") + self.name


class Method(NamedTuple):
    """One method; ``parameters`` and ``streams`` are None where the server doesn't tell. Its result's schema is that of
    each item if it streams.
    """

    name: str
    doc: str = ""
    parameters: tuple[Parameter, ...] | None = None
    result: Schema = ANYTHING
    streams: bool | None = None
    idempotent: bool = False
    definitions: Schema = ANYTHING


class Service(NamedTuple):
    """Its name, empty if it isn't told, and its methods by their names."""

    name: str
    methods: Mapping[str, Method]


def read_service(document: object) -> Service:
    """What ``zerorpc schema`` printed. Raises ValueError for what it can't have printed."""
    methods = mapping(document).get("methods")
    if not isinstance(methods, dict):
        raise ValueError("it has no methods, which zerorpc schema prints")
    title = mapping(document).get("title")
    found = {str(name): _method(str(name), mapping(told)) for name, told in methods.items()}
    return Service(title if isinstance(title, str) else "", found)


def _method(name: str, told: Schema) -> Method:
    doc, streams = told.get("description"), told.get("streams")
    return Method(
        name,
        doc if isinstance(doc, str) else "",
        _parameters(told),
        mapping(told.get("result")),
        streams if isinstance(streams, bool) else None,
        told.get("idempotent") is True,
        mapping(told.get("$defs")),
    )


def _parameters(told: Schema) -> tuple[Parameter, ...] | None:
    parameters = told.get("parameters")
    if not isinstance(parameters, list):
        return None
    arguments = mapping(told.get("arguments"))
    return tuple(_parameter(mapping(each), arguments) for each in parameters)


def _parameter(told: Schema, arguments: Schema) -> Parameter:
    name = str(told.get("name"))
    kind = Kind(told.get("kind"))
    if kind is Kind.VAR_KEYWORD:
        return Parameter(name, kind, mapping(arguments.get("additionalProperties")), required=False)
    schema = mapping(mapping(arguments.get("properties")).get(name))
    streams = told.get("streams") is True
    if streams or kind is Kind.VAR_POSITIONAL:
        default = {"default": schema["default"]} if "default" in schema else {}
        schema = {**mapping(schema.get("items")), **default}
    required = name in sequence(arguments.get("required")) and kind is not Kind.VAR_POSITIONAL
    return Parameter(name, kind, schema, required, streams)


def mapping(value: object) -> Schema:
    """A part of a document that has to be a map; an empty one for anything else, since peers may tell anything."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[object]:
    """The same for a list."""
    return value if isinstance(value, list) else []


def target(schema: Schema, definitions: Schema) -> Schema:
    """What a reference leads to; any other schema is itself."""
    for _ in range(100):  # a reference that leads to itself, from a hostile peer, leads nowhere
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = mapping(definitions.get(referred(reference)))
    return ANYTHING


def referred(reference: str) -> str:
    """The name of the definition."""
    return reference.rpartition("/")[2]
