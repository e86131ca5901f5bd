"""The methods of a service as tools: which of them, and what a model is told of each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zerorpc.described import BY_PLACE, MISSING, Kind, Method, Parameter, Schema, Service, mapping
from zerorpc.exposure import Patterns
from zerorpc.mcp.messages import encode
from zerorpc.mcp.octets import decoded

__all__ = ["Tool", "Tools"]

ARGS = "args"  # the one parameter of a method of which nobody knows what it takes
_LONGEST_TITLE = 80  # characters of a docstring's first line; a longer one is no title
_HINTS = {"safe": "readOnlyHint", "destructive": "destructiveHint"}


class Tool(NamedTuple):
    """One method as a tool. ``told`` is its entry in ``tools/list``.

    ``wrapped``: its structured content is ``{"result": value}``, since MCP before 2026-07-28 wants an object there;
    None: nobody knows what it returns.
    """

    method: Method
    told: Mapping[str, Any]
    wrapped: bool | None

    @classmethod
    def of(cls, method: Method) -> Tool:
        told: dict[str, Any] = {"name": method.name}
        if method.doc:
            title = method.doc.partition("\n")[0].strip().removesuffix(".")
            told |= {"title": title} if title and len(title) <= _LONGEST_TITLE else {}
            told["description"] = method.doc
        told["inputSchema"] = _with_definitions(_arguments(method.parameters), method.definitions)
        schema, wrapped = _result(method)
        if schema is not None:
            told["outputSchema"] = _with_definitions(schema, method.definitions)
        if hints := _hints(method):
            told["annotations"] = hints
        return cls(method, told, wrapped)

    def placed(self, named: Mapping[str, object], texts: bool = False) -> tuple[list[Any], dict[str, Any]]:
        """Arguments by name as those by position, as far as there is no gap, and those by keyword.

        So a server that knows no keywords can be called too. With ``texts``, what is base64 in JSON becomes octets.
        """
        left = dict(named)
        if self.method.parameters is None:
            given = left.pop(ARGS, [])
            return given if isinstance(given, list) else [given], left
        placed: list[Any] = []
        gap = False
        for parameter in self.method.parameters:
            name = parameter.name
            if name in left and texts and _is_octets(parameter.schema):
                left[name] = decoded(left[name])
            if gap or parameter.kind not in (*BY_PLACE, Kind.VAR_POSITIONAL):
                continue
            if name not in left:
                gap = True
            else:
                value = left.pop(name)
                placed += value if parameter.kind is Kind.VAR_POSITIONAL and isinstance(value, list) else [value]
        return placed, left


class Tools:
    """Those of a service that are marked; or, with ``patterns``, those whose names match."""

    def __init__(self, service: Service, patterns: Patterns | None = None) -> None:
        self.service: Service = service
        methods = service.methods.values()
        chosen = [
            each for each in methods if (each.tool is not None if patterns is None else patterns.admit(each.name))
        ]
        tools = [tool for tool in map(Tool.of, chosen) if _can_be_told(tool)]
        self.named: dict[str, Tool] = {tool.method.name: tool for tool in tools}

    def admitted(self, admits: Callable[[str], bool]) -> Tools:
        """Those of them that somebody may call."""
        tools = copy.copy(self)
        tools.named = {name: tool for name, tool in self.named.items() if admits(name)}
        return tools

    def __bool__(self) -> bool:
        return bool(self.named)

    def __repr__(self) -> str:
        return f"<Tools {self.service.name!r} {list(self.named)}>"


def _can_be_told(tool: Tool) -> bool:
    """A schema is as a server has sent it, and may have texts that UTF-8 can't carry."""
    try:
        encode(tool.told)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


# What they take


def _arguments(parameters: tuple[Parameter, ...] | None) -> dict[str, Any]:
    if parameters is None:
        parameters = (Parameter(ARGS, schema={"type": "array", "description": "by position"}, required=False),)
    properties: dict[str, Any] = {}
    others: Any = False
    for parameter in parameters:
        if parameter.kind is Kind.VAR_KEYWORD:
            others = parameter.schema or True
        else:
            properties[parameter.name] = _argument(parameter)
    schema = {"type": "object", "properties": properties, "additionalProperties": others}
    required = [each.name for each in parameters if each.required and each.name in properties]
    return {**schema, "required": required} if required else schema


def _argument(parameter: Parameter) -> Schema:
    if parameter.streams or parameter.kind is Kind.VAR_POSITIONAL:
        return {"type": "array", "items": parameter.schema}
    default = parameter.default
    if default is MISSING or "default" in parameter.schema or not isinstance(default, (str, int, float, type(None))):
        return parameter.schema
    return {**parameter.schema, "default": default}


# What they give


def _result(method: Method) -> tuple[Schema | None, bool | None]:
    """The schema of the structured content, None if there is none, and whether that is wrapped."""
    schema = _resolved(method.result, method.definitions)
    if _is_octets(schema):  # which are content by themselves
        return None, None
    if method.streams:
        return _wrapped({"type": "array", "items": method.result}), True
    if not schema:
        return None, None
    return (schema, False) if schema.get("type") == "object" else (_wrapped(method.result), True)


def _wrapped(schema: Schema) -> Schema:
    return {"type": "object", "properties": {"result": schema}, "required": ["result"]}


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Behind a reference: the root of a schema has to say that it is an object."""
    name = schema.get("$ref")
    if not isinstance(name, str) or not name.startswith("#/$defs/"):
        return schema
    return mapping(definitions.get(name.removeprefix("#/$defs/")))


def _is_octets(schema: Schema) -> bool:
    return schema.get("contentEncoding") == "base64"


def _with_definitions(schema: Schema, definitions: Schema) -> Schema:
    return {**schema, "$defs": definitions} if definitions and "'$ref': '#/$defs/" in repr(schema) else schema


def _hints(method: Method) -> dict[str, bool]:
    """As far as the method says it; what a client assumes of the rest is up to MCP: the worst."""
    said = method.tool or {}
    hints = {hint: said[name] is True for name, hint in _HINTS.items() if name in said}
    return {**hints, "idempotentHint": True} if method.idempotent else hints
