"""The door for HTTP, as an ASGI application.

``POST /call/METHOD`` with the arguments as JSON: a map by name, or a list by position. Streams come as NDJSON, or as
server-sent events to those who accept only these. What goes wrong is told as RFC 9457 has it.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Awaitable, Callable

from zerorpc.doors.http.asgi_messages import Message, Receive, Request, Send
from zerorpc.doors.http.invocation import Caller, HttpInvocation
from zerorpc.doors.http.json_values import encode
from zerorpc.doors.http.openapi import openapi
from zerorpc.doors.http.reply import Reply
from zerorpc.doors.http.requests import (
    JSON,
    TEXT,
    Answered,
    body_of,
    given,
    metadata_of,
    refuse_pages_of_others,
    timeout_of,
)
from zerorpc.doors.http.responses import send_problem, send_reply, send_whole
from zerorpc.doors.mcp.door import PATH, McpDoor
from zerorpc.limits import Limits
from zerorpc.service.registry import Registry
from zerorpc.service.runners import Runners
from zerorpc.service.schema import Misgiven

__all__ = ["HttpDoor"]


class HttpDoor:
    """Answers HTTP requests with the methods of a registry, which ``runners`` run. Belongs to their loop."""

    def __init__(self, registry: Registry, runners: Callable[[], Runners], limits: Limits) -> None:
        self._registry = registry
        self._runners = runners
        self._limits = limits
        self._mcp = McpDoor(registry, limits, self._caller, self._run)
        self._callers: weakref.WeakValueDictionary[str, Caller] = weakref.WeakValueDictionary()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        request = Request.of(scope)
        try:
            refuse_pages_of_others(request.headers)
            if request.method in ("GET", "HEAD") and (page := self._page(request.path)) is not None:
                await send_whole(send, *page)
                return
            if request.path == PATH:
                await self._mcp.answer(request, receive, send)
                return
            invocation = await self._invocation(request, receive)
        except Answered as answer:
            await send_problem(send, answer.problem)
            return
        sending = functools.partial(send_reply, send, invocation, request.headers.get("accept", ""))
        await self._run(invocation, receive, sending)

    def _page(self, path: str) -> tuple[int, str, bytes] | None:
        """What is there to look at: the status, of which type it is, and the body. None for nothing.

        ``/livez`` and ``/readyz`` are what Kubernetes calls them: a server that stops still lives.
        """
        if path == "/openapi.json":
            return 200, JSON, encode(openapi(self._registry))
        if path == "/livez" or (path == "/readyz" and not self._runners().stopping):
            return 200, TEXT, b"ok\n"
        return (503, TEXT, b"stopping\n") if path == "/readyz" else None

    async def _invocation(self, request: Request, receive: Receive) -> HttpInvocation:
        """Raises Answered for what is no call."""
        headers = request.headers
        if not request.path.startswith("/call/"):
            raise Answered(404, "NotFound", f"there is nothing at {request.path}; methods are at /call/NAME")
        if request.method != "POST":
            raise Answered(405, "MethodNotAllowed", "methods are called by POST", (b"allow", b"POST"))
        if "idempotency-key" in headers:
            raise Answered(501, "NotSupported", "keys of idempotent calls aren't taken by HTTP yet")
        name = request.path.removeprefix("/call/")
        method = self._registry.methods.get(name)
        timeout = timeout_of(headers)
        body = await body_of(receive, self._limits.message)
        args, kwargs = given(body, headers.get("content-type", ""), method)
        caller = self._caller(request.sender)
        return HttpInvocation(
            method, name, args, Reply(timeout), caller, len(body), metadata_of(headers), kwargs=kwargs
        )

    def _caller(self, name: str) -> Caller:
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = Caller(name)
        return caller

    async def _run(self, invocation: HttpInvocation, receive: Receive, sending: Callable[[], Awaitable[None]]) -> None:
        invocation.sender.open += 1
        watching = asyncio.create_task(_until_gone(receive, invocation.reply))
        try:
            self._submit(invocation)
            await sending()
        finally:
            watching.cancel()
            invocation.sender.open -= 1
            invocation.reply.close()

    def _submit(self, invocation: HttpInvocation) -> None:
        method, args = invocation.method, invocation.args
        try:
            if method is not None and method.schema is not None:
                invocation.args, invocation.kwargs = method.schema.for_json.convert(args, invocation.kwargs or {})
        except Misgiven as error:
            invocation.answer(invocation.error(error.with_traceback(None)))
            return
        runners = self._runners()
        runners.loop.call_soon(runners.submit, invocation)  # which may enter a task, and so isn't called in one


async def _until_gone(receive: Receive, reply: Reply) -> None:
    """Nothing else comes after the body."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reply.close()
