"""``zerorpc schema``: what the methods of a service take and return, as JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import parse
from zerorpc.cli.calling import connected
from zerorpc.cli.printing import write
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc import Client

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(argv: Sequence[str]) -> int:
    """Print the schema of a running service, and return the exit code.

    Raises UsageError, and what zerorpc.Client raises.
    """
    arguments = parse(argv)
    if arguments.server or arguments.command is not None:
        raise UsageError("one address is needed, and nothing else", f"type: {program_name()} schema tcp://robot:4242")
    with connected(arguments) as client:
        told = ask(client)
    import json

    write(json.dumps(schema_of(told), indent=2, ensure_ascii=False, default=repr) + "\n")
    return 0


def ask(client: Client) -> object:
    """What a server says of itself. One that can't, as zerorpc 0.6 can't on Python 3.11 and later, says the names."""
    try:
        return client("_zerorpc_inspect")
    except RemoteError:
        from zerorpc.cli.listing import describe

        service = describe(client, signatures=False)
        return {"name": service.name, "methods": {each.name: {"doc": each.doc} for each in service.methods}}


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
    shown = dict(schema) if isinstance(schema, dict) else _by_names(told.get("args"))
    if isinstance(told.get("doc"), str):
        shown = {"description": told["doc"], **shown}
    streams = told.get("streams")
    return {
        **shown,
        "streams": streams if isinstance(streams, bool) else None,
        "idempotent": told.get("idempotent") is True,
    }


def _by_names(args: object) -> dict[str, Any]:
    """Of the names of the arguments, with their stars; without ``parameters`` where not even these are known."""
    told = [arg for arg in args if isinstance(arg, dict)] if isinstance(args, list) else []
    found = (
        told[1:] if told and told[0].get("name") == "self" else told
    )  # zerorpc 0.6 tells it, and callers don't give it
    known = [arg for arg in found if str(arg.get("name")).isidentifier()]
    required = [str(arg["name"]) for arg in known if "default" not in arg]
    arguments: dict[str, Any] = {"type": "object", "properties": {str(arg["name"]): {} for arg in known}}
    shown: dict[str, Any] = {"arguments": {**arguments, "required": required} if required else arguments}
    return {**shown, "parameters": _kinds(found)} if isinstance(args, list) else shown


def _kinds(found: list[dict[str, object]]) -> list[dict[str, str]]:
    parameters, kind = [], "positional or keyword"
    for name in (str(arg.get("name")) for arg in found):
        if name.startswith("**"):
            parameters.append({"name": name[2:], "kind": "variadic keyword"})
        elif name.startswith("*"):
            kind = "keyword-only"
            if name != "*":
                parameters.append({"name": name[1:], "kind": "variadic positional"})
        else:
            parameters.append({"name": name, "kind": kind})
    return parameters
