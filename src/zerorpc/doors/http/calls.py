"""A request as the call that it asks for."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from zerorpc.doors.http.access import Access
from zerorpc.doors.http.arguments import ByPosition, Given, NotArgumentsError, arguments_of
from zerorpc.doors.http.asgi_messages import Receive, Request
from zerorpc.doors.http.invocation import JSON, OCTETS, Caller, HttpInvocation
from zerorpc.doors.http.observer import Observer
from zerorpc.doors.http.reply import Reply
from zerorpc.doors.http.requests import Answered, body_of, key_of, kind_of, metadata_of, timeout_of
from zerorpc.doors.http.responses import NDJSON
from zerorpc.doors.http.upload import Body, LoopLines, ThreadLines, TooLongError
from zerorpc.errors import Cancelled
from zerorpc.service.methods import Method, Where
from zerorpc.service.registry import Registry
from zerorpc.service.runners import Runners
from zerorpc.service.stream_parameters import ASYNC

__all__ = ["Calls"]

_WORDS_MAX = 1000  # in a query; 60 KiB of them would take some time


class Calls:
    """Reads requests to ``/call/METHOD`` of one server. On its loop. A message has ``limit`` octets at most.

    ``noted``: who is told how each ends.
    """

    def __init__(self, registry: Registry, runners: Callable[[], Runners], limit: int, noted: Observer | None) -> None:
        self._registry = registry
        self._runners = runners
        self._limit = limit
        self.noted: Observer | None = noted
        self._placing: dict[Method, ByPosition] = {}  # Python takes 60 us to tell it
        self._callers: weakref.WeakValueDictionary[str, Caller] = weakref.WeakValueDictionary()

    async def read(self, request: Request, receive: Receive, access: Access) -> HttpInvocation:
        """The whole request, or, of a body that streams, its arguments. Raises Answered for what is no call."""
        headers = request.headers
        if not request.path.startswith("/call/"):
            raise Answered(404, "NotFound", f"there is nothing at {request.path}; methods are at /call/NAME")
        name = request.path.removeprefix("/call/")
        method = access.method(name)
        allowed = ("GET", "POST") if method is not None and method.safe else ("POST",)
        if request.method not in allowed:
            why = "methods are called by POST, and by GET if they are marked with @zerorpc.safe"
            raise Answered(405, "MethodNotAllowed", why, (b"allow", ", ".join(allowed).encode()))
        invocation = HttpInvocation(
            method,
            name,
            [],
            Reply(timeout_of(headers)),
            self.caller(request.host),
            metadata_of(headers),
            rights=access.rights,
            exists=name in self._registry.methods,
            takes_octets=OCTETS in headers.get("accept", ""),
            key=key_of(headers),
            observer=self.noted,
        )
        if request.method == "GET":
            self._read_query(invocation, request)
        elif kind_of(headers) == NDJSON:
            await self._read_stream(invocation, receive)
        else:
            await self._read_whole(invocation, receive, headers)
        return invocation

    def _read_query(self, invocation: HttpInvocation, request: Request) -> None:
        """Arguments are words there, as on the command line. One that is there several times is a list of them."""
        try:
            found = parse_qs(request.query, keep_blank_values=True, max_num_fields=_WORDS_MAX)
        except ValueError:
            raise Answered(400, "WrongArguments", f"a query has {_WORDS_MAX} words at most") from None
        words: dict[str, Any] = {name: given[0] if len(given) == 1 else given for name, given in found.items()}
        method = invocation.method
        rest = None if method is None else self._placing_of(method).rest
        if rest is not None and isinstance(words.get(rest), str):
            words[rest] = [words[rest]]  # the only one of them
        invocation.typed = True
        invocation.args, invocation.kwargs = self._given(b"", method, words)

    def caller(self, name: str) -> Caller:
        caller = self._callers.get(name)
        if caller is None:
            caller = self._callers[name] = Caller(name)
        return caller

    async def _read_whole(self, invocation: HttpInvocation, receive: Receive, headers: Mapping[str, str]) -> None:
        body = await body_of(receive, self._limit)
        kind = kind_of(headers)
        if body and kind != JSON:  # a page of another site may send others without being asked about it
            told = f"arguments come as {JSON}, or {NDJSON} if one streams, and not as {kind or 'nothing in particular'}"
            raise Answered(415, "NotJson", told)
        invocation.size = len(body)
        invocation.args, invocation.kwargs = self._given(body, invocation.method, {})

    async def _read_stream(self, invocation: HttpInvocation, receive: Receive) -> None:
        """The first line has the other arguments, each further one an item."""
        if invocation.key is not None:
            why = "a call with an idempotency key can't be repeated with an argument that streams"
            raise Answered(400, "WrongArguments", why)
        runners = self._runners()
        body = Body(receive, self._limit, runners.loop)
        try:
            first = await body.first()
        except TooLongError as error:
            raise Answered(413, "TooLarge", str(error)) from None
        except Cancelled as error:
            raise Answered(400, "Disconnected", str(error)) from None
        invocation.body, invocation.size = body, len(first)
        method = invocation.method
        if method is None:
            return
        parameter = _parameter(method)
        items = (
            LoopLines(body, runners.loop)
            if method.takes[parameter] is ASYNC
            else ThreadLines(body, functools.partial(runners.park, invocation))
        )
        invocation.args, invocation.kwargs = self._given(first, method, {parameter: items})

    def _given(self, body: bytes, method: Method | None, more: dict[str, object]) -> Given:
        placing = None if method is None else self._placing_of(method)
        try:
            return arguments_of(body, placing, more)
        except NotArgumentsError as error:
            raise Answered(400, "WrongArguments", str(error)) from None

    def _placing_of(self, method: Method) -> ByPosition:
        placing = self._placing.get(method)
        if placing is None:
            placing = ByPosition.of(method)
            if self._registry.methods.get(method.name) is method:  # else it is gone after this call
                self._placing[method] = placing
        return placing


def _parameter(method: Method) -> str:
    """The one that streams. Raises Answered if that isn't clear, or can't be."""
    why = None
    if len(method.takes) != 1:
        why = f"it has {len(method.takes)} parameters that take a stream, and a body has the items of one"
    elif method.where is Where.LOOP and next(iter(method.takes.values())) is not ASYNC:
        why = "it runs on the event loop, which a plain iterator would block: annotate it as AsyncIterator"
    if why is not None:
        raise Answered(400, "WrongArguments", f"{method.name}: {why}")
    return next(iter(method.takes))
