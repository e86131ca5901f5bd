"""``zerorpc schema``: what the methods of a service take and return, as JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import parse
from zerorpc.cli.calling import connected
from zerorpc.cli.printing import write
from zerorpc.cli.usage import UsageError, program_name

if TYPE_CHECKING:
    from collections.abc import Sequence

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(argv: Sequence[str]) -> int:
    """Print the schema of a running service, and return the exit code.

    Raises UsageError, and what zerorpc.Client raises.
    """
    arguments = parse(argv)
    if arguments.server or arguments.command is not None:
        raise UsageError("one address is needed, and nothing else", f"type: {program_name()} schema tcp://robot:4242")
    with connected(arguments) as client:
        told = client("_zerorpc_inspect")
    import json

    write(json.dumps(schema_of(told), indent=2, ensure_ascii=False, default=repr) + "\n")
    return 0


def schema_of(told: object) -> dict[str, Any]:
    """Of what a server says of itself; of one of zerorpc 0.6 the names of the arguments are known."""
    facts = told if isinstance(told, dict) else {}
    methods = facts.get("methods")
    return {
        "$schema": DIALECT,
        "title": facts.get("name"),
        "methods": {
            str(name): _method(one if isinstance(one, dict) else {})
            for name, one in (methods if isinstance(methods, dict) else {}).items()
        },
    }


def _method(told: dict[str, object]) -> dict[str, Any]:
    schema = told.get("schema")
    shown = dict(schema) if isinstance(schema, dict) else {"arguments": _named(told.get("args"))}
    if isinstance(told.get("doc"), str):
        shown = {"description": told["doc"], **shown}
    return {**shown, "streams": told.get("streams") is True, "idempotent": told.get("idempotent") is True}


def _named(args: object) -> dict[str, Any]:
    found = [arg for arg in args if isinstance(arg, dict)] if isinstance(args, list) else []
    names = [str(arg.get("name")) for arg in found if str(arg.get("name")).isidentifier()]
    required = [str(arg["name"]) for arg in found if str(arg.get("name")) in names and "default" not in arg]
    told: dict[str, Any] = {"type": "object", "properties": {name: {} for name in names}}
    return {**told, "required": required} if required else told
