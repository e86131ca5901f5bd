"""What the headers of a request say of the message in its body has to be so: proxies go by them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from zerorpc.mcp.messages import HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, Message, Refused
from zerorpc.mcp.protocol import CALL, LEGACY, MODERN, VERSION_KEY, version_of

__all__ = ["check_headers"]

VERSION = "mcp-protocol-version"


def check_headers(message: Message, headers: Mapping[str, str]) -> None:
    """Raises Refused. A legacy client may leave the version out, as before ``initialize`` it has to."""
    if message.id is None:
        return
    said, wanted = headers.get(VERSION), message.meta.get(VERSION_KEY)
    if isinstance(wanted, str):
        _check_same(VERSION, said, wanted)
    elif said in MODERN:
        raise Refused(INVALID_PARAMS, f"{said} wants {VERSION_KEY} in _meta", 400)
    elif said is not None and said not in LEGACY and message.method != "initialize":
        raise Refused(INVALID_REQUEST, f"Unsupported protocol version {said}: this is {', '.join(LEGACY)}", 400)
    if version_of(message) is None:
        return
    _check_same("mcp-method", headers.get("mcp-method"), message.method)
    if message.method == CALL:
        _check_same("mcp-name", headers.get("mcp-name"), message.params.get("name"))


def _check_same(name: str, given: str | None, value: object) -> None:
    if given is None or _decoded(given) != value:
        why = "is missing" if given is None else "is not what the body says"
        raise Refused(HEADER_MISMATCH, f"Header mismatch: {name} {why}", 400)


def _decoded(value: str) -> str | None:
    """A value that isn't plain ASCII comes in base64; None for one that says so, and isn't."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, ValueError):
        return None
