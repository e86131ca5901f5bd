"""The door for HTTP, as an ASGI application.

``POST /call/METHOD`` with the arguments as JSON: a map by name, or a list by position. Streams come as NDJSON, or as
server-sent events to those who accept only these. What goes wrong is told as RFC 9457 has it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import weakref
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from math import inf
from typing import Any, TypeAlias
from urllib.parse import unquote

from zerorpc.doors.http.arguments import Given, NotArgumentsError, arguments_of
from zerorpc.doors.http.invocation import DEFAULT_PATIENCE, Caller, HttpInvocation
from zerorpc.doors.http.json_values import decode, encode
from zerorpc.doors.http.openapi import openapi
from zerorpc.doors.http.problems import PROBLEM, Problem
from zerorpc.doors.http.reply import Reply
from zerorpc.limits import Limits
from zerorpc.logs import Logger
from zerorpc.service.methods import Method
from zerorpc.service.registry import Registry
from zerorpc.service.runners import Runners
from zerorpc.service.schema import Misgiven

__all__ = ["HttpDoor"]

logger: Logger = Logger("zerorpc.server")

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"

JSON, NDJSON, EVENTS = "application/json", "application/x-ndjson", "text/event-stream"
TIMEOUT_HEADER = "x-zerorpc-timeout"  # seconds that the caller waits
METADATA_PREFIX = "x-zerorpc-meta-"
_TOLD = ("traceparent", "tracestate", "baggage")  # headers that are metadata of the call under their own name


class HttpDoor:
    """Answers HTTP requests with the methods of a registry, which ``runners`` run. Belongs to their loop."""

    def __init__(self, registry: Registry, runners: Callable[[], Runners], limits: Limits) -> None:
        self._registry = registry
        self._runners = runners
        self._limits = limits
        self._callers: weakref.WeakValueDictionary[str, Caller] = weakref.WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            raise ValueError(f"zerorpc's HTTP door serves HTTP, and no {scope['type']}")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            path = _path(scope)
            _refuse_other_sites(headers)
            if path == "/openapi.json" and scope["method"] in ("GET", "HEAD"):
                await _send_whole(send, 200, JSON, encode(openapi(self._registry)))
                return
            if not path.startswith("/call/"):
                raise _Answered(404, "NotFound", f"there is nothing at {path}; methods are at /call/NAME")
            invocation = await self._invocation(scope, path, headers, receive)
        except _Answered as answer:
            await _send_problem(send, answer.problem)
            return
        invocation.sender.open += 1
        watching = asyncio.create_task(_until_gone(receive, invocation.reply))
        try:
            self._submit(invocation)
            await _send_reply(send, invocation, headers.get("accept", ""))
        finally:
            watching.cancel()
            invocation.sender.open -= 1
            invocation.reply.close()

    def _submit(self, invocation: HttpInvocation) -> None:
        try:
            method = invocation.method
            if method is not None and method.schema is not None:
                invocation.args, invocation.kwargs = method.schema.for_json.convert(
                    invocation.args, invocation.kwargs or {}
                )
        except Misgiven as error:
            invocation.answer(invocation.error(error.with_traceback(None)))
            return
        runners = self._runners()
        runners.loop.call_soon(runners.submit, invocation)  # which may enter a task, and so isn't called in one

    async def _invocation(
        self, scope: Scope, path: str, headers: Mapping[str, str], receive: Receive
    ) -> HttpInvocation:
        """Raises _Answered for what is no call."""
        if scope["method"] != "POST":
            raise _Answered(405, "MethodNotAllowed", "methods are called by POST", (b"allow", b"POST"))
        if "idempotency-key" in headers:
            raise _Answered(501, "NotSupported", "keys of idempotent calls aren't taken by HTTP yet")
        name = unquote(path.removeprefix("/call/"))
        method = self._registry.methods.get(name)
        timeout = _timeout(headers)
        body = await _body(receive, self._limits.message)
        args, kwargs = _arguments(body, headers.get("content-type", ""), method)
        caller = self._caller(scope)
        return HttpInvocation(method, name, args, Reply(timeout), caller, len(body), _metadata(headers), kwargs=kwargs)

    def _caller(self, scope: Scope) -> Caller:
        client = scope.get("client")
        name = f"http://{client[0]}" if client else "http"
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = Caller(name)
        return caller


class _Answered(Exception):
    """A request that is answered with a problem, before any method."""

    def __init__(self, status: int, title: str, detail: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.problem: Problem = Problem.of(status, title, detail, *headers, ran=False)


# What came


def _path(scope: Scope) -> str:
    """Below where this is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root else path


def _refuse_other_sites(headers: Mapping[str, str]) -> None:
    """A web page may not call what its visitor reaches: neither as another origin, nor by a name of its own that it
    has made lead here (DNS rebinding). Only browsers say where a request comes from.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise _Answered(403, "OtherOrigin", f"pages of {origin} may not call")
    if (origin is not None or "sec-fetch-site" in headers) and not _is_own_host(host):
        raise _Answered(403, "OtherHost", f"pages of {host} may not call: use an address, or localhost")


def _is_own_host(host: str) -> bool:
    """Whether it is one that nobody else can have made lead here."""
    name = host.rpartition(":")[0] if host.rpartition("]")[2].count(":") else host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


async def _body(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Answered(400, "Disconnected", "the body didn't come")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _Answered(413, "TooLarge", f"the body is larger than {limit} octets")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _arguments(body: bytes, content_type: str, method: Method | None) -> Given:
    kind = content_type.partition(";")[0].strip().lower()
    if body and kind != JSON:  # a page of another site may send others without being asked about it
        raise _Answered(415, "NotJson", f"arguments come as {JSON}, and not as {kind or 'nothing in particular'}")
    try:
        return arguments_of(body, method)
    except NotArgumentsError as error:
        raise _Answered(400, "WrongArguments", str(error)) from None


def _timeout(headers: Mapping[str, str]) -> float:
    text = headers.get(TIMEOUT_HEADER)
    if text is None:
        return DEFAULT_PATIENCE
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise _Answered(400, "WrongTimeout", f"{TIMEOUT_HEADER} is a number of seconds, and not {text}")
    return min(seconds, inf)


def _metadata(headers: Mapping[str, str]) -> Mapping[str, str]:
    found = {name: headers[name] for name in _TOLD if name in headers}
    for name, value in headers.items():
        if name.startswith(METADATA_PREFIX):
            found[name.removeprefix(METADATA_PREFIX)] = value
    return found


# What goes back


async def _until_gone(receive: Receive, reply: Reply) -> None:
    """Nothing else comes after the body."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reply.close()


async def _send_reply(send: Send, invocation: HttpInvocation, accept: str) -> None:
    reply = invocation.reply
    try:
        first = await reply.take()
    except TimeoutError:
        await _send_problem(send, _too_late(invocation))
        return
    if invocation.streamed:
        await _send_stream(send, invocation, first, EVENTS if EVENTS in accept and NDJSON not in accept else NDJSON)
    elif invocation.problem is not None:
        await _send_problem(send, invocation.problem)
    else:
        await _send_whole(send, 200, JSON, first or b"")


def _too_late(invocation: HttpInvocation) -> Problem:
    why = f"{invocation.name}: no reply in {invocation.reply.timeout:g} s"
    return Problem.of(504, "TimeoutExpired", why, method=invocation.name, ran=None)


async def _send_problem(send: Send, problem: Problem) -> None:
    await _send_whole(send, problem.status, PROBLEM, problem.body, *problem.headers)


async def _send_whole(send: Send, status: int, kind: str, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    told = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, invocation: HttpInvocation, part: bytes | None, kind: str) -> None:
    """Items as they come. An error is the last line, or event: the status has gone."""
    reply = invocation.reply
    if invocation.problem is not None and reply.ended and not reply.parts:  # before the first item
        await _send_problem(send, invocation.problem)
        return
    form = _as_event if kind == EVENTS else _as_line
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while part is not None:
        is_last = reply.ended and not reply.parts
        if not is_last:
            await send({"type": "http.response.body", "body": form(part, ""), "more_body": True})
        elif invocation.problem is not None:
            await send({"type": "http.response.body", "body": form(_as_error(part), "error"), "more_body": True})
        try:
            part = await reply.take()
        except TimeoutError:
            late = _as_error(_too_late(invocation).body)
            await send({"type": "http.response.body", "body": form(late, "error"), "more_body": True})
            break
    await send({"type": "http.response.body", "body": form(b"null", "end") if kind == EVENTS else b""})


def _as_error(problem: bytes) -> bytes:
    return encode({"error": decode(problem)})


def _as_line(data: bytes, _: str) -> bytes:
    return data + b"\n"


def _as_event(data: bytes, name: str) -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"
