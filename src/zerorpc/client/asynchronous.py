"""AsyncClient: calls to a remote service from an event loop.

One call, in order: ``AsyncClient.__call__`` packs the request and sends it, ``Call`` waits for the first reply and
tells a value from a stream, ``AsyncStream`` takes the stream's items.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Callable, Sequence
from os import getpid
from random import getrandbits
from typing import TYPE_CHECKING

from zerorpc.calls.dispatch import Calls
from zerorpc.client.async_call import AsyncStream, Call
from zerorpc.client.async_call_hooks import AsyncHooked
from zerorpc.client.async_every_hooks import HookedAsyncReplies
from zerorpc.client.async_functions import TaskFunctions
from zerorpc.client.async_peers import AsyncPeers
from zerorpc.client.async_replies import AsyncReplies
from zerorpc.client.async_upload import TaskUpload
from zerorpc.client.base import ClientBase
from zerorpc.client.borrowed import borrowing_for
from zerorpc.client.call_hooks import ClientHook
from zerorpc.client.call_options import UNCHANGED, CallOptions, take_old_spelling
from zerorpc.client.repeating import Repeating
from zerorpc.client.request import Request
from zerorpc.compat.context import Context
from zerorpc.curve import Curve
from zerorpc.errors import Closed, LostRemote
from zerorpc.limits import Limits
from zerorpc.plain import Plain
from zerorpc.protocol.channel import USUAL_TERMS, CallCarrier, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import Buffer
from zerorpc.runtime import forks
from zerorpc.runtime.loops import running_loop
from zerorpc.settings import HEARTBEAT, TIMEOUT, ClientSettings, OnConnection, Retry, from_arguments
from zerorpc.tls import TlsGiven
from zerorpc.transport.aio import AioHub

if TYPE_CHECKING:
    from zerorpc.client.async_exploring import AsyncExploring
    from zerorpc.client.description import Description

__all__ = ["AsyncClient"]


class AsyncClient(ClientBase):
    """Calls the methods of a remote service from coroutines.

    ::

        async with zerorpc.AsyncClient("tcp://127.0.0.1:4242") as client:
            await client.add_man("hi")
            async for n in client.count(10):
                ...

    Arguments: ``connect_to`` an endpoint, or several; ``context`` the middleware; ``timeout`` seconds that a call
    may take to connect, send and get its first reply, None for no limit; ``heartbeat`` seconds between heartbeats (the
    server counts as lost after two without a sign of it), None for none, the same as a zerorpc 0.6 server's;
    ``passive_heartbeat`` to send heartbeats only after the server's first (for servers of zerorpc 0.6); ``retry`` a
    ``zerorpc.Retry``: calls that failed are repeated; ``tls`` a ``zerorpc.Tls`` or an ``ssl.SSLContext`` for endpoints
    ``tls+tcp://``; ``curve`` a ``zerorpc.Curve``, the keys to encrypt and authenticate with by CURVE; ``plain`` a
    ``zerorpc.Plain``, user and password; ``limits`` a ``zerorpc.Limits``, what a server may send; ``on_call`` a
    function, or several, that gets each call as a ``zerorpc.ClientCall`` and returns a context manager, plain or async,
    which is put around it; ``on_connection`` a function that is told of connections made and lost, on a thread of its
    own, by a ``zerorpc.ConnectionEvent``. Raises TypeError or ValueError for other values, EndpointError for a
    malformed endpoint, CertificateError for files that can't be used.

    With several endpoints, or several workers after ``bind``, a call goes to the live one with the fewest calls open.
    A method whose name a client's attribute hides is called as ``client("bind", …)``. The attribute ``timeout`` may be
    set, for the calls to come.

    Belongs to the event loop of ``async with`` or its first call; calls elsewhere, or from another thread, raise
    RuntimeError. In a forked child it makes connections of its own. If you drop it without closing, it is closed in the
    background, with a ResourceWarning; its methods, calls and streams keep it alive.
    """

    def __init__(
        self,
        connect_to: object = None,
        context: Context | None = None,
        timeout: float | None = TIMEOUT,
        heartbeat: float | None = HEARTBEAT,
        passive_heartbeat: bool = False,
        retry: Retry | None = None,
        *,
        tls: TlsGiven | None = None,
        curve: Curve | None = None,
        plain: Plain | None = None,
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
        on_call: ClientHook | Sequence[ClientHook] | None = None,
        on_connection: OnConnection | None = None,
    ) -> None:
        settings = from_arguments(ClientSettings, locals())
        plainly, hooked = (_Core, _HookedCore) if retry is None else (_RepeatingCore, _HookedRepeatingCore)
        core = plainly if settings.on_call is None else hooked
        self._core: _Core = core(context or Context.get_instance(), settings)
        if connect_to:
            self.connect(connect_to)

    # Calling

    def __call__(
        self,
        method: str | bytes,
        /,
        *args: object,
        timeout: float | None = UNCHANGED,
        slots: int = UNCHANGED,
        **kwargs: object,
    ) -> Call:
        """Send a request; await the Call for the result, or iterate over it if the method streams.

        ``timeout`` in seconds overrides the client's for this call; ``slots`` is how many items of a stream the server
        may send ahead of the reader. Other arguments are the method's. ``zerorpc.options`` has more options, and leaves
        all keywords to the method.

        Raises at once SerializationError (arguments that can't be sent, or are larger than 128 MiB), Closed,
        RuntimeError (outside of the client's event loop), and in a method whose caller waits no longer TimeoutExpired
        or Cancelled. Awaiting raises RemoteError (the method raised, or the server refused the call), TimeoutExpired,
        LostRemote, Closed, or NotSupported (keyword arguments that a server of zerorpc 0.6 can't take).

        Cancelling the wait gives the call up; a server of zerorpc 1 is told and cancels the method.
        """
        if timeout is not UNCHANGED:
            kwargs["timeout"] = timeout
        if slots is not UNCHANGED:
            kwargs["slots"] = slots
        return self._core.call(method, args, kwargs)

    # The end

    async def aclose(self) -> None:
        """Close all connections; calls that still wait end with Closed or LostRemote. Safe to call twice."""
        await self._core.aclose()

    def close(self) -> None:
        """Like ``aclose``, for where one can't await: closes at once, without waiting for what is being sent."""
        self._core.close()

    async def __aenter__(self) -> AsyncClient:
        self._core.attach()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class _Core:
    """What a client does. Apart from AsyncClient, whose attributes are remote methods.

    The client has it, and so has each of its methods, calls and streams: with the last of them that goes the
    connections close.
    """

    old_spelling: tuple[str, ...] = ("timeout", "slots")
    replies: type[AsyncReplies] = AsyncReplies  # what ``zerorpc.every`` gives
    exploring: AsyncExploring | None = None  # once somebody has asked for the names of the methods

    def __init__(self, context: Context, settings: ClientSettings) -> None:
        self.context = context
        self.settings: ClientSettings = settings
        self.timeout: float | None = settings.timeout  # as it is now: a program may set it
        self.calls: Calls = Calls(getrandbits(32))
        self._peers = AsyncPeers(self, settings)
        self.hub: AioHub = self._peers.hub
        self._peers.borrow = borrowing_for(self)
        self._links = self._peers.links
        self.loop: asyncio.AbstractEventLoop
        self._attached: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.AbstractEventLoop | None = None  # the loop, as long as calls may be made

    @property
    def tap(self) -> Callable[[str, Buffer], None] | None:
        return self._peers.tap

    @tap.setter
    def tap(self, value: Callable[[str, Buffer], None] | None) -> None:
        self._peers.tap = value

    def attach(self) -> None:
        """Belong to the running loop from now on."""
        if getpid() != forks.pid:
            forks.catch_up()
        loop = running_loop()
        if self.hub.stale:
            self._disown()
        if self.hub.closed:
            raise Closed("this client is closed")
        if loop is None:
            raise RuntimeError("an AsyncClient is used from coroutines; outside of them use zerorpc.Client")
        if self._attached is loop:
            self._running = loop
            return
        if self._attached is not None:
            raise RuntimeError("this AsyncClient belongs to another event loop")
        self.loop = loop
        self.time: Callable[[], float] = loop.time
        self.create_future: Callable[[], asyncio.Future[None]] = loop.create_future
        self._peers.attach(loop)
        self._attached = loop  # now: if that failed (RecursionError), the next call tries again
        self._running = loop

    def call(
        self,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None = None,
    ) -> Call:
        """``AsyncClient.__call__``. Without ``options`` they may be among ``kwargs``, as zerorpc 0.6 spells them."""
        if self._running is None or running_loop() is not self._running or getpid() != forks.pid:
            self.attach()
        if kwargs and options is None:
            options = take_old_spelling(self.old_spelling, kwargs)
        now = self.time()
        call = Call(self, method, args, kwargs, options, now)
        call.channel.waiter = call
        if call.channel.terms is not USUAL_TERMS:
            self.attend(call.channel)
        peer = self.calls.start(call.channel, now)
        if peer is None:
            self._peers.let_wait()
        elif len(peer.channels) == 1:
            self._links[peer].flush()  # alone: write through
        elif not (link := self._links[peer]).flush_scheduled:
            link.flush_soon()
        return call

    def __explored__(self, ask: bool) -> Description | None:
        from zerorpc.client.async_exploring import explored  # with inspect, which others do without

        return explored(self, ask)

    @property
    def loop_if_attached(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it belongs to, and that is this process's."""
        return None if self.hub.stale else self._attached

    def attend(self, channel: ClientChannel) -> None:
        """Before a call: have tasks send the argument that streams, and run the functions that are lent to it, as soon
        as the server wants it.
        """
        if channel.upload is not None:
            self._peers.uploads.add(TaskUpload(self, channel))
        if channel.lent is not None:
            TaskFunctions(self, channel)

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float) -> None:
        """Send a request to this peer."""
        self.calls.start_at(peer, channel, now)
        self._peers.flush_soon(peer)
        self._peers.let_wait()

    def live(self) -> list[tuple[ClientPeer, str]]:
        """The servers that take calls now, and where they are."""
        return [(peer, self._links[peer].name) for peer in self.calls.peers]

    def make_stream(self, request: Request) -> AsyncStream:
        assert isinstance(request, Call)
        request.take_stream()
        return AsyncStream(self, request)

    def flush_soon(self, peer: CallCarrier) -> None:
        """Send what the peer has to send, unless it is lost."""
        self._peers.flush_soon(peer)

    def abandon(self, channel: ClientChannel) -> None:
        self._peers.abandon(channel)

    def drop(self, channel: ClientChannel, error: Exception | None = None) -> None:
        """``abandon`` for ``__del__``, which may come at any moment, and in any thread: later, on the loop."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and with it everything
            self.loop.call_soon_threadsafe(self._peers.abandon, channel, error)

    def give_back(self, peer: ClientPeer, number: int) -> None:
        """What a server has passed by reference is not needed any more. At any moment, and in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._peers.give_back, peer, number)

    # Fork

    def forked(self) -> None:
        self._running = None  # so that the next call attaches anew

    def _disown(self) -> None:
        """In a forked child: the calls, the connections and the loop are the parent's."""
        self.hub.disown()
        self.calls = self._peers.calls = Calls(getrandbits(32))
        self.calls.hedges.won = self._peers._won
        self._links.clear()
        self._attached = self._peers.timer = None

    # The end

    async def aclose(self) -> None:
        if self._begin_close():
            await self.hub.aclose(_closed_here())

    def close(self) -> None:
        if self._begin_close():
            self.hub.close_soon(_closed_here())

    def _begin_close(self) -> bool:
        """Whether there is something on a loop to close."""
        self._running = None
        if getpid() != forks.pid:
            forks.catch_up()
        if self.hub.stale:
            self._disown()
        self._peers.end_calls()
        if self._attached is None or self.loop.is_closed():
            self.hub.close_unattached()
            return False
        return not self.hub.closed

    def __del__(self) -> None:
        hub = self.__dict__.get("hub")
        if hub is None or hub.closed or hub.stale or getpid() != forks.pid:
            return
        shown, was_open = repr(hub), bool(hub.listeners or (hub.dialers and hub.loop is not None))
        hub.drop(LostRemote("the client was dropped"))
        if was_open:
            warnings.warn(f"unclosed AsyncClient: {shown}", ResourceWarning, stacklevel=1, source=self)


def _closed_here() -> LostRemote:
    return LostRemote("the client was closed")


class _RepeatingCore(Repeating, _Core):
    """The same for a client with ``retry=``."""


class _HookedCore(AsyncHooked, _Core):
    """The same for a client with ``on_call=``."""

    replies = HookedAsyncReplies


class _HookedRepeatingCore(AsyncHooked, _RepeatingCore):
    """The same for one with both."""

    replies = HookedAsyncReplies
