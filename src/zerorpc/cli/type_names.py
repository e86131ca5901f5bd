"""A type in a few words, from the JSON Schema that a server tells of it: `list[int]`, `Point`, `str | None`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.schema_parts import FORMATS, NUMPY, PLAIN, options, referred, values
from zerorpc.described import mapping, sequence

if TYPE_CHECKING:
    from zerorpc.described import Schema

UNKNOWN = ""
DEEPEST = 8  # of lists in lists: nobody reads more, and a peer's schema has any depth
WIDEST = 12  # of alternatives


def type_of(told: object, depth: int = 0) -> str:
    """The type as Python would write it; empty where the schema says nothing of it."""
    schema = mapping(told)
    if not schema or depth > DEEPEST:
        return UNKNOWN
    if isinstance(schema.get("$ref"), str):
        return referred(str(schema["$ref"]))
    if choice := options(schema):
        return _either([type_of(each, depth + 1) for each in choice[:WIDEST]])
    if isinstance(schema.get("title"), str):
        return str(schema["title"])
    if (named := values(schema)) is not None:
        return _either([_literal(each) for each in named[:WIDEST]])
    return _of_kind(schema, depth)


def _of_kind(schema: Schema, depth: int) -> str:
    kind = schema.get("type")
    if kind == "null":
        return "None"
    if kind == "array":
        return _array(schema, depth)
    if kind == "object":
        return _map(schema, depth)
    if kind == "string":
        return FORMATS.get(str(schema.get("format")), "bytes" if "contentEncoding" in schema else "str")
    if isinstance(kind, str):
        return FORMATS.get(str(schema.get("format")), PLAIN.get(kind, UNKNOWN))
    described = schema.get("description")  # "a Camera", of a class that has no schema
    return described[2:] if isinstance(described, str) and described[:2] == "a " and " " not in described[2:] else ""


def _array(schema: Schema, depth: int) -> str:
    if isinstance(schema.get(NUMPY), str):
        return f"NDArray[{schema[NUMPY]}]" if schema[NUMPY] else "ndarray"
    if parts := sequence(schema.get("prefixItems")):
        return f"tuple[{', '.join(type_of(each, depth + 1) or 'Any' for each in parts[:WIDEST])}]"
    kind = "set" if schema.get("uniqueItems") is True else "list"
    items = type_of(schema.get("items"), depth + 1)
    return f"{kind}[{items}]" if items else kind


def _map(schema: Schema, depth: int) -> str:
    items = type_of(schema.get("additionalProperties"), depth + 1)
    keys = type_of(schema.get("x-keys"), depth + 1)
    if not (items or keys):
        return "dict"
    return f"dict[{keys or 'str'}, {items or 'Any'}]"


def _either(types: list[str]) -> str:
    """Nothing is known if one of them may be anything."""
    return " | ".join(dict.fromkeys(types)) if all(types) else UNKNOWN


def _literal(value: object) -> str:
    return repr(value) if isinstance(value, (str, int, float, bool)) or value is None else UNKNOWN
