"""A type in a few words, from the JSON Schema that a server tells of it: `list[int]`, `Point`, `str | None`."""

from __future__ import annotations

from typing import Any

UNKNOWN = ""
DEEPEST = 8  # of lists in lists: nobody reads more, and a peer's schema has any depth
WIDEST = 12  # of alternatives

_BASIC = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None", "object": "dict"}
_FORMATS = {
    "date-time": "datetime",
    "date": "date",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
}


def type_of(schema: object, depth: int = 0) -> str:
    """The type as Python would write it; empty where the schema says nothing of it."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return UNKNOWN
    if isinstance(schema.get("$ref"), str):
        return str(schema["$ref"]).rpartition("/")[2]
    if isinstance(schema.get("anyOf"), list):
        return _either([type_of(each, depth + 1) for each in schema["anyOf"][:WIDEST]])
    if isinstance(schema.get("title"), str):
        return str(schema["title"])
    if isinstance(schema.get("enum"), list):
        return _either([_literal(each) for each in schema["enum"][:WIDEST]])
    if isinstance(schema.get("type"), list):
        return _either([type_of({**schema, "type": each}, depth + 1) for each in schema["type"][:WIDEST]])
    return _named(schema, depth)


def _named(schema: dict[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if kind == "array":
        return _array(schema, depth)
    if kind == "string":
        if "contentEncoding" in schema:
            return "bytes"
        form = schema.get("format")
        return _FORMATS.get(form, "str") if isinstance(form, str) else "str"
    if kind == "object" and (values := type_of(schema.get("additionalProperties"), depth + 1)):
        return f"dict[str, {values}]"
    if isinstance(kind, str):
        return _BASIC.get(kind, UNKNOWN)
    described = schema.get("description")  # "a Camera", of a class that has no schema
    return described[2:] if isinstance(described, str) and described[:2] == "a " and " " not in described[2:] else ""


def _array(schema: dict[str, Any], depth: int) -> str:
    if isinstance(schema.get("prefixItems"), list):
        return f"tuple[{', '.join(type_of(each, depth + 1) or 'Any' for each in schema['prefixItems'][:WIDEST])}]"
    kind = "set" if schema.get("uniqueItems") is True else "list"
    items = type_of(schema.get("items"), depth + 1)
    return f"{kind}[{items}]" if items else kind


def _either(types: list[str]) -> str:
    """Nothing is known if one of them may be anything."""
    return " | ".join(dict.fromkeys(types)) if all(types) else UNKNOWN


def _literal(value: object) -> str:
    return repr(value) if isinstance(value, (str, int, float, bool)) or value is None else UNKNOWN
