"""What a server of MCP answers to each message.

Two forms of the protocol are spoken, in the words of its specification: *modern*, from 2026-07-28 on, where each
request says its version, and *legacy*, where ``initialize`` comes first. No state is kept for either: a legacy request
is answered whether or not ``initialize`` came before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from zerorpc.mcp.messages import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    Answer,
    Id,
    Message,
    Refused,
    mapping,
    read,
    result,
)
from zerorpc.mcp.tool_call import ToolCall
from zerorpc.mcp.tools import Tools

__all__ = ["CALL", "LEGACY", "MODERN", "VERSION_KEY", "Cancel", "Step", "respond", "version_of"]

MODERN = ("2026-07-28",)
LEGACY = ("2025-11-25", "2025-06-18")  # the newest first; for tools the two differ in nothing. Older ones have batches
CALL = "tools/call"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_SERVER = "io.modelcontextprotocol/serverInfo"
_FRESH = 60_000  # ms that a client may keep a list of tools: a server that has changed was started anew


class Cancel(NamedTuple):
    """The client gives a request up: there is no answer to it any more."""

    request: Id


Step: TypeAlias = "Answer | ToolCall | Cancel | None"


def respond(data: bytes, tools: Tools, check: Callable[[Message], None] | None = None) -> Step:
    """What is to be done about a message: send an answer, run a tool, give one up, or nothing.

    ``check`` may raise Refused for a message that doesn't fit what its transport says of it. Never raises.
    """
    message = None
    try:
        message = read(data)
        if check is not None:
            check(message)
        return _step(message, tools)
    except Refused as error:
        return error.answer(None if message is None else message.id)


def version_of(message: Message) -> str | None:
    """That of a modern request. None for a legacy one. Raises Refused for another one, or for one that lacks a part."""
    if VERSION_KEY not in message.meta and message.method != "server/discover":
        return None
    version = message.meta.get(VERSION_KEY)
    if not isinstance(version, str) or not isinstance(message.meta.get(_CAPABILITIES), dict):
        raise Refused(INVALID_PARAMS, f"_meta has {VERSION_KEY}, and {_CAPABILITIES}, which is an object", 400)
    if version not in MODERN:
        more = {"supported": MODERN, "requested": version}
        raise Refused(UNSUPPORTED_VERSION, "Unsupported protocol version", 400, more)
    return version


def _step(message: Message, tools: Tools) -> Step:
    if message.id is None:
        request = message.params.get("requestId")
        is_id = isinstance(request, (str, int)) and not isinstance(request, bool)
        return Cancel(request) if is_id and message.method == "notifications/cancelled" else None  # type: ignore[arg-type]
    modern = version_of(message) is not None
    if message.method == CALL:
        return _called(message, message.id, tools, modern)
    make = (_MODERN if modern else _LEGACY).get(message.method)
    if make is None:
        raise Refused(METHOD_NOT_FOUND, f"there is no method {message.method[:100]}", 404 if modern else 200)
    value = {**_common(tools, modern), **make(message, tools)}
    return Answer(result(message.id, value), begins=message.method == "initialize")


def _common(tools: Tools, modern: bool) -> dict[str, object]:
    """What each result has."""
    return {"resultType": "complete", "_meta": {_SERVER: _server(tools)}} if modern else {}


def _called(message: Message, request: Id, tools: Tools, modern: bool) -> ToolCall:
    name, arguments = message.params.get("name"), message.params.get("arguments")
    tool = tools.named.get(name) if isinstance(name, str) else None
    if tool is None:
        raise Refused(INVALID_PARAMS, f"there is no tool {str(name)[:100]}")
    if not isinstance(arguments, (dict, type(None))):
        raise Refused(INVALID_PARAMS, 'arguments are an object, {"x": 1}')
    token = message.meta.get("progressToken")
    known = isinstance(token, (str, int)) and not isinstance(token, bool)
    return ToolCall(request, tool, arguments or {}, token if known else None, _common(tools, modern))


def _server(tools: Tools) -> dict[str, object]:
    return {"name": tools.service.name or "zerorpc", "version": "1"}  # MCP wants one, and a service has none


def _initialized(message: Message, tools: Tools) -> dict[str, Any]:
    """Version negotiation: what the client wants, or else the newest. It leaves if it doesn't know that."""
    wanted = message.params.get("protocolVersion")
    info = {"capabilities": {"tools": {}}, "serverInfo": _server(tools), **_instructions(tools)}
    return {"protocolVersion": wanted if wanted in LEGACY else LEGACY[0], **info}


def _discovered(_: Message, tools: Tools) -> dict[str, Any]:
    return {"supportedVersions": MODERN, "capabilities": {"tools": {}}, **_instructions(tools), **_cached()}


def _instructions(tools: Tools) -> dict[str, str]:
    return {"instructions": tools.service.doc} if tools.service.doc else {}


def _listed(message: Message, tools: Tools) -> dict[str, Any]:
    if mapping(message.params).get("cursor") is not None:
        raise Refused(INVALID_PARAMS, "there is no such cursor: all tools are on one page")
    return {"tools": [tool.told for tool in tools.named.values()]}


def _cached() -> dict[str, object]:
    return {"ttlMs": _FRESH, "cacheScope": "private"}  # who may call what may differ


_LEGACY: dict[str, Callable[[Message, Tools], dict[str, Any]]] = {
    "initialize": _initialized,
    "ping": lambda *_: {},
    "tools/list": _listed,
}
_MODERN: dict[str, Callable[[Message, Tools], dict[str, Any]]] = {
    "server/discover": _discovered,
    "tools/list": lambda message, tools: {**_listed(message, tools), **_cached()},
}
