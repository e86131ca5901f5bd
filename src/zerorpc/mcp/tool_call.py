"""One call of a tool: what is told of it while it runs, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any, TypeAlias

import msgspec

from zerorpc.mcp.messages import Id, notification, result
from zerorpc.mcp.octets import block_of, kind_of
from zerorpc.mcp.tools import Tool
from zerorpc.shown import readable

__all__ = ["ITEMS_MAX", "OCTETS_MAX", "ToolCall"]

Encode: TypeAlias = "Callable[[Any], bytes]"  # a value as JSON

ITEMS_MAX = 1000  # of a stream, which may have no end: a model reads no more
OCTETS_MAX = 4 * 1024 * 1024  # of these as JSON: a million tokens, as much as the largest models take
_LONGEST_ERROR = 4096  # characters of what a method says of its error
_LONGEST_MESSAGE = 1000  # characters of an item that is told as progress


class ToolCall:
    """A request ``tools/call``. Whoever runs it asks for the messages to send. Not thread-safe.

    ``token``: what the client wants to be told of progress with, if it wants that. ``common``: what each result has.
    """

    def __init__(
        self, request: Id, tool: Tool, arguments: Mapping[str, Any], token: Id | None, common: Mapping[str, object]
    ) -> None:
        self.request: Id = request
        self.tool: Tool = tool
        self.arguments: Mapping[str, Any] = arguments
        self.token: Id | None = token
        self.full: bool = False  # there are as many items as a result may have: the stream is to be ended
        self._common = common
        self._over = False  # the result has been made
        self._told = -inf  # the progress that was told last
        self._items: list[bytes] = []
        self._blocks: list[dict[str, Any]] = []  # of items that are octets
        self._octets = 0

    # While it runs

    def progress(self, done: float, total: float | None, text: str) -> bytes | None:
        """A notification; None if nobody wants one. It has to grow, and not to come after the result."""
        if self.token is None or self._over or not isfinite(done) or done <= self._told:
            return None
        self._told = done
        told: dict[str, object] = {"progressToken": self.token, "progress": done}
        if total is not None and isfinite(total):
            told["total"] = total
        return notification("notifications/progress", {**told, "message": text} if text else told)

    def item(self, value: object, encode: Encode) -> bytes | None:
        """One of a stream: kept for the result, and told as progress. Raises what ``encode`` raises."""
        data = encode(value)
        text = data[: 4 * _LONGEST_MESSAGE].decode(errors="ignore")[:_LONGEST_MESSAGE]
        if isinstance(value, bytes):
            self._blocks.append(block_of(value, self.tool.method.name))
            text = f"{kind_of(value)}, {len(value)} octets"
        self._items.append(data)
        self._octets += len(data)
        self.full = len(self._items) >= ITEMS_MAX or self._octets >= OCTETS_MAX
        return self.progress(len(self._items), None, text)

    # Its result

    def result(self, value: object, encode: Encode) -> bytes:
        """The method returned. Raises what ``encode`` raises."""
        if isinstance(value, bytes):
            return self._answer([block_of(value, self.tool.method.name)])
        data = encode(value)
        return self._answer([_text(value if isinstance(value, str) else data.decode())], data)

    def collected(self) -> bytes:
        """The stream has ended, or is ``full``."""
        content, data = self._collected()
        if self.full:
            content.append(_text(f"The stream was ended here: these are the first {len(self._items)} items."))
        return self._answer(content, data)

    def failed(self, name: str, message: str) -> bytes:
        """There is an error, which the model is told of, with the items that came before it."""
        content = [_text(readable(f"{name}: {message}")[:_LONGEST_ERROR])]
        if self._items:
            content += self._collected()[0]
        return self._ended({"content": content, "isError": True})

    def _collected(self) -> tuple[list[dict[str, Any]], bytes | None]:
        data = b"[" + b",".join(self._items) + b"]"
        if self._items and len(self._blocks) == len(self._items):
            return list(self._blocks), None
        return [_text(data.decode())], data

    def _answer(self, content: list[dict[str, object]], data: bytes | None = None) -> bytes:
        told: dict[str, object] = {"content": content, "isError": False}
        if data is not None:
            wrapped = self.tool.wrapped or not data.startswith(b"{")
            told["structuredContent"] = {"result": msgspec.Raw(data)} if wrapped else msgspec.Raw(data)
        return self._ended(told)

    def _ended(self, told: Mapping[str, object]) -> bytes:
        self._over = True
        return result(self.request, {**self._common, **told})

    def __repr__(self) -> str:
        return f"<ToolCall {self.tool.method.name} {self.request!r} items={len(self._items)}>"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
