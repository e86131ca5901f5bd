"""JSON-RPC 2.0 as MCP has it: one message at a time, no batches, and no id that is null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

__all__ = [
    "HEADER_MISMATCH",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "UNSUPPORTED_VERSION",
    "Answer",
    "Id",
    "Message",
    "Refused",
    "encode",
    "mapping",
    "notification",
    "read",
    "result",
]

Id: TypeAlias = "str | int"

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022  # MCP's own


class Message(NamedTuple):
    """A request, or a notification, which has no id. What a client answers is a notification without a method."""

    id: Id | None
    method: str
    params: Mapping[str, Any]

    @property
    def meta(self) -> Mapping[str, Any]:
        """What stands in ``_meta``."""
        return mapping(self.params.get("_meta"))


class Answer(NamedTuple):
    """A response, and the status that MCP gives it over HTTP. ``begins``: it answers ``initialize``."""

    data: bytes
    status: int = 200
    begins: bool = False


class Refused(Exception):
    """A message that is answered with an error of the protocol. ``status`` is its status over HTTP."""

    def __init__(self, code: int, why: str, status: int = 200, more: Mapping[str, object] | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.status = status
        self.more = more

    def answer(self, request: Id | None) -> Answer:
        """The response to a request; None: of which it could not be read which one it is."""
        error: dict[str, object] = {"code": self.code, "message": str(self)}
        if self.more is not None:
            error["data"] = self.more
        told: dict[str, object] = {"jsonrpc": "2.0", "error": error}
        return Answer(encode(told if request is None else {**told, "id": request}), self.status)


def read(data: bytes) -> Message:
    """A message of a client's. Raises Refused for what is none."""
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise Refused(PARSE_ERROR, "this is nested too deeply", 400) from None
    except ValueError as error:
        raise Refused(PARSE_ERROR, f"this is no JSON: {error}", 400) from None
    if isinstance(value, list):
        raise Refused(INVALID_REQUEST, "MCP has no batches: send each message by itself", 400)
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise Refused(INVALID_REQUEST, "this is no message of JSON-RPC 2.0", 400)
    if "method" not in value and ("result" in value or "error" in value):
        return Message(None, "", {})
    request, method, params = value.get("id"), value.get("method"), value.get("params", {})
    if "id" in value and (isinstance(request, bool) or not isinstance(request, (str, int))):
        raise Refused(INVALID_REQUEST, "an id is a text or an integer", 400)
    if not isinstance(method, str) or not isinstance(params, dict):
        raise Refused(INVALID_REQUEST, "a message has a method, and params that are an object", 400)
    return Message(request, method, params)


def result(request: Id, value: Mapping[str, object]) -> bytes:
    return encode({"jsonrpc": "2.0", "id": request, "result": value})


def notification(method: str, params: Mapping[str, object]) -> bytes:
    return encode({"jsonrpc": "2.0", "method": method, "params": params})


def encode(message: Mapping[str, object]) -> bytes:
    """In one line. What a service tells of itself may have values that JSON lacks: they become texts."""
    return msgspec.json.encode(message, enc_hook=repr)


def mapping(value: object) -> Mapping[str, Any]:
    """A part of a message that should be an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
