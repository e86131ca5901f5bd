"""A call of a tool that came by HTTP, as an ``Invocation``."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import ClassVar

from zerorpc.doors.http.invocation import HttpInvocation
from zerorpc.doors.http.json_values import encode
from zerorpc.errors import SerializationError
from zerorpc.mcp.tool_call import ToolCall
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure

__all__ = ["McpInvocation", "report_progress"]


_UNTOLD = b" "  # an item of which the client is told with the result only; what runs methods wants some octets


class _Called(HttpInvocation, eq=False, kw_only=True):
    call: ToolCall


@quick_to_change
class McpInvocation(_Called, eq=False):
    """What it packs are messages of MCP: progress, if the client wants it, and the result. A stream becomes one."""

    modules: ClassVar[tuple[str, ...]] = (*HttpInvocation.modules, __name__)

    # Packing

    def result(self, value: object) -> bytes:
        try:
            return self.call.result(value, encode)
        except SerializationError as error:
            raise self.unsendable("result", error) from None

    def item(self, value: object) -> bytes:
        try:
            return self.call.item(value, encode) or _UNTOLD
        except SerializationError as error:
            raise self.unsendable("item", error) from None

    def done(self) -> bytes:
        return self.call.collected()

    def failure(self, failure: Failure) -> bytes:
        self.failed: str = failure.name if failure.refused is None else failure.refused.__name__
        return self.call.failed(self.failed, failure.message)

    def failure_in_short(self, name: str) -> bytes:
        self.failed = name
        return self.call.failed(name, "")

    def cut_off(self, status: int, title: str, why: str, *headers: tuple[bytes, bytes]) -> None:
        self.reply.cut_off(self.call.failed(title, why))

    # The way back

    @property
    def closed(self) -> bool:
        return self.reply.closed or self.call.full

    def send_item(self, data: bytes) -> None:
        if data != _UNTOLD:
            self.reply.put(data)
        if self.call.full and not self.reply.ended:
            self.reply.put(self.call.collected(), last=True)
            if self.runner is not None:
                self.runner.wake()


def report_progress(invocation: McpInvocation, loop: asyncio.AbstractEventLoop) -> None:
    """Let what the method reports go to the client; of a stream its items tell how far it is."""
    if invocation.call.token is None or (invocation.method is not None and invocation.method.streams):
        return
    newest: deque[tuple[float, float | None, str]] = deque(maxlen=1)

    def look() -> None:
        if newest and invocation.reply.room:  # a client who reads slowly gets fewer
            data = invocation.call.progress(*newest.popleft())
            if data is not None:
                invocation.reply.put(data)

    def report(done: float, total: float | None, text: str) -> None:
        newest.append((done, total, text))
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(look)

    invocation.report_to(report)
