"""What msgspec leaves out of a JSON Schema and callers in other programs need: which texts are times, and which keys a
map has that are no texts, and which fields are empty by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

__all__ = ["KEYS", "tell_formats"]

KEYS = "x-keys"  # of a map: the schema of its keys. JSON has only texts there, and MessagePack has any
_FORMATS = {inspect.DateTimeType: "date-time", inspect.TimeType: "time"}  # as pydantic has them, with a zone or without
_EMPTY = (list, dict)  # makers of defaults

_Definitions: TypeAlias = "dict[str, object]"


def tell_formats(annotation: object, schema: object, definitions: _Definitions) -> None:
    """Add it to a schema that msgspec has made of the annotation, and to the definitions."""
    _tell(inspect.type_info(annotation), schema, definitions, set())


def _tell(kind: inspect.Type, schema: object, definitions: _Definitions, seen: set[str]) -> None:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not isinstance(schema, dict):
        return
    if isinstance(kind, inspect.UnionType):
        for each in kind.types:
            for option in _options(each, schema, definitions):
                _tell(each, option, definitions, seen)
    elif type(kind) in _FORMATS:
        schema.setdefault("format", _FORMATS[type(kind)])
    elif isinstance(kind, inspect.DictType):
        _tell(kind.value_type, schema.get("additionalProperties"), definitions, seen)
        if not isinstance(kind.key_type, (inspect.StrType, inspect.AnyType)):
            schema[KEYS] = _of_keys(kind.key_type)
    elif hasattr(kind, "fields"):
        _tell_fields(kind, schema, definitions, seen)
    elif isinstance(kind, inspect.TupleType):
        for item, told in zip(kind.item_types, schema.get("prefixItems", ()), strict=False):
            _tell(item, told, definitions, seen)
    elif hasattr(kind, "item_type"):
        _tell(kind.item_type, schema.get("items"), definitions, seen)


def _tell_fields(kind: Any, schema: dict[str, Any], definitions: _Definitions, seen: set[str]) -> None:
    name = _referred(schema)
    found: Any = definitions.get(name, {})
    if name in seen:
        return
    seen.add(name)
    for place, field in enumerate(kind.fields):
        if "prefixItems" in found:
            _tell(field.type, found["prefixItems"][place], definitions, seen)
        else:
            told = found.get("properties", {}).get(field.encode_name)
            _tell(field.type, told, definitions, seen)
            if isinstance(told, dict):
                _tell_default(kind, field, told)


def _tell_default(kind: Any, field: inspect.Field, told: dict[str, Any]) -> None:
    """What has a default is in every result, and callers rely on it. Not so where the class has it left out."""
    config = getattr(kind.cls, "__struct_config__", None)
    if config is not None and config.omit_defaults:
        told.pop("default", None)
    elif field.default_factory in _EMPTY:
        told.setdefault("default", field.default_factory())


def _options(kind: inspect.Type, schema: dict[str, Any], definitions: _Definitions) -> Iterator[dict[str, Any]]:
    """Which alternatives of a union's schema may be that of this member: msgspec has them in another order."""
    options = [option for option in schema.get("anyOf", ()) if isinstance(option, dict)]
    for option in options:
        if "anyOf" in option:
            yield from _options(kind, option, definitions)
        elif hasattr(kind, "fields"):
            target: Any = definitions.get(_referred(option), {})
            if target.get("title") == getattr(kind, "cls", type(None)).__name__:
                yield option
        elif option.get("type") == _KINDS.get(type(kind)) and "format" not in option:
            yield option


_KINDS: dict[type, str] = {
    inspect.DateTimeType: "string",
    inspect.TimeType: "string",
    inspect.DictType: "object",
    inspect.ListType: "array",
    inspect.SetType: "array",
    inspect.TupleType: "array",
    inspect.VarTupleType: "array",
}


def _referred(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _of_keys(kind: inspect.Type) -> dict[str, Any]:
    plain: dict[type, type] = {inspect.IntType: int, inspect.FloatType: float, inspect.BoolType: bool}
    return msgspec.json.schema(plain[type(kind)]) if type(kind) in plain else {}
