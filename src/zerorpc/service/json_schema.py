"""What a method takes and returns as JSON Schema (2020-12), for those who have not its source."""

from __future__ import annotations

import enum
import inspect
from typing import Any, get_args, get_origin

import msgspec

from zerorpc.service.annotations import alternatives, is_of_pydantic, parts, unaliased, with_limits
from zerorpc.service.json_formats import tell_formats
from zerorpc.service.methods import Method
from zerorpc.service.schema import ITERATORS, evaluated
from zerorpc.service.signatures import sendable

__all__ = ["json_schema"]

NUMPY = "x-numpy"  # of an array of NumPy's: the type of its numbers, such as float32
_STRINGS = ("PurePath", "_BaseAddress", "_BaseNetwork", "ZoneInfo")  # classes whose natural form is a text, by name


def json_schema(method: Method) -> dict[str, Any] | None:
    """The schema of one method; None where Python can't tell what it takes (some built-ins).

    ``arguments`` is the schema of an object with the arguments by name, ``result`` that of the result, or of each item
    of a method that streams. References lead into ``$defs`` beside them. What nothing is known of may be anything: {}.
    ``parameters`` tells what JSON Schema has no word for: their order, of which kind each is, in Python's words, and
    which take a stream.
    """
    if method.told is not None:
        return method.told
    try:
        signature = inspect.signature(method.entered)
    except BaseException:  # a program's own may raise anything
        return None
    definitions: dict[str, object] = {}
    arguments = _arguments(method, signature, definitions)
    told: dict[str, Any] = {"arguments": arguments, "parameters": _parameters(method, signature)}
    if signature.return_annotation is not signature.empty:
        told["result"] = _of_result(method, signature.return_annotation, definitions)
    if definitions:
        told["$defs"] = definitions
    return told


def _arguments(method: Method, signature: inspect.Signature, definitions: dict[str, object]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    others: Any = False
    for name, parameter in signature.parameters.items():
        schema: Any = {}
        if parameter.annotation is not parameter.empty:
            schema = _schema(parameter.annotation, method.entered, definitions, items=name in method.takes)
        if parameter.kind is parameter.VAR_KEYWORD:
            others = schema
            continue
        if parameter.kind is parameter.VAR_POSITIONAL or name in method.takes:
            schema = {"type": "array", "items": schema}
        if parameter.default is not parameter.empty:
            default = parameter.default.value if isinstance(parameter.default, enum.Enum) else parameter.default
            told_as_it_is = sendable(default) is default  # and not described
            schema = {**schema, "default": default} if told_as_it_is and _is_json(default) else schema
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            required.append(name)
        properties[name] = schema
    told = {"type": "object", "properties": properties, "additionalProperties": others}
    return {**told, "required": required} if required else told


def _parameters(method: Method, signature: inspect.Signature) -> list[dict[str, Any]]:
    return [
        {"name": name, "kind": parameter.kind.description, **({"streams": True} if name in method.takes else {})}
        for name, parameter in signature.parameters.items()
    ]


def _of_result(method: Method, annotation: object, definitions: dict[str, object]) -> Any:
    schema = _schema(annotation, method.entered, definitions, items=method.streams or method.unary)
    return (
        {"type": "array", "items": schema}
        if method.unary and method.streams is False and _iterates(annotation, method.entered)
        else schema
    )


def _iterates(annotation: object, function: object) -> bool:
    try:
        return get_origin(evaluated(annotation, function)) in ITERATORS
    except BaseException:
        return False


def _schema(written: object, function: object, definitions: dict[str, object], items: bool) -> Any:
    """Of an annotation as it is written; with ``items`` of what is in the brackets of an iterator or list."""
    try:
        annotation = evaluated(written, function)
        if items and (
            get_origin(annotation) in ITERATORS or not get_args(annotation) or get_origin(annotation) is list
        ):
            annotation = (*get_args(annotation), Any)[0]
        return _of(annotation, definitions)
    except BaseException:  # what can't be told of is anything
        return {}


def _of(annotation: object, definitions: dict[str, object]) -> Any:
    annotation = unaliased(annotation)
    if is_of_pydantic(annotation):
        return _of_pydantic(annotation, definitions)
    if "numpy" in str(getattr(get_origin(annotation), "__module__", "")):  # msgspec would drop what is in its brackets
        return _of_other(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Flag):  # its members may be put together
        return {"title": annotation.__name__, "type": "integer"}
    translated = with_limits(annotation)
    try:
        (schema,), found = msgspec.json.schema_components(
            [translated], schema_hook=_of_other, ref_template="#/$defs/{name}"
        )
    except TypeError:
        members = alternatives(annotation)
        if len(members) > 1:
            return {"anyOf": [_of(member, definitions) for member in members]}
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return {"title": annotation.__name__, "enum": [member.value for member in annotation]}
        return {}
    tell_formats(translated, schema, found)
    definitions.update(found)
    return schema


def _of_other(kind: object) -> dict[str, Any]:
    """What msgspec knows no schema for."""
    origin: Any = get_origin(kind) or kind
    names = {base.__name__ for base in getattr(origin, "__mro__", ())}
    if not names.isdisjoint(_STRINGS):
        return {"type": "string"}
    if origin.__module__.partition(".")[0] == "numpy":
        if "ndarray" in names:
            return {"type": "array", NUMPY: _scalar_of(kind)}
        if "complexfloating" in names:
            return {"type": "number", "format": "complex"}
        return {"type": "integer" if "integer" in names else "number"}
    if "deque" in names:
        return {"type": "array"}
    if origin is complex:
        return {"type": "number", "format": "complex"}  # or a list of its two parts
    return {"description": f"a {origin.__name__}"}


def _scalar_of(array: object) -> str:
    """The type of an array's numbers, as NumPy calls it; empty if the annotation doesn't say it."""
    found = next((part.__name__ for part in parts(array) if isinstance(part, type) and _is_scalar(part)), "")
    return "bool_" if found == "bool" else found  # as it is called in all versions


def _is_scalar(kind: type) -> bool:
    return kind.__module__ == "numpy" and "generic" in {base.__name__ for base in kind.__mro__}


def _of_pydantic(annotation: object, definitions: dict[str, object]) -> Any:
    import pydantic

    adapter: Any = pydantic.TypeAdapter(annotation)  # type: ignore[arg-type]  # any form of one
    schema: dict[str, Any] = adapter.json_schema(ref_template="#/$defs/{model}")
    definitions.update(schema.pop("$defs", {}))
    return schema


def _is_json(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except Exception:
        return False
    return not isinstance(value, (bytes, bytearray))
