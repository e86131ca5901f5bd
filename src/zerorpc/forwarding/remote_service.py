"""``zerorpc.RemoteService``: the methods of another server, to be served."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from typing import Any

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.call_options import CallOptions
from zerorpc.described import Method, Service, asking
from zerorpc.errors import RemoteError, UnknownMethod, ZeroRPCError
from zerorpc.forwarding.call import call
from zerorpc.forwarding.forwarded import ForwardedMethod
from zerorpc.forwarding.reach import Reach
from zerorpc.logs import Logger
from zerorpc.service.sources import Source
from zerorpc.shown import line

__all__ = ["RemoteService"]

logger: Logger = Logger("zerorpc.server")

_ANSWER_MAX = 10.0  # s for one answer about its methods, which a server gives beside everything else
_AGAIN = 1.0  # s until it is asked again for a name that it didn't have: callers may try many names


class RemoteService(Source):
    """The methods of another server, for a ``Server`` to serve in front of it: a gateway.

    ::

        server = zerorpc.Server(zerorpc.RemoteService("tcp://old-server:1234"))
        server.bind("http://127.0.0.1:8080")
        server.run()

    Argument: ``remote``, the endpoint of a server of any age, or several; or an ``AsyncClient`` that nobody else uses,
    where the way there needs more than that, such as keys. ``Server.register`` takes it too, beside other methods and
    with a prefix. It belongs to one server, which closes the client at its end. With several ``processes`` each makes
    connections of its own.

    The server shows the methods as the other one tells them: documentation, parameters, JSON Schema. It asks after each
    new connection, and when a name is called that it doesn't know, once a second at most. Arguments, results, streams
    and progress pass as they come, and with them metadata, what is left of the time, and the end of a call that is
    given up. Errors have the name, the message and the ``ran`` that they had there. A client's ``timeout`` bounds each
    call until its first reply; made of an endpoint, it has none but the caller's.

    While the other server can't be reached, calls fail at once with LostRemote, whose ``ran`` is False, and ``GET
    /readyz`` says why.

    Raises what AsyncClient raises for ``remote``. All else is the server's, and not safe from other threads.
    """

    def __init__(self, remote: object) -> None:
        self._client: AsyncClient = remote if isinstance(remote, AsyncClient) else AsyncClient(remote, timeout=None)
        self._reach = Reach(self._client, self._connections_changed)
        self._name, self._doc, self._prefix = self._reach.where, "", ""
        self._changed: Callable[[], None] | None = None  # None: it isn't served yet
        self._methods: dict[str, ForwardedMethod] = {}
        self._tells_all = True  # it has no methods but these
        self._told_by: frozenset[object] | None = None  # the connections that there were when it was asked
        self._asked_at = -inf
        self._asking: asyncio.Task[ZeroRPCError | None] | None = None

    # As a source

    @property
    def name(self) -> str:
        """What the other server calls itself; before that is known, where it is."""
        return self._name

    __name__ = name  # which Server looks for

    @property
    def doc(self) -> str:
        """What it says of all its methods, if there are tools for language models among them."""
        return self._doc

    def begin(self, prefix: str, changed: Callable[[], None]) -> None:
        """For the server: connect. Raises RuntimeError if another server has done so."""
        if self._changed is not None:
            raise RuntimeError(f"{self!r} is served by another server")
        self._prefix, self._changed = f"{prefix}." if prefix else "", changed
        self._reach.begin()

    async def aclose(self) -> None:
        """For the server: disconnect."""
        self._reach.end()
        if self._asking is not None:
            self._asking.cancel()
        await self._client.aclose()

    @property
    def methods(self) -> Mapping[str, ForwardedMethod]:
        """Those that are known, by their names here."""
        return self._methods

    @property
    def known(self) -> bool:
        """Whether it was told once which there are."""
        return self._told_by is not None

    async def catch_up(self) -> None:
        """Until it was told. Raises ZeroRPCError."""
        await self._reach.connected()
        if not self.known:
            await self._told()

    def unknown(self, name: str) -> ForwardedMethod:
        """What a call of another name runs: it finds out whether there is such a method by now."""
        short = name.removeprefix(self._prefix)

        async def find(*args: object, **kwargs: object) -> Any:
            return await self._call(await self._found(name, short), args, kwargs)

        return ForwardedMethod(name, Method(short), find)

    def why_not_ready(self) -> str:
        """Why it is not to be called just now; "" if that isn't so."""
        return self._reach.why_not()

    # Calling

    async def _call(self, method: Method, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        await self.catch_up()
        return await call(self._client, method, args, kwargs, self._reach.is_old, self._tells_all)

    async def _found(self, name: str, short: str) -> Method:
        """A method that wasn't known when the call came. Raises UnknownMethod.

        A server of ours is the one to say so: it may have such a method, and not tell it to us. Node's never answers.
        """
        await self.catch_up()
        if name not in self._methods and monotonic() >= self._asked_at + _AGAIN:
            await self._told()
        if name in self._methods:
            return self._methods[name].of
        if self._tells_all and self._reach.is_old:
            raise UnknownMethod("NameError", short, None, ran=False, method=short)
        return Method(short)

    # What it has

    def _connections_changed(self) -> None:
        """Whoever is there now may have other methods."""
        if self._told_by is None or not self._reach.connections <= self._told_by:
            self._ask()

    def _ask(self) -> asyncio.Task[ZeroRPCError | None]:
        """Begin to ask which methods there are; or go on, if that is being done."""
        asking = self._asking
        if asking is None or asking.done():
            # Not by the loop's task factory, which may begin it here.
            asking = self._asking = asyncio.Task(self._take_answer(), loop=asyncio.get_running_loop())
        return asking

    async def _told(self) -> None:
        """Until the server has answered that. Raises ZeroRPCError if it doesn't."""
        asking = self._ask()
        await asyncio.wait([asking])
        if not asking.cancelled() and (error := asking.result()) is not None:
            error = copy.copy(error)  # for each who waits
            error.method, error.ran = None, False  # of what was to be called
            raise error

    async def _take_answer(self) -> ZeroRPCError | None:
        """Take what the server says; or why it doesn't."""
        while True:
            error = await self._take_one_answer()
            connections = self._reach.connections
            if error is not None or self._told_by is None or connections <= self._told_by:
                return error

    async def _take_one_answer(self) -> ZeroRPCError | None:
        self._asked_at = monotonic()
        connections = self._reach.connections
        try:
            service = await self._answer()
            self._tells_all = not service.left_out
        except RemoteError as error:
            where = self._reach.where
            logger.warning("%s doesn't tell its methods, which can be called all the same: %s", where, error.msg)
            service, self._tells_all = Service("", {}), False
        except ZeroRPCError as error:
            return error
        self._name, self._doc = service.name or self._reach.where, service.doc
        shown = [each for each in service.methods.values() if not each.name.startswith("_")]
        made = [self._kept(f"{self._prefix}{each.name}", each) for each in shown]
        self._methods = {each.name: each for each in made if each is not None}
        self._told_by = connections
        if self._changed is not None:
            self._changed()
        return None

    async def _answer(self) -> Service:
        steps, core = asking(), self._client._core
        options = CallOptions(timeout=_ANSWER_MAX, detached=True)
        try:
            question = next(steps)
            while True:
                try:
                    answer = await core.call(question[0], question[1:], {}, options)
                except RemoteError as error:
                    question = steps.throw(error)
                else:
                    question = steps.send(answer)
        except StopIteration as end:
            service: Service = end.value
            return service

    def _kept(self, name: str, method: Method) -> ForwardedMethod | None:
        """The one from before, if nothing has changed. None for one of which things are told that make no sense."""

        async def forward(*args: object, **kwargs: object) -> Any:
            return await self._call(method, args, kwargs)

        before = self._methods.get(name)
        try:
            return before if before is not None and before.of == method else ForwardedMethod(name, method, forward)
        except Exception as error:  # what it tells may be nested as deep as can be read
            logger.error("what %s tells of %.200s makes no sense", self._reach.where, line(name), raised=error)
            return None

    def __repr__(self) -> str:
        return f"<RemoteService {self._reach.where} {'not connected' if self._reach.why_not() else 'connected'}>"
