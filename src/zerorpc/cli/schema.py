"""``zerorpc schema``: what the methods of a service take and return, as JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import parse
from zerorpc.cli.asking import ask_service
from zerorpc.cli.calling import connected
from zerorpc.cli.printing import write
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.described import Kind, Method, Service, mapping, read_answer
from zerorpc.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc import Client
    from zerorpc.described import Schema

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
        service = ask_service(client, signatures=False)
        return {"name": service.name, "methods": {each.name: {"doc": each.doc} for each in service.methods.values()}}


def schema_of(told: object) -> dict[str, Any]:
    """Of what a server says of itself; of one of zerorpc 0.6 the names of the arguments are known.

    A server's own schemas stay as they came.
    """
    service = read_answer(told) or Service("", {})
    said = mapping(mapping(told).get("methods"))
    return {
        "$schema": DIALECT,
        "title": service.name or None,
        "methods": {name: _method(each, mapping(said.get(name))) for name, each in service.methods.items()},
    }


def _method(method: Method, told: Schema) -> dict[str, Any]:
    said = dict(mapping(told.get("schema")))
    description = {"description": method.doc} if isinstance(told.get("doc"), str) or method.doc else {}
    return {
        **description,
        **(said or _by_names(method)),
        "streams": method.streams,
        "idempotent": method.idempotent,
    }


def _by_names(method: Method) -> dict[str, Any]:
    """Of the names of the arguments; without ``parameters`` where not even these are known."""
    told = [each for each in method.parameters or () if each.name.isidentifier()]
    named = [each for each in told if each.kind not in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)]
    arguments: dict[str, Any] = {"type": "object", "properties": {each.name: {} for each in named}}
    required = [each.name for each in named if each.required]
    shown: dict[str, Any] = {"arguments": {**arguments, "required": required} if required else arguments}
    if method.parameters is None:
        return shown
    return {**shown, "parameters": [{"name": each.name, "kind": each.kind.value} for each in method.parameters]}
