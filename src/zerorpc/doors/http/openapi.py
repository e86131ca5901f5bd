"""What a server offers by HTTP, as OpenAPI 3.1 has it: for tools that make clients, forms and documentation of it.

What OpenAPI has no word for is told besides, for the console: ``x-endpoints``, where clients of ours connect,
``x-items``, the schema of each item of a stream, ``x-parameters``, with their order and kinds as Python has them, and
``x-idempotent``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method

__all__ = ["openapi"]

_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "the kind of error, such as InvalidArguments or ValueError"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "method": {"type": "string"},
        "ran": {"type": ["boolean", "null"], "description": "whether the method has run; null where that isn't known"},
    },
    "required": ["title", "status", "detail"],
}
_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ERRORS = {
    "400": "the arguments aren't what the method takes: it has not run",
    "500": "the method raised",
    "503": "too much is running, or the server stops: the method has not run",
    "504": "no reply in time",
}
_ERRORS_OF_ASKING = {
    "401": "the caller has to show who it is",
    "403": "the caller may not call this method",
}


def openapi(
    name: str, methods: Mapping[str, Method], asks: bool, docs: Mapping[str, str], endpoints: Iterable[str]
) -> dict[str, Any]:
    """The document, of these methods of the service with this name.

    ``asks``: whether callers show who they are. ``docs``: those of the objects that have the methods, by the prefix of
    their names. ``endpoints``: others of the same server.
    """
    schemas = _Schemas()
    paths = {f"/call/{name}": _operations(name, method, schemas, asks) for name, method in methods.items()}
    components: dict[str, Any] = {"schemas": {"Problem": _PROBLEM, **schemas.found}}
    info = {"title": name, "version": "1", **_described(docs.get(""))}
    told: dict[str, Any] = {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}
    prefixes = dict.fromkeys(tag for each in paths.values() for tag in each["post"].get("tags", ()))
    if prefixes:
        told["tags"] = [{"name": prefix, **_described(docs.get(prefix))} for prefix in prefixes]
    told["x-endpoints"] = [endpoint for endpoint in endpoints if endpoint.startswith(("tcp://", "tls+tcp://"))]
    if asks:
        components["securitySchemes"] = {way: {"type": "http", "scheme": way} for way in ("bearer", "basic")}
        told["security"] = [{"bearer": []}, {"basic": []}, {}]  # {}: others show a certificate
    return told


def _described(doc: str | None) -> dict[str, str]:
    return {"description": doc} if doc else {}


def _operations(name: str, method: Method, schemas: _Schemas, asks: bool) -> dict[str, Any]:
    post = _operation(name, method, schemas, asks)
    if not method.safe:
        return {"post": post}
    get = {key: told for key, told in post.items() if key != "requestBody"}
    arguments = post["requestBody"]["content"]["application/json"]["schema"]
    required = arguments.get("required", ())
    get["operationId"] += "_by_get"
    get["parameters"] = [
        {"name": name, "in": "query", "required": name in required, **_in_query(schema)}
        for name, schema in arguments.get("properties", {}).items()
    ]
    return {"get": get, "post": post}


def _in_query(schema: dict[str, Any]) -> dict[str, Any]:
    """A map, or a list of more than words, is written as JSON there."""
    if schema.get("type") in ("string", "integer", "number", "boolean", "null"):
        return {"schema": schema}
    return {"content": {"application/json": {"schema": schema}}}


def _operation(name: str, method: Method, schemas: _Schemas, asks: bool) -> dict[str, Any]:
    told = json_schema(method) or {}
    renamed = schemas.renaming(told.get("$defs", {}))
    arguments, result = renamed(told.get("arguments", {"type": "object"})), renamed(told.get("result", {}))
    errors = {**_ERRORS, **_ERRORS_OF_ASKING} if asks else _ERRORS
    responses = {status: {"description": why, "content": _PROBLEM_CONTENT} for status, why in errors.items()}
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W", "_", name),
        "requestBody": {
            "required": bool(arguments.get("required")),
            "content": {"application/json": {"schema": arguments}, **_lines(method)},
        },
        "responses": {"200": _items(result) if method.streams else _result(result), **responses},
    }
    if method.doc:
        operation |= {"summary": method.doc.partition("\n")[0], "description": method.doc}
    if prefix := name.rpartition(".")[0]:
        operation["tags"] = [prefix]
    if method.streams:
        operation["x-items"] = result
    if "parameters" in told:
        operation["x-parameters"] = told["parameters"]
    if method.idempotent:
        operation["x-idempotent"] = True
    return operation


def _lines(method: Method) -> dict[str, Any]:
    if len(method.takes) != 1:
        return {}
    told = f"The other arguments as a map on the first line, then an item of {next(iter(method.takes))} on each."
    return {"application/x-ndjson": {"schema": {"type": "string", "description": told}}}


def _result(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "the result", "content": {"application/json": {"schema": schema}}}


def _items(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.1 knows no streams: of their lines it can only be said that they are texts."""
    told = f"the items, one a line, each as this schema has it: {json.dumps(schema)}"
    return {"description": told, "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}


class _Schemas:
    """The definitions of all methods under names of their own: two methods may call two things the same."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # by the definition, and all beside it

    def renaming(self, definitions: dict[str, object]) -> Callable[[Any], Any]:
        """Add these. What is returned makes the references of a schema lead to where they are."""
        whole = json.dumps(definitions, sort_keys=True, default=repr)
        names = {name: self._name(name, f"{name} of {whole}") for name in definitions}

        def renamed(schema: Any) -> Any:
            if isinstance(schema, list):
                return [renamed(part) for part in schema]
            if not isinstance(schema, dict):
                return schema
            # "items": false says of a tuple what "maxItems" says too, and tools stumble over it.
            told = {key: renamed(part) for key, part in schema.items() if (key, part) != ("items", False)}
            name = names.get(str(told.get("$ref")).rpartition("/")[2])
            return told if name is None else {**told, "$ref": f"#/components/schemas/{name}"}

        for name, definition in definitions.items():
            self.found[names[name]] = renamed(definition)
        return renamed

    def _name(self, wanted: str, key: str) -> str:
        plain, count = re.sub(r"[^A-Za-z0-9._-]", "_", wanted), 1
        taken = {"Problem", *self._names.values()}
        if key not in self._names:
            name = plain
            while name in taken:
                count += 1
                name = f"{plain}{count}"
            self._names[key] = name
        return self._names[key]
