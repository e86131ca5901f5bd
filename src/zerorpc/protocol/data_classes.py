"""What objects of data classes travel as: maps of their fields, and named tuples as lists.

msgspec would do it, too, and also change what is in the fields; so this is what it does, one level deep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["fields_of"]


def fields_of(value: Any) -> list[Any] | dict[Any, Any] | None:
    """The fields of an object of a dataclass, Struct, attrs or pydantic class, a named tuple, or of a class derived
    from list, tuple or dict; None for something else.
    """
    kind = type(value)
    if issubclass(kind, (list, tuple)):
        return list(value)
    if issubclass(kind, dict):
        return dict(value)
    if issubclass(kind, msgspec.Struct):
        return _of_struct(value)
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    attributes = getattr(kind, "__attrs_attrs__", None)
    if isinstance(attributes, tuple):
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    if hasattr(kind, "__pydantic_validator__"):
        dumped: dict[Any, Any] = value.model_dump(by_alias=True)
        return dumped
    return None


def _of_struct(value: msgspec.Struct) -> list[Any] | dict[Any, Any]:
    config = value.__struct_config__
    names: Mapping[str, str] = dict(zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True))
    tagged: list[tuple[Any, Any]] = [] if config.tag is None else [(config.tag_field, config.tag)]
    fields = [(encoded, getattr(value, name)) for name, encoded in names.items()]
    if config.array_like:
        return [each for _, each in (*tagged, *fields)]
    usual = _defaults(type(value)) if config.omit_defaults else {}
    return {
        name: each
        for name, each in (*tagged, *fields)
        if each is not msgspec.UNSET and not (name in usual and _is_usual(each, usual[name]))
    }


def _defaults(kind: type) -> dict[str, Any]:
    return {
        field.encode_name: field.default_factory() if field.default_factory in (list, dict, set) else field.default
        for field in msgspec.structs.fields(kind)
    }


def _is_usual(value: object, default: object) -> bool:
    return value is default or (type(value) is type(default) and value == default)
