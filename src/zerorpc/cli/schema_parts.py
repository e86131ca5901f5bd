"""The parts of a JSON Schema that a server tells, which may be anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from zerorpc.described import ANYTHING, mapping, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zerorpc.described import Schema

FORMATS = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
    "complex": "complex",
}  # of texts and numbers, as Python's types
PLAIN = {"boolean": "bool", "integer": "int", "number": "float", "string": "str"}
NUMPY = "x-numpy"  # of an array of NumPy's: the type of its numbers

_SAYS_NOTHING = {"description", "title", "default", "examples", "$ref", "discriminator"}


def told(schema: Schema) -> bool:
    """Whether it says anything of a value."""
    return not schema.keys() <= _SAYS_NOTHING or "$ref" in schema


def options(schema: Schema) -> list[object]:
    """The schemas of which a value has to be of one; none if it isn't a choice."""
    types = schema.get("type")
    several: list[object] = [{**schema, "type": each} for each in types] if isinstance(types, list) else []
    return sequence(schema.get("anyOf")) or sequence(schema.get("oneOf")) or several


def values(schema: Schema) -> list[object] | None:
    """The only values that there are; None if it doesn't name them."""
    if "const" in schema:
        return [schema["const"]]
    return sequence(schema["enum"]) if "enum" in schema else None


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


def reached(schema: Schema, definitions: Schema) -> dict[str, object]:
    """The definitions that a schema leads to, by their names."""
    found: dict[str, object] = {}
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = referred(str(part.get("$ref", "")))
            if name in definitions and name not in found:
                found[name] = definitions[name]
                waiting.append(definitions[name])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


def classes(schema: Schema, definitions: Schema, through_fields: bool) -> Iterator[Schema]:
    """The schemas with fields that a schema leads to, also ``through_fields`` of others."""
    seen: set[str] = set()
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        if not isinstance(part, dict):
            continue
        name = referred(str(part.get("$ref", "")))
        if name in definitions and name not in seen:
            seen.add(name)
            waiting.append(definitions[name])
        if "properties" in part:
            yield part
        waiting += [value for key, value in part.items() if through_fields or key != "properties"]


def has_defaults(schema: Schema) -> bool:
    """Whether a field of it has one."""
    required = sequence(schema.get("required"))
    fields = mapping(schema["properties"])
    return any(name not in required and "default" in mapping(each) for name, each in fields.items())


def key_of(schema: Schema, definitions: Schema) -> str:
    """The same for the same definition, with all that it refers to."""
    return json.dumps([schema, reached(schema, definitions)], sort_keys=True, default=repr)
