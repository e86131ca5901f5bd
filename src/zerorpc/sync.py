"""Client: calls to a remote service from ordinary, blocking code.

One call, in order: ``Client.__call__`` packs the request and sends it from the caller's own thread, which then waits
for the first reply; ``Stream`` takes a stream's items.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from zerorpc.calling import ClientBase, RemoteMethod, Request, default_timeout
from zerorpc.errors import Closed, LostRemote, TimeoutExpired
from zerorpc.middleware import Context
from zerorpc.protocol.calls import Calls
from zerorpc.protocol.channel import DEFAULT_SLOTS, STATE_STREAMING, ClientChannel
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.rpc_peers import ClientPeer
from zerorpc.settings import above_zero, seconds
from zerorpc.transport.blocking import BlockingHub
from zerorpc.transport.blocking_link import BlockingLink

__all__ = ["AsyncResult", "Client", "Stream"]


class Client(ClientBase):
    """Calls the methods of a remote service, blocking until they are done.

    ::

        with zerorpc.Client("tcp://127.0.0.1:4242") as client:
            client.add_man("hi")
            for n in client.count(10):
                ...

    Arguments: ``connect_to`` an endpoint, or several; ``context`` the middleware; ``timeout`` seconds that a call
    may take to connect, send and get its first reply, None for no limit; ``heartbeat`` seconds, as the server's,
    None for none; ``passive_heartbeat`` to beat only after the server has begun (for servers of zerorpc 0.6).

    With several endpoints, or after ``bind`` several workers, a call takes a live one, the one with the fewest
    calls open. A method whose name a client's attribute hides is called as ``client("bind", …)``. The attribute
    ``timeout`` may be set, for the calls to come.

    Safe to use from several threads at once, and after ``os.fork`` (the child makes its own connections).
    """

    def __init__(
        self,
        connect_to: Any = None,
        context: Context | None = None,
        timeout: float | None = 30,
        heartbeat: float | None = 5,
        passive_heartbeat: bool = False,
    ) -> None:
        timeout, heartbeat = seconds("timeout", timeout), above_zero("heartbeat", heartbeat, "None for none")
        self._core: _Core = _Core(context or Context.get_instance(), timeout, heartbeat, passive_heartbeat)
        if connect_to:
            self.connect(connect_to)

    # Calling

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        method = self.__dict__[name] = RemoteMethod(self._core.call, name)
        return method

    def __call__(
        self,
        method: str | bytes,
        /,
        *args: Any,
        timeout: float | None = default_timeout,
        slots: int = DEFAULT_SLOTS,
        async_: bool = False,
        **options: Any,
    ) -> Any:
        """Call a method: its result; a Stream if it streams; an AsyncResult at once with ``async_=True``.

        ``timeout`` overrides the client's for this call; ``slots`` is how many items of a stream the server may
        send ahead of the reader. Raises RemoteError (the method raised), TimeoutExpired, LostRemote,
        SerializationError or Closed. Interrupting it (Ctrl-C) gives the call up; a server of ours is told.
        """
        return self._core.call(method, args, {"timeout": timeout, "slots": slots, "async_": async_, **options})

    # The end

    def close(self) -> None:
        """Close all connections; calls of other threads end with Closed or LostRemote. Safe to call twice."""
        self._core.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _take_async(options: dict[str, Any]) -> bool:
    """``async_``, which zerorpc 0.6 also spells ``async``."""
    is_async = options.pop("async_", False)
    return bool(options.pop("async", is_async))


class Stream:
    """The items of a streaming method, as an iterator. Closing or dropping it frees both sides."""

    def __init__(self, core: _Core, request: Request) -> None:
        self._core = core
        self._request = request
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next item. Raises what a call raises, StopIteration at the end."""
        if self._ended:
            raise StopIteration
        is_item = False
        try:
            is_item, item = self._core.next_item(self._request)
        finally:
            self._ended = not is_item
        if not is_item:
            raise StopIteration
        return item

    def close(self) -> None:
        """Take no more items; a server of ours is told. Safe to call twice."""
        if not self._ended:
            self._ended = True
            self._core.abandon(self._request.channel)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._ended:
            self._core.drop(self._request.channel)


class AsyncResult:
    """What ``async_=True`` returns: the call goes on by itself; ``get`` waits for its outcome."""

    def __init__(self, core: _Core, request: Request) -> None:
        self._request = request
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._finish, args=(core,), name="zerorpc-async-call", daemon=True).start()

    def _finish(self, core: _Core) -> None:
        try:
            self._value = core.finish(self._request, monotonic())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The call's result, or its error raised; TimeoutExpired when it isn't there in ``timeout`` seconds."""
        timeout = seconds("timeout", timeout)
        if not self._done.wait(timeout if block else 0):
            raise TimeoutExpired(timeout, f"waiting for the result of {self._request.channel.method}")
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the outcome, whatever it is."""
        self._done.wait(seconds("timeout", timeout))

    def ready(self) -> bool:
        """Whether the outcome is there."""
        return self._done.is_set()

    def successful(self) -> bool:
        """Whether the outcome is there and is a result."""
        return self.ready() and self._error is None

    @property
    def value(self) -> Any:
        """The result; None as long as there is none."""
        return self._value

    @property
    def exception(self) -> BaseException | None:
        """The error; None as long as there is none."""
        return self._error


_answered: Callable[[Any], bool] = operator.attrgetter("answered")
_readable: Callable[[Any], bool] = operator.attrgetter("readable")


class _Core:
    """How a client calls. Apart from Client, whose attributes are remote methods.

    The client has it, and so has each of its methods, streams and async results: the last of them that goes takes
    the connections along.
    """

    keywords = "timeout, slots and async_"

    def __init__(self, context: Context, timeout: float | None, heartbeat: float | None, passive: bool) -> None:
        self.context = context
        self.timeout = timeout
        self._peers = _Peers(context, heartbeat, passive)
        self.hub = self._peers.hub

    @property
    def calls(self) -> Calls:
        """The open and the waiting ones."""
        return self._peers.calls

    @property
    def tap(self) -> Callable[[str, Buffer], None] | None:
        return self._peers.tap

    @tap.setter
    def tap(self, value: Callable[[str, Buffer], None] | None) -> None:
        self._peers.tap = value

    # A call

    def call(self, method: str | bytes, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """``Client.__call__``; ``options`` are its keywords."""
        is_async = options and _take_async(options)
        now = monotonic()
        request = Request(self, method, args, options, now)
        if self.hub.stale:
            self.hub.revive()
        if is_async:
            with self.hub.lock:
                self._begin(request.channel, now)
            return AsyncResult(self, request)
        return self.finish(request, now, self._begin)

    def _begin(self, channel: ClientChannel, now: float) -> None:
        """Send a request, or let it wait for a peer. With the hub's lock held."""
        hub = self.hub
        if hub.closed:
            raise Closed("this client is closed")
        hub.look(now)
        self._peers.start(channel, now)

    def finish(self, request: Request, now: float, begin: Callable[[ClientChannel, float], None] | None = None) -> Any:
        """Wait for the first reply, after ``begin``; what it means."""
        try:
            self.hub.wait(request.channel, _answered, now, begin)
        except BaseException:
            self.abandon(request.channel)
            raise
        return request.outcome()

    def make_stream(self, request: Request) -> Stream:
        return Stream(self, request)

    def next_item(self, request: Request) -> tuple[bool, Any]:
        channel = request.channel
        if not channel.readable:
            try:
                self.hub.wait(channel, _readable, monotonic())
            except BaseException:
                self.abandon(channel)
                raise
        if not channel.inbox and channel.error is not None:
            request.failed(channel.error)
        with self.hub.lock:
            event, data = channel.next_event()
            if channel.state is STATE_STREAMING and channel.peer is not None:
                channel.peer.link.flush()
        return request.item(event, data)

    def abandon(self, channel: ClientChannel) -> None:
        if self.hub.stale:
            return  # forked: it is the parent's call
        with self.hub.lock:
            self._peers.abandon(channel)

    def drop(self, channel: ClientChannel) -> None:
        """``abandon`` for ``__del__``, which may come at any moment, in any thread, even with the lock held here."""
        if not self.hub.stale:
            self.hub.drop(channel)

    def close(self) -> None:
        if self.hub.stale:
            self.hub.disown()
        self._peers.close()

    def __del__(self) -> None:
        hub = self.__dict__.get("hub")
        if hub is not None:
            hub.orphaned = True  # the keeper closes it: this may be the garbage collector, at any moment


class _Peers:
    """What a client knows of its peers: what the hub tells, and asks. With the hub's lock held."""

    def __init__(self, context: Context, heartbeat: float | None, passive: bool) -> None:
        self.context = context
        self.tap: Callable[[str, Buffer], None] | None = None
        self.calls = Calls()
        self._heartbeat = heartbeat
        self._passive = passive
        self.hub = BlockingHub(self, context.hook_resolve_endpoint, heartbeat)

    def start(self, channel: ClientChannel, now: float) -> None:
        """Send a request, or let it wait for a peer."""
        peer = self.calls.start(channel, now)
        if peer is not None:
            peer.link.flush()
        if self.hub.leader is not None:
            self.hub.hurry(self.calls.next_wake if peer is None else peer.next_wake)

    def make_peer(self) -> ClientPeer:
        peer = ClientPeer(self._heartbeat, self.context.new_msgid, self._passive)
        peer.tap = self.tap
        return peer

    def forked(self) -> None:
        """This is a child now, and the calls are the parent's."""
        self.calls = Calls()

    def peer_ready(self, link: BlockingLink) -> None:
        self.calls.add(link.peer)
        self._assign()

    def peer_writable(self, link: BlockingLink) -> None:
        self._assign()

    def _assign(self) -> None:
        for peer in self.calls.assign(monotonic()):
            peer.link.flush()

    def received(self, link: BlockingLink, touched: list[ClientChannel]) -> None:
        for channel in touched:
            if channel.waiter is not None:
                self.hub.wake(channel)

    def peer_lost(self, link: BlockingLink, ended: list[ClientChannel]) -> None:
        self.calls.remove(link.peer)
        self.received(link, ended)

    @property
    def next_wake(self) -> float | None:
        return self.calls.next_wake

    def sweep(self, now: float) -> None:
        if self.calls.next_wake is not None and now >= self.calls.next_wake:
            for channel in self.calls.sweep(now, f": no server was reached ({self.hub.describe()})"):
                self.hub.wake(channel)

    def abandon(self, channel: ClientChannel) -> None:
        """Nobody wants the rest of a call."""
        channel.abandon()
        if channel.peer is not None and channel.peer.link is not None:
            channel.peer.link.flush()

    def close(self) -> None:
        with self.hub.lock:
            for channel in self.calls.close(Closed("the client was closed")):
                self.hub.wake(channel)
            self.hub.close(LostRemote("the client was closed"))
