"""Client: calls to a remote service from ordinary, blocking code.

One call, in order: ``_Core.call`` packs the request and sends it from the caller's own thread, which then waits
for the first reply; ``Stream`` takes a stream's items.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Sequence
from os import getpid
from time import monotonic
from typing import TYPE_CHECKING, Any

from zerorpc.calls.dispatch import Calls
from zerorpc.client.base import ClientBase
from zerorpc.client.blocking_peers import BlockingPeers
from zerorpc.client.borrowed import borrowing_for
from zerorpc.client.call_hooks import ClientHook, Hooked, HookedRequest
from zerorpc.client.call_options import UNCHANGED, CallOptions, take_old_spelling
from zerorpc.client.every_hooks import HookedReplies
from zerorpc.client.functions import ThreadFunctions
from zerorpc.client.repeating import Repeating
from zerorpc.client.replies import Replies
from zerorpc.client.request import Request, answered
from zerorpc.client.stream import Stream
from zerorpc.client.uploads import ThreadUpload
from zerorpc.compat.context import Context
from zerorpc.curve import Curve
from zerorpc.limits import Limits
from zerorpc.plain import Plain
from zerorpc.protocol.channel import STATE_REFUSED, STATE_STREAMING, USUAL_TERMS, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import Buffer
from zerorpc.runtime import forks
from zerorpc.settings import HEARTBEAT, TIMEOUT, ClientSettings, OnConnection, Retry, from_arguments
from zerorpc.tls import TlsGiven
from zerorpc.transport.blocking import BlockingHub

if TYPE_CHECKING:
    from zerorpc.client.background import AsyncResult
    from zerorpc.client.description import Description
    from zerorpc.client.exploring import Exploring

__all__ = ["Client"]


class Client(ClientBase):
    """Calls the methods of a remote service, blocking until they are done.

    ::

        with zerorpc.Client("tcp://127.0.0.1:4242") as client:
            client.add_man("hi")
            for n in client.count(10):
                ...

    Arguments: ``connect_to`` an endpoint, or several; ``context`` the middleware; ``timeout`` seconds that a call
    may take to connect, send and get its first reply, None for no limit; ``heartbeat`` seconds between heartbeats (the
    server counts as lost after two without a sign of it), None for none, the same as a zerorpc 0.6 server's;
    ``passive_heartbeat`` to send heartbeats only after the server's first (for servers of zerorpc 0.6); ``retry`` a
    ``zerorpc.Retry``: calls that failed are repeated; ``tls`` a ``zerorpc.Tls`` or an ``ssl.SSLContext`` for endpoints
    ``tls+tcp://``; ``curve`` a ``zerorpc.Curve``, the keys to encrypt and authenticate with by CURVE; ``plain`` a
    ``zerorpc.Plain``, user and password; ``limits`` a ``zerorpc.Limits``, what a server may send; ``on_call`` a
    function, or several, that gets each call as a ``zerorpc.ClientCall`` and returns a context manager, which is put
    around it; ``on_connection`` a function that is told of connections made and lost, on a thread of its own, by a
    ``zerorpc.ConnectionEvent``. Raises TypeError or ValueError for other values, EndpointError for a malformed
    endpoint, CertificateError for files that can't be used.

    With several endpoints, or several workers after ``bind``, a call goes to the live one with the fewest calls open.
    A method whose name a client's attribute hides is called as ``client("bind", …)``. The attribute ``timeout`` may be
    set, for the calls to come.

    Safe to use from several threads at once, and after a fork: the child makes its own connections, and in it the
    parent's open calls and streams raise LostRemote. In a signal handler or a finalizer (``__del__``) a call works too.
    If its own thread is just sending or receiving with this client, it raises RuntimeError, and the interrupted call
    goes on.

    When nothing refers any more to the client, nor to a method, stream or result of it, it is closed.
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
        async_: bool = UNCHANGED,
        **kwargs: object,
    ) -> Any:
        """Call a method. Returns its result, a Stream if it streams, or at once an AsyncResult with ``async_=True``.

        ``timeout`` in seconds overrides the client's for this call; ``slots`` is how many items of a stream the server
        may send ahead of the reader. Other arguments are the method's. ``zerorpc.options`` has more options, and leaves
        all keywords to the method.

        Raises RemoteError (the method raised, or the server refused the call), TimeoutExpired, LostRemote,
        SerializationError (arguments that can't be sent, or are larger than 128 MiB), Closed, NotSupported (keyword
        arguments that a server of zerorpc 0.6 can't take), or, in a method whose caller waits no longer, Cancelled.
        Interrupting it (Ctrl-C) gives the call up; a server of zerorpc 1 is told. Safe from any thread.
        """
        own = {"timeout": timeout, "slots": slots, "async_": async_}
        kwargs.update({name: value for name, value in own.items() if value is not UNCHANGED})
        return self._core.call(method, args, kwargs)

    # The end

    def close(self) -> None:
        """Close all connections; calls of other threads end with Closed or LostRemote. Safe to call twice."""
        self._core.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Core:
    """How a client calls. Apart from Client, whose attributes are remote methods.

    The client has it, and so has each of its methods, streams and async results: the last of them that goes takes
    the connections along.
    """

    old_spelling: tuple[str, ...] = ("timeout", "slots", "async_", "async")
    replies: type[Replies] = Replies  # what ``zerorpc.every`` gives
    request_class: type[Request] = Request  # of a call in the background
    exploring: Exploring | None = None  # once somebody has asked for the names of the methods

    def __init__(self, context: Context, settings: ClientSettings) -> None:
        self.context = context
        self.settings: ClientSettings = settings
        self.timeout: float | None = settings.timeout  # as it is now: a program may set it
        self.peers: BlockingPeers = BlockingPeers(context, settings)
        self.hub: BlockingHub = self.peers.hub
        self.peers.borrow = borrowing_for(self)

    @property
    def calls(self) -> Calls:
        """The open and the waiting ones."""
        return self.peers.calls

    @property
    def tap(self) -> Callable[[str, Buffer], None] | None:
        return self.peers.tap

    @tap.setter
    def tap(self, value: Callable[[str, Buffer], None] | None) -> None:
        self.peers.tap = value

    def call(
        self,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None = None,
    ) -> Any:
        """``Client.__call__``. Without ``options`` they may be among ``kwargs``, as zerorpc 0.6 spells them."""
        if getpid() != forks.pid:
            forks.catch_up()
        if kwargs and options is None:
            options = take_old_spelling(self.old_spelling, kwargs)
        if options is not None and options.in_background:
            return self._call_async(method, args, kwargs, options)
        now = monotonic()
        request = Request(self, method, args, kwargs, options, now)
        channel = request.channel
        try:
            if channel.terms is not USUAL_TERMS:
                self.attend(channel)
            self.hub.leading.wait(channel, answered, now, self.peers.start)
            if channel.state is STATE_REFUSED:
                self.peers.try_elsewhere(channel)
        except BaseException:
            self.abandon(channel)
            raise
        try:
            return request.outcome()
        except BaseException:
            channel.error = None  # or it would be a circle: the error, its traceback, a frame in that, the channel
            if channel.state is STATE_STREAMING:  # interrupted before the stream was the caller's
                self.abandon(channel)
            raise

    def _call_async(
        self, method: str | bytes, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions
    ) -> AsyncResult:
        from zerorpc.client.background import AsyncResult  # with concurrent.futures, which others do without

        now = monotonic()
        # its hub keeps it, and keeps no client
        request = self.request_class(weakref.proxy(self), method, args, kwargs, options, now)
        self.hub.leading.check_idle()
        result = AsyncResult(self, request)
        try:
            self.attend(request.channel)
            with self.hub.lock:
                self.peers.start(request.channel, now)
                self.hub.attend(result.call)
        except BaseException:
            self.abandon(request.channel)
            raise
        return result

    def __explored__(self, ask: bool) -> Description | None:
        from zerorpc.client.exploring import explored  # with inspect, which others do without

        return explored(self, ask)

    def attend(self, channel: ClientChannel) -> None:
        """Before a call: have threads send the argument that streams, and run the functions that are lent to it, as
        soon as the server wants it.
        """
        if channel.upload is not None:
            upload = ThreadUpload(self.peers, channel)
            upload.start()
            self.peers.uploads.add(upload)
        if channel.lent is not None:
            functions = ThreadFunctions(self.peers, channel)
            self.hub.leading.check_idle()
            with self.hub.lock:
                if self.hub.stale:
                    self.hub.revive()  # first: it has a poller of its own, and what rings is to be known there
                self.hub.attend(functions)

    def make_stream(self, request: Request) -> Stream:
        return Stream(self, request)

    def wait_for_item(
        self,
        channel: ClientChannel,
        ready: Callable[[ClientChannel], bool],
        begin: Callable[[ClientChannel, float], None],
    ) -> None:
        """Until a stream is ``ready``; ``begin`` is called first, with the hub's lock held."""
        if getpid() != forks.pid:
            forks.catch_up()
        self.grant(channel)
        self.hub.leading.wait(channel, ready, monotonic(), begin)

    def want_newest(self, channel: ClientChannel) -> None:
        """Have the server leave out all items of a stream but the newest."""
        with self.hub.lock:
            channel.want_newest()
            if channel.peer is not None:
                self.peers.flush(channel.peer)

    def look_by(self, when: float) -> None:
        """Have whoever drives the sockets look at the time then. With the hub's lock held."""
        if self.hub.leading.leader is not None:
            self.hub.polling.wake_by(when)

    def grant(self, channel: ClientChannel) -> None:
        """Let the server send more of a stream, if it is time."""
        if getpid() != forks.pid:
            forks.catch_up()
        hub = self.hub
        if hub.leading.holds_lock():
            return  # in a signal handler, in the middle of something: with the next item, or before the next wait
        with hub.lock:
            channel.grant()
            if channel.state is STATE_STREAMING and channel.peer is not None:
                self.peers.flush(channel.peer)

    def abandon(self, channel: ClientChannel) -> None:
        """Nobody wants the rest of a call."""
        self._give_up(channel, None, wait=True)

    def drop(self, channel: ClientChannel, error: Exception | None = None) -> None:
        """The same for finalizers, and calls that end with another: a thread may be at work, and isn't waited for."""
        self._give_up(channel, error, wait=False)

    def _give_up(self, channel: ClientChannel, error: Exception | None, wait: bool) -> None:
        if getpid() != forks.pid:
            forks.catch_up()
        self.hub.settle(functools.partial(self.peers.abandon, channel, error), wait)

    def give_back(self, peer: ClientPeer, number: int) -> None:
        """What a server has passed by reference is not needed any more. For finalizers, too."""
        if getpid() != forks.pid:
            forks.catch_up()
        self.hub.settle(functools.partial(self.peers.give_back, peer, number), wait=False)

    def close(self) -> None:
        if getpid() != forks.pid:
            forks.catch_up()
        self.hub.settle(self.peers.close, wait=True)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing() or "hub" not in self.__dict__:
            return
        if getpid() != forks.pid:
            forks.catch_up()
        self.hub.settle(self.peers.close, wait=False)


class _RepeatingCore(Repeating, _Core):
    """The same for a client with ``retry=``."""


class _HookedCore(Hooked, _Core):
    """The same for a client with ``on_call=``."""

    request_class = HookedRequest
    replies = HookedReplies


class _HookedRepeatingCore(Hooked, _RepeatingCore):
    """The same for one with both."""

    request_class = HookedRequest
    replies = HookedReplies
