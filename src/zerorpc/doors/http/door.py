"""The door for HTTP, as an ASGI application.

``POST /call/METHOD`` with the arguments as JSON: a map by name, or a list by position. Streams come as NDJSON, or as
server-sent events to those who accept only these. What goes wrong is told as RFC 9457 has it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any, Protocol

from zerorpc.doors.console import page as console
from zerorpc.doors.http.access import Access, Entrance
from zerorpc.doors.http.asgi_messages import Connection, Message, Receive, Request, Send
from zerorpc.doors.http.calls import Calls
from zerorpc.doors.http.invocation import JSON, HttpInvocation
from zerorpc.doors.http.json_values import encode
from zerorpc.doors.http.observer import observer
from zerorpc.doors.http.openapi import openapi
from zerorpc.doors.http.origins import Origins, preflight, with_headers
from zerorpc.doors.http.pages import Observed, metrics, state, status
from zerorpc.doors.http.reply import Reply
from zerorpc.doors.http.requests import TEXT, Answered, timeout_of
from zerorpc.doors.http.responses import send_problem, send_reply, send_whole
from zerorpc.doors.http.upload import Body
from zerorpc.doors.keyed_calls import KeyedCalls
from zerorpc.doors.mcp.door import PATH, McpDoor
from zerorpc.observe.counts import Tally
from zerorpc.service.idempotency import digest_of
from zerorpc.service.registry import Registry
from zerorpc.service.rights import Rules
from zerorpc.service.runners import Runners
from zerorpc.service.schema import Misgiven
from zerorpc.service.sources import Sources
from zerorpc.settings import ServerSettings
from zerorpc.transport.authentication import Authentication

__all__ = ["HttpDoor"]


class Hub(Protocol):
    """The server's other endpoints."""

    @property
    def listeners(self) -> Iterable[str]: ...


class Service(Protocol):
    """What the door needs of a server."""

    registry: Registry
    settings: ServerSettings
    authentication: Authentication | None
    rules: Rules

    @property
    def hub(self) -> Hub: ...

    @property
    def observation(self) -> Observed: ...

    @property
    def running(self) -> Runners: ...

    @property
    def keyed(self) -> KeyedCalls: ...


class HttpDoor:
    """Answers HTTP requests with the methods of a server. Belongs to the loop on which that serves."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = service.registry
        self._entrance = Entrance(service.registry, service.authentication, service.rules)
        self._origins = Origins(service.settings.origins or ())
        settings = service.settings
        self._console = settings.console
        noted = observer(settings.log_calls, service.observation.tally("http"))
        self._calls = Calls(service.registry, lambda: service.running, settings.limits.message, noted)
        self._open: dict[asyncio.Task[None], HttpInvocation | None] = {}  # what is being answered; None: not read yet
        self._ended = False
        self._mcp = McpDoor(service.registry, settings.limits, self._calls.caller, self._run, noted)

    def note_calls(self, logged: bool, tally: Tally | None) -> None:
        """From now on calls are logged, counted, both, or neither."""
        self._calls.noted = self._mcp.noted = observer(logged, tally)

    @property
    def open_calls(self) -> list[HttpInvocation]:
        """Those that are being answered."""
        return [invocation for invocation in self._open.values() if invocation is not None]

    async def __call__(
        self,
        scope: Message,
        receive: Receive,
        send: Send,
        connection: Connection | None = None,
    ) -> None:
        """One request, as ASGI has it. ``connection`` is what a server of ours knows besides."""
        request = Request.of(scope, connection or Connection())
        try:
            send = with_headers(send, self._origins.check(request))
            if (told := preflight(request)) is not None:
                await send_whole(send, 204, TEXT, b"", *told)
            elif request.is_look and (page := await state(self._service.observation, request.path)) is not None:
                await send_whole(send, *page)
            else:
                await self._let_in(request, receive, send)
        except Answered as answer:
            await send_problem(send, answer.problem)

    async def _let_in(self, request: Request, receive: Receive, send: Send) -> None:
        if self._ended:
            raise _stopping()
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = None
        try:
            await self._answer(request, receive, send)
        except asyncio.CancelledError:
            if not self._ended:
                raise
            task.uncancel()
            raise _stopping() from None
        finally:
            self._open.pop(task, None)

    def end(self) -> None:
        """The server has stopped: what is still open is answered now. What runs has had its grace."""
        self._ended = True
        for task, invocation in list(self._open.items()):
            if invocation is None:
                task.cancel()  # it waits for the rest of a request
            else:
                invocation.cut_off(503, "ServerStopping", "the server has stopped", (b"retry-after", b"1"))

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        access = await self._entrance.enter(request)
        try:
            if (sources := self._registry.sources) is not None and not sources.known:
                await _check_known(sources, request)
            if request.is_look and request.path == "/openapi.json":
                await send_whole(send, 200, JSON, encode(self._document(access)))
            elif request.is_look and request.path == "/metrics":
                await send_whole(send, *metrics(self._service.observation, access))
            elif request.is_look and request.path == "/status":
                await send_whole(send, *status(self._service.observation, access, request))
            elif self._console and (found := console.asset(request)) is not None:
                console.check_shown(request, access, self._service.settings.anyone_may_call)
                await console.send_asset(send, request, found)
            elif request.path == PATH:
                await self._mcp.answer(request, access, receive, send)
            else:
                invocation = await self._calls.read(request, receive, access)
                accept = request.headers.get("accept", "")
                await self._run(invocation, access, receive, functools.partial(send_reply, send, invocation, accept))
        finally:
            self._entrance.leave(access)

    def _document(self, access: Access) -> dict[str, Any]:
        registry = self._registry
        endpoints = list(self._service.hub.listeners)  # others may bind meanwhile
        return openapi(registry.name, access.methods(), self._entrance.asks, registry.docs, endpoints)

    async def _run(
        self, invocation: HttpInvocation, access: Access, receive: Receive, sending: Callable[[], Awaitable[None]]
    ) -> None:
        """Run it, with ``sending`` what comes of it, until that has gone."""
        invocation.sender.open += 1
        access.end = invocation.revoke
        reply, body = invocation.reply, invocation.body
        watching = None
        task = asyncio.current_task()
        if task in self._open:
            self._open[task] = invocation
        leave = functools.partial(_leave, reply, body)
        access.connection.open.add(leave)  # nobody has waited since its body was there: it isn't lost yet
        try:
            if access.rights is not None and access.rights.revoked:  # while its body came
                invocation.revoke()
            else:
                self._submit(invocation)
                await asyncio.sleep(0)  # a method on the loop that waits for nothing has been answered then
            if body is not None:
                watching = asyncio.create_task(body.pump(reply.close, access.connection.has_ended))
            elif not (reply.ended or access.connection.is_told):
                watching = asyncio.create_task(_until_gone(receive, reply))
            await sending()
        finally:
            if watching is not None:
                watching.cancel()
            invocation.sender.open -= 1
            access.connection.open.discard(leave)
            leave()

    def _submit(self, invocation: HttpInvocation) -> None:
        method, args, key = invocation.method, invocation.args, invocation.key
        said = functools.partial(digest_of, args, invocation.kwargs)
        try:
            if method is not None and method.schema is not None:
                schema = method.schema.for_words if invocation.typed else method.schema.for_json
                invocation.args, invocation.kwargs = schema.convert(args, invocation.kwargs or {})
        except Misgiven as error:
            invocation.answer(invocation.error(error.with_traceback(None)))
            return
        keyed, runners = self._service.keyed, self._service.running
        # Either may enter a task, and so isn't called in one.
        if key is None:
            runners.loop.call_soon(runners.submit, invocation)
        else:
            runners.loop.call_soon(keyed.let_in, invocation, key, said)


async def _check_known(sources: Sources, request: Request) -> None:
    """Wait until it is known which methods there are, if that is asked. Raises Answered for what is of no use without;
    a call goes on, says the same, and is logged and counted.
    """
    lists = request.path in ("/openapi.json", PATH)
    if not lists and not request.path.startswith("/call/"):
        return
    patience = timeout_of(request.headers)
    try:
        async with asyncio.timeout(None if patience == inf else patience):
            why = await sources.why_unknown()
    except TimeoutError:
        why = sources.why_not_ready() or "the server behind this one hasn't told its methods"
        raise Answered(504, "TimeoutExpired", f"{why}, in {patience:g} s") from None
    if why and lists:
        raise Answered(503, "LostRemote", why, (b"retry-after", b"1"))


def _leave(reply: Reply, body: Body | None) -> None:
    """Nobody waits for the answer any more."""
    reply.close()
    if body is not None:
        body.leave()


def _stopping() -> Answered:
    return Answered(503, "ServerStopping", "the server stops", (b"retry-after", b"1"))


async def _until_gone(receive: Receive, reply: Reply) -> None:
    """Nothing else comes after the body."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reply.close()
