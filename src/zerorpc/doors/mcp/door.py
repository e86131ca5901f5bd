"""MCP over HTTP, "streamable HTTP": each message is a POST, and its answer one JSON object, or a stream of events if
there is progress to tell.

No state is kept between requests. What a legacy client calls its session is a number that we have given it and know
nothing of: it only tells whose request is meant when one is cancelled.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from zerorpc.described import Service, read_answer
from zerorpc.doors.http.access import Access
from zerorpc.doors.http.asgi_messages import Receive, Request, Send
from zerorpc.doors.http.invocation import JSON, Caller, HttpInvocation
from zerorpc.doors.http.observer import Observer
from zerorpc.doors.http.reply import Reply
from zerorpc.doors.http.requests import TIMEOUT_HEADER, Answered, body_of, kind_of, metadata_of, timeout_of
from zerorpc.doors.http.responses import EVENTS, send_whole
from zerorpc.doors.mcp.headers import check_headers
from zerorpc.doors.mcp.invocation import McpInvocation, report_progress
from zerorpc.limits import Limits
from zerorpc.mcp.messages import Answer, Id
from zerorpc.mcp.protocol import Cancel, respond
from zerorpc.mcp.tool_call import ToolCall
from zerorpc.mcp.tools import Tools
from zerorpc.service.registry import Registry

__all__ = ["PATH", "McpDoor"]

PATH = "/mcp"
SESSION = "mcp-session-id"
# Seconds. MCP's clients don't say how long they wait: that in TypeScript 60 s, that in Python for ever.
PATIENCE = 300.0

_Run: TypeAlias = "Callable[[HttpInvocation, Access, Receive, Callable[[], Awaitable[None]]], Awaitable[None]]"


class McpDoor:
    """Answers what comes to ``/mcp``, if a method is marked for it. Belongs to the loop of the door for HTTP, which
    knows who calls (``caller``) and how an invocation is ``run``.
    """

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        caller: Callable[[str], Caller],
        run: _Run,
        noted: Observer | None,
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._caller = caller
        self._run = run
        self.noted: Observer | None = noted
        self._running: dict[tuple[str, Id], Reply] = {}  # what a legacy client can cancel
        self._made: tuple[int, Tools] | None = None  # of which state of the registry, and

    @property
    def _tools(self) -> Tools:
        """All methods are registered before the first request can come, but for those from elsewhere."""
        if self._made is None or self._made[0] != self._registry.changes:
            self._made = self._registry.changes, Tools(read_answer(self._registry.inspected()) or Service("", {}))
        return self._made[1]

    async def answer(self, request: Request, access: Access, receive: Receive, send: Send) -> None:
        """One request of a caller with this ``access``. Raises Answered for what is no message."""
        tools = self._tools if access.rights is None else self._tools.admitted(access.admits)
        if not self._tools:
            raise Answered(404, "NotFound", "no method is a tool: mark one with @zerorpc.tool, or give Server(tools=)")
        if request.method != "POST":
            raise Answered(405, "MethodNotAllowed", "messages come by POST", (b"allow", b"POST"))
        access.check_lists()  # a model knows a tool by its listing only
        if kind_of(request.headers) != JSON:
            raise Answered(415, "NotJson", f"messages come as {JSON}")
        body = await body_of(receive, self._limits.message)
        step = respond(body, tools, lambda message: check_headers(message, request.headers))
        session = request.headers.get(SESSION, "")
        if isinstance(step, ToolCall):
            await self._call(step, request, access, len(body), receive, send, session)
        elif isinstance(step, Answer):
            opened = [(SESSION.encode(), secrets.token_hex(16).encode())] if step.begins else []
            await send_whole(send, step.status, JSON, step.data, *opened)
        else:
            if isinstance(step, Cancel) and session and (reply := self._running.get((session, step.request))):
                reply.close()
            await send_whole(send, 202, JSON, b"")

    async def _call(
        self, call: ToolCall, request: Request, access: Access, size: int, receive: Receive, send: Send, session: str
    ) -> None:
        method = self._registry.methods.get(call.tool.method.name)
        args, kwargs = call.tool.placed(call.arguments)
        reply = Reply(timeout_of(request.headers) if TIMEOUT_HEADER in request.headers else PATIENCE)
        invocation = McpInvocation(
            method,
            call.tool.method.name,
            args,
            reply,
            self._caller(request.host),
            metadata_of(request.headers),
            kwargs=kwargs,
            size=size,
            rights=access.rights,
            observer=self.noted,
            call=call,
        )
        report_progress(invocation, asyncio.get_running_loop())
        key = session, call.request
        if session:
            self._running[key] = reply
        try:
            await self._run(invocation, access, receive, functools.partial(_send_reply, send, invocation))
        finally:
            if self._running.get(key) is reply:
                del self._running[key]


async def _send_reply(send: Send, invocation: McpInvocation) -> None:
    """The result alone is one object; what is told before it makes a stream of it. A call that was cancelled has no
    answer: an empty stream.
    """
    reply = invocation.reply
    try:
        part = await reply.take()
    except TimeoutError:
        late = invocation.call.failed("TimeoutExpired", f"{invocation.name}: no reply in {reply.timeout:g} s")
        await send_whole(send, 200, JSON, late)
        return
    if part is not None and reply.ended and not reply.parts:
        await send_whole(send, 200, JSON, part)
        return
    headers = [(b"content-type", EVENTS.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while part is not None:
        await send({"type": "http.response.body", "body": b"data: " + part + b"\n\n", "more_body": True})
        part = await reply.take()
    await send({"type": "http.response.body", "body": b""})
