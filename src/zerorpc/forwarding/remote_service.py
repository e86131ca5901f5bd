"""``zerorpc.RemoteService``: the methods of another server, to be served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from math import inf
from time import monotonic
from typing import Any

from zerorpc.client.async_call import AsyncStream
from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.options import CallOptions
from zerorpc.described import BY_PLACE, Method, Service, asking
from zerorpc.errors import (
    HandshakeFailed,
    LostRemote,
    RemoteError,
    UnknownMethod,
    WrongArguments,
    ZeroRPCError,
)
from zerorpc.forwarding.forwarded import ForwardedMethod
from zerorpc.logs import Logger
from zerorpc.scope import current_scope
from zerorpc.service.invocation import Invocation
from zerorpc.service.sources import Source
from zerorpc.shown import line, message_of

__all__ = ["RemoteService"]

logger: Logger = Logger("zerorpc.server")

_ANSWER_MAX = 10.0  # s that the other server may take to tell its methods; it answers that beside everything else
_AGAIN = 1.0  # s until it is asked again for a name that it didn't have: callers may try many names
_LOOK = 0.02  # s between looks whether it can be reached, while that isn't known: only a success is told


class RemoteService(Source):
    """The methods of another server, for a ``Server`` to serve in front of it: a gateway.

    ::

        server = zerorpc.Server(zerorpc.RemoteService("tcp://old-server:1234"))
        server.bind("http://127.0.0.1:8080")
        server.run()

    Argument: ``remote``, the endpoint of a server of any age, or several; or an ``AsyncClient`` that nobody else uses,
    where the way there needs more than that, such as keys. It belongs to one server, which closes the client at its
    end. ``Server.register`` takes it as well, beside other methods, and with a prefix.

    The server shows the methods as the other one tells them: documentation, parameters, JSON Schema. It asks after each
    new connection, and when a name is called that it doesn't know, once a second at most. Arguments, results, streams
    and progress pass as they come, and with them metadata, what is left of the time, and the end of a call that is
    given up. Errors have the name, the message and the ``ran`` that they had there. A client's ``timeout`` bounds all
    calls; made of an endpoint there is none but the caller's.

    While the other server can't be reached, calls fail at once with LostRemote, whose ``ran`` is False, and ``GET
    /readyz`` says why.

    Raises what AsyncClient raises for ``remote``. Where several processes serve, each makes connections of its own.
    """

    def __init__(self, remote: object) -> None:
        self._client: AsyncClient = remote if isinstance(remote, AsyncClient) else AsyncClient(remote, timeout=None)
        self._core = self._client._core
        self._where = ", ".join([*self._core.hub.dialers, *self._core.hub.listeners])
        self._name = self._where
        self._doc = ""
        self._prefix = ""
        self._changed: Callable[[], None] = _nobody_cares
        self._methods: dict[str, ForwardedMethod] = {}
        self._partly = False  # there are methods that it doesn't tell
        self._told_by: frozenset[object] | None = None  # the connections that there were when it was asked
        self._asked_at = -inf
        self._asking: asyncio.Task[ZeroRPCError | None] | None = None
        self._news = asyncio.Event()  # there is a connection
        self._is_lost = False  # as the log has it
        self._begun = False

    # As a source

    @property
    def name(self) -> str:
        """What the other server calls itself; before that is known, where it is."""
        return self._name

    __name__ = name  # which Server looks for

    @property
    def doc(self) -> str:
        """For the server: what the other one says of all its methods, if they are tools."""
        return self._doc

    def begin(self, prefix: str, changed: Callable[[], None]) -> None:
        """For the server: connect."""
        if self._begun:
            raise RuntimeError(f"{self!r} is served by another server")
        self._begun = True
        self._prefix, self._changed = f"{prefix}." if prefix else "", changed
        self._core._peers.changed = self._connections_changed
        self._core.attach()

    async def aclose(self) -> None:
        """For the server: disconnect."""
        self._core._peers.changed = None
        if self._asking is not None:
            self._asking.cancel()
        await self._client.aclose()

    @property
    def methods(self) -> Mapping[str, ForwardedMethod]:
        """For the server: those that are known."""
        return self._methods

    @property
    def known(self) -> bool:
        """For the server: whether it was told once which there are."""
        return self._told_by is not None

    async def catch_up(self) -> None:
        """For the server: until it was told. Raises ZeroRPCError."""
        await self._reached()

    def unknown(self, name: str) -> ForwardedMethod:
        """For the server: what finds out whether there is such a method by now."""
        short = name.removeprefix(self._prefix)

        async def find(*args: object, **kwargs: object) -> Any:
            told = await self._found(name, short)
            return await self._call(told, args, kwargs)

        return ForwardedMethod(name, Method(short), find)

    def why_not_ready(self) -> str:
        """For the server: why the other one is not to be called; "" if that isn't so."""
        return "" if self._core.calls.peers else self._unreachable()

    # What it has

    def _connections_changed(self) -> None:
        peers = frozenset(self._core.calls.peers)
        if peers:
            self._news.set()
            if self._is_lost:
                self._is_lost = False
                logger.info("reached again: %s", self._where)
            if self._told_by is None or not peers <= self._told_by:
                self._ask()
        else:
            self._tell_lost("the connection is lost")

    def _tell_lost(self, why: str) -> None:
        """Once, in the log."""
        if not self._is_lost:
            self._is_lost = True
            logger.warning("calls can't be forwarded to %s: %s", self._where, why)

    def _unreachable(self) -> str:
        return f"no server was reached ({self._core.hub.describe()})"

    async def _reached(self) -> None:
        """Until there is a connection, and the methods are known. Raises LostRemote as soon as there can be none."""
        core = self._core
        while not core.calls.peers:
            if not core.hub.connecting and not core.hub.listeners:
                self._tell_lost(self._unreachable())
                raise self._lost()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._news.wait()
        if self._told_by is None:
            await self._told()

    def _lost(self) -> ZeroRPCError:
        refusal = self._core.hub.refusal
        error: LostRemote | HandshakeFailed = LostRemote(self._unreachable())
        if refusal is not None:
            error = HandshakeFailed(message_of(refusal))
        error.ran, error.endpoint = False, self._where
        return error

    def _ask(self) -> asyncio.Task[ZeroRPCError | None]:
        """Begin to ask which methods there are; or go on, if that is being done."""
        asking = self._asking
        if asking is None or asking.done():
            # Not by the loop's task factory, which may begin it here.
            asking = self._asking = asyncio.Task(self._take_answer(), loop=self._core.loop)
        return asking

    async def _told(self) -> None:
        """Until the server has answered that. Raises ZeroRPCError if it doesn't."""
        asking = self._ask()
        await asyncio.wait([asking])
        if not asking.cancelled() and (error := asking.result()) is not None:
            raise error

    async def _take_answer(self) -> ZeroRPCError | None:
        """Take what the server says; or why it doesn't. In a task of its own."""
        self._asked_at = monotonic()
        peers = frozenset(self._core.calls.peers)
        try:
            service = await self._answer()
        except RemoteError as error:  # it doesn't tell that to us: names are tried
            logger.warning("%s doesn't tell its methods, which can be called all the same: %s", self._where, error.msg)
            service, self._partly = Service("", {}), True
        except ZeroRPCError as error:
            return error
        else:
            self._partly = service.left_out > 0
        self._name, self._doc = service.name or self._where, service.doc
        shown = [each for each in service.methods.values() if not each.name.startswith("_")]
        made = [self._kept(f"{self._prefix}{each.name}", each) for each in shown]
        self._methods = {each.name: each for each in made if each is not None}
        self._told_by = peers
        self._changed()
        return None

    async def _answer(self) -> Service:
        steps = asking()
        options = CallOptions(timeout=_ANSWER_MAX, detached=True)
        try:
            question = next(steps)
            while True:
                try:
                    answer = await self._core.call(question[0], question[1:], {}, options)
                except RemoteError as error:
                    question = steps.throw(error)
                else:
                    question = steps.send(answer)
        except StopIteration as end:
            service: Service = end.value
            return service

    def _kept(self, name: str, told: Method) -> ForwardedMethod | None:
        """The one from before, if nothing has changed. None for one of which things are told that make no sense."""

        async def forward(*args: object, **kwargs: object) -> Any:
            await self._reached()
            return await self._call(told, args, kwargs)

        before = self._methods.get(name)
        try:
            return before if before is not None and before.of == told else ForwardedMethod(name, told, forward)
        except Exception as error:  # what it tells may be nested as deep as can be read
            logger.error("what %s tells of %.200s makes no sense", self._where, line(name), raised=error)
            return None

    async def _found(self, name: str, short: str) -> Method:
        """A method that wasn't known when the call came. Raises UnknownMethod."""
        await self._reached()
        if name not in self._methods and monotonic() >= self._asked_at + _AGAIN:
            await self._told()
        method = self._methods.get(name)
        if method is not None:
            return method.of
        if self._partly:
            return Method(short)
        raise UnknownMethod("NameError", short, None, ran=False, method=short)

    # Calling

    async def _call(self, told: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        """What the other server returns: a value, or the items as they come. An older one doesn't say before which."""
        scope = current_scope()
        served = None if scope is None else scope.answers
        invocation = served if isinstance(served, Invocation) else None
        is_old = all(peer.level < 1 for peer in self._core.calls.peers)
        if is_old and (missing := _missing(told, args, kwargs)):
            why = f"{told.name}(): missing arguments: {', '.join(missing)}"
            raise WrongArguments("TypeError", why, None, ran=False, method=told.name)
        options = CallOptions(detached=True) if invocation is None else self._options(invocation, is_old)
        call = self._core.call(told.name, args, kwargs, options)
        try:
            value = await call
        except RemoteError as error:
            raise (self._read_old(error, told, args, kwargs) if is_old else error) from None
        if is_old or invocation is None:
            return value
        if metadata := call.metadata:
            invocation.reply_metadata.update(metadata)
        if isinstance(value, AsyncStream):
            return _items(value, invocation)
        if metadata := call.end_metadata:
            invocation.end_metadata.update(metadata)
        return value

    def _options(self, invocation: Invocation, is_old: bool) -> CallOptions:
        """The call ends when its caller waits no longer. It is ``detached`` since its task is cancelled then, and since
        the time for the first reply, which a scope has, is none for the end of a stream.
        """
        now, own = monotonic(), self._core.timeout
        left = min(invocation.until - now, inf if own is None else own)
        end = invocation.stream_until - now
        extras = invocation.extras
        reports = extras is not None and extras.report is not None and not is_old
        return CallOptions(
            timeout=None if left == inf else max(left, 0.001),
            deadline=None if end == inf else max(end, 0.001),
            metadata=None if is_old else dict(invocation.metadata),
            detached=True,
            words=invocation.words,
            progress=invocation.report if reports else None,
        )

    def _read_old(
        self, error: RemoteError, told: Method, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> RemoteError:
        """What servers of ours say by itself: that there is no such method, or that it takes other arguments."""
        kind: type[RemoteError] | None = None
        if self._partly and error.name == "NameError" and error.msg == told.name:
            kind = UnknownMethod
        elif error.name == "TypeError" and told.parameters is not None and not kwargs:
            places = [each for each in told.parameters if each.kind in BY_PLACE]
            kind = WrongArguments if len(places) == len(told.parameters) < len(args) else None
        if kind is None:
            return error
        return kind(error.name, error.msg, error.traceback, ran=error.ran, method=error.method)

    def __repr__(self) -> str:
        return f"<RemoteService {self._where} {'connected' if self._core.calls.peers else 'not connected'}>"


def _nobody_cares() -> None: ...


def _missing(told: Method, args: tuple[object, ...], kwargs: Mapping[str, object]) -> list[str]:
    """Which parameters of an older server's method have no argument. Node's method would never answer."""
    places = [each for each in told.parameters or () if each.kind in BY_PLACE]
    return [each.name for each in places[len(args) :] if each.required and each.name not in kwargs]


async def _items(stream: AsyncStream, invocation: Invocation) -> AsyncIterator[Any]:
    """The items, and then what the method has sent along with the end."""
    async with contextlib.aclosing(stream):
        async for item in stream:
            yield item
    if metadata := stream.end_metadata:
        invocation.end_metadata.update(metadata)
