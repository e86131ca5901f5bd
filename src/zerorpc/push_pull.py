"""Pusher and Puller, Publisher and Subscriber: events one way, with no reply.

Used from blocking code they work on a background loop (``transport.io_thread``); used with ``async with`` or
``await serve()`` on the running one.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import inspect
import logging
import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any, ClassVar

from zerorpc.calling import RemoteMethod
from zerorpc.errors import Closed, LostRemote, SerializationError
from zerorpc.event_log import log_event
from zerorpc.middleware import Context
from zerorpc.protocol.events import VERSION, Buffer, Event, WireEvent, decode_header, encode
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.service.methods import Method, collect
from zerorpc.transport.aio import AioHub, AioLink, running_loop
from zerorpc.transport.io_thread import io_loop
from zerorpc.zmtp import SocketType

__all__ = ["Publisher", "Puller", "Pusher", "Subscriber"]

logger = logging.getLogger("zerorpc.server")

_QUEUED_MAX = 1000  # messages waiting here, sent or received: libzmq's default high-water mark
_LINGER = 5.0  # s that close() gives to messages that wait to be sent
_LOST_CLOSED = LostRemote("this socket was closed")


class _Socket:
    """What the four have in common: endpoints. Safe from any thread."""

    _core: _Outbox | _Inbox

    def bind(self, endpoint: Any, resolve: bool = True) -> list[str]:
        """Listen on an endpoint; returns the real ones. Raises at once for a bad or taken address."""
        return self._core.hub.bind(endpoint, resolve)

    def connect(self, endpoint: Any, resolve: bool = True) -> list[str]:
        """Stay connected to an endpoint. Returns at once; nobody has to listen there yet."""
        return self._core.hub.connect(endpoint, resolve)

    def unbind(self, endpoint: Any, resolve: bool = True) -> None:
        """Undo ``bind``."""
        self._core.hub.unbind(endpoint, resolve)

    def disconnect(self, endpoint: Any, resolve: bool = True) -> None:
        """Undo ``connect``."""
        self._core.hub.disconnect(endpoint, resolve)

    @property
    def endpoints(self) -> list[str]:
        """Where it listens."""
        return list(self._core.hub.listeners)

    @property
    def debug(self) -> bool:
        """Whether each event of connections to come is logged, at level DEBUG to the logger ``zerorpc.events``."""
        return self._core.debug

    @debug.setter
    def debug(self, value: bool) -> None:
        self._core.debug = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.hub!r}>"


# Sending


class Pusher(_Socket):
    """Sends events to pullers, each to one of them in turn.

    ::

        pusher = zerorpc.Pusher()
        pusher.connect("tcp://127.0.0.1:4242")
        pusher.lolita(1, 2)                            # blocking code

        async with zerorpc.Pusher() as pusher:         # coroutines
            pusher.connect("tcp://127.0.0.1:4242")
            await pusher.lolita(1, 2)

    Messages wait here while no puller takes them; from the 1,000th waiting on, sending blocks. Safe from any thread
    in its blocking use.
    """

    _socket_type: ClassVar[SocketType] = SocketType.PUSH

    def __init__(self, context: Context | None = None) -> None:
        self._core: _Outbox = _Outbox(self._socket_type, context or Context.get_instance())

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(self, name)

    def __call__(self, method: str, /, *args: Any) -> Awaitable[None] | None:
        """Send an event; inside ``async with``, await it. Returns when it is queued, not when it arrived.

        Raises SerializationError, and Closed after ``close``.
        """
        return self._core.emit(method, args)

    def close(self) -> None:
        """Send what waits, for at most 5 s, and close. Safe to call twice."""
        self._core.close()

    def __enter__(self) -> Pusher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Pusher:
        self._core.attach(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._core.aclose(_LINGER)

    def __del__(self) -> None:
        core = self.__dict__.get("_core")
        if core is not None and not sys.is_finalizing():
            core.abandon()


class Publisher(Pusher):
    """Sends events to all subscribers that are connected; to none that isn't, or reads too slowly."""

    _socket_type = SocketType.PUB


class _Outbox:
    """The queue of a Pusher or Publisher and the links that it goes to."""

    def __init__(self, socket_type: SocketType, context: Context) -> None:
        self.context = context
        self.debug = False
        self.hub = AioHub(self, context.hook_resolve_endpoint)
        self.is_async = False
        self._socket_type = socket_type
        self._links: deque[AioLink] = deque()
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._room: deque[asyncio.Future[None]] = deque()
        self._drain_scheduled = False
        self._emptied: asyncio.Event | None = None  # while closing
        _open_outboxes.add(self)

    def emit(self, method: str, args: tuple[Any, ...]) -> Awaitable[None] | None:
        """Pack an event, with the middleware's header keys, and queue it."""
        header = {"message_id": self.context.new_msgid(), "v": VERSION, **self.context.hook_get_task_context()}
        try:
            data = encode(header, method, args)
        except SerializationError as error:
            raise SerializationError(f"the arguments of {method} can't be sent: {error}") from None
        if self.is_async:
            return self._put_async(data)
        self._put_blocking(data)
        return None

    def _put_blocking(self, data: bytes) -> None:
        if self.hub.loop is None and not self.hub.closed:
            self._attach_to_io_loop()
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _QUEUED_MAX or self.hub.closed)
            self._check_open()
            self._waiting.append(data)
            self._schedule_drain()

    async def _put_async(self, data: bytes) -> None:
        while len(self._waiting) >= _QUEUED_MAX and not self.hub.closed:
            future = asyncio.get_running_loop().create_future()
            self._room.append(future)
            await future
        self._check_open()
        self._waiting.append(data)
        self._drain()

    def _check_open(self) -> None:
        if self.hub.closed:
            raise Closed("this socket is closed")

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work on the running loop from now on."""
        self.is_async = True
        self.hub.attach(loop)

    def _attach_to_io_loop(self) -> None:
        loop = io_loop()
        attached = threading.Event()

        def attach() -> None:
            if self.hub.loop is None:
                self.hub.attach(loop)
            attached.set()

        loop.call_soon_threadsafe(attach)
        attached.wait()

    # On the loop

    def _schedule_drain(self) -> None:
        if not self._drain_scheduled:
            self._drain_scheduled = True
            assert self.hub.loop is not None
            self.hub.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        """Send what waits, as far as peers take it."""
        self._drain_scheduled = False
        used = set()
        while self._waiting:
            links = self._choose()
            if links is None:
                break
            data = self._waiting.popleft()
            for link in links:
                if link.peer.send(data):
                    used.add(link)
        for link in used:
            link.flush()
        if len(self._waiting) < _QUEUED_MAX:
            self._tell_room()
        if self._emptied is not None and not self._waiting:
            self._emptied.set()

    def _choose(self) -> list[AioLink] | None:
        """Where the next message goes: to everybody who keeps up, or to the next in turn. None: it waits."""
        if self._socket_type is SocketType.PUB:
            return [link for link in self._links if link.peer.writable]
        for _ in range(len(self._links)):
            self._links.rotate(-1)
            if self._links[-1].peer.writable:
                return [self._links[-1]]
        return None

    def _tell_room(self) -> None:
        while self._room:
            future = self._room.popleft()
            if not future.done():
                future.set_result(None)
        with self._changed:
            self._changed.notify_all()

    def make_peer(self) -> OneWayPeer:
        return _make_peer(self._socket_type, self.debug)

    def peer_ready(self, link: AioLink) -> None:
        self._links.append(link)
        self._drain()

    def peer_writable(self, link: AioLink) -> None:
        self._drain()

    def peer_lost(self, link: AioLink, ended: list[Any]) -> None:
        if link in self._links:
            self._links.remove(link)

    def received(self, link: AioLink, touched: list[Any]) -> None:
        """Nothing that a puller says is for us."""

    # The end

    async def aclose(self, linger: float) -> None:
        """Let what waits go out, for at most ``linger`` seconds, then close."""
        if self._waiting and self._worth_waiting():
            self._emptied = asyncio.Event()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), linger)
        await self.hub.aclose(_LOST_CLOSED)
        _open_outboxes.discard(self)
        self._tell_room()

    def _worth_waiting(self) -> bool:
        """A Publisher's messages go to whom is there; a Pusher's wait for somebody, if there is anywhere to go."""
        return self._socket_type is SocketType.PUSH and bool(self.hub.listeners or self.hub.dialers)

    def close(self, linger: float = _LINGER) -> None:
        """``aclose`` from blocking code."""
        _open_outboxes.discard(self)
        loop = self.hub.loop
        if loop is None:
            self.hub.close_unattached()
        elif running_loop() is loop:
            self._closing = loop.create_task(self.aclose(0))
        elif not self.hub.closed and loop.is_running():
            asyncio.run_coroutine_threadsafe(self.aclose(linger), loop).result()

    def abandon(self) -> None:
        """The socket was dropped without close(): what waits still goes out, in the background."""
        loop = self.hub.loop
        if loop is None:
            self.hub.close_unattached()
        elif not self.hub.closed and loop.is_running():
            asyncio.run_coroutine_threadsafe(self.aclose(_LINGER), loop)


_open_outboxes: weakref.WeakSet[_Outbox] = weakref.WeakSet()


def _flush_at_exit() -> None:
    """A program that pushes and ends has its messages sent, as with libzmq."""
    for outbox in list(_open_outboxes):
        if not outbox.is_async:
            outbox.close(1.0)


atexit.register(_flush_at_exit)


# Receiving


class Puller(_Socket):
    """Runs a method of an object for each event that a pusher sends, one after the other, in order.

    ::

        puller = zerorpc.Puller(Worker())
        puller.bind("tcp://127.0.0.1:4242")
        puller.run()                    # or: await puller.serve()

    A subclass that is given no ``methods`` exposes its own. ``stop`` is safe from any thread and from the methods.
    """

    _socket_type: ClassVar[SocketType] = SocketType.PULL

    def __init__(self, methods: Any = None, context: Context | None = None) -> None:
        service = self if methods is None else methods
        exposed = collect(service, Puller if isinstance(service, Puller) else None)
        self._core: _Inbox = _Inbox(self._socket_type, context or Context.get_instance(), exposed)

    def run(self) -> None:
        """Receive until ``stop``, running the methods in this thread. Ctrl-C raises KeyboardInterrupt here."""
        self._core.run()

    async def serve(self) -> None:
        """Receive until ``stop`` or cancellation; coroutine methods are awaited, plain ones run on a thread."""
        await self._core.serve()

    def stop(self) -> None:
        """Make ``run`` or ``serve`` return after the current method. Safe to call twice."""
        self._core.stop()

    def close(self) -> None:
        """Stop, and close all connections. Safe to call twice."""
        self._core.close()

    def __call__(self, method: str, /, *args: Any) -> Any:
        """Run one of the methods here."""
        found = self._core.methods.get(method)
        if found is None:
            raise NameError(method)
        return found.functor(*args)

    def __enter__(self) -> Puller:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Subscriber(Puller):
    """Like Puller, for what publishers send; it subscribes to everything."""

    _socket_type = SocketType.SUB


class _Inbox:
    """The events that arrived for a Puller or Subscriber, and their execution."""

    def __init__(self, socket_type: SocketType, context: Context, methods: dict[str, Method]) -> None:
        self.context = context
        self.debug = False
        self.methods = methods
        self.hub = AioHub(self, context.hook_resolve_endpoint)
        self._socket_type = socket_type
        self._arrived: deque[tuple[WireEvent, Buffer]] = deque()
        self._changed = threading.Condition()
        self._wake: Any = threading.Event()  # an asyncio one while serving
        self._stopped = False
        self._paused: list[AioLink] = []

    def run(self) -> None:
        loop = io_loop()
        loop.call_soon_threadsafe(self.hub.attach, loop)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._arrived or self._stopped)
                if self._stopped:
                    break
                event, data = self._arrived.popleft()
            self._resume(loop)
            if self._is_coroutine(event):
                asyncio.run_coroutine_threadsafe(self._handle(event, data), loop).result()
            else:
                _finish_now(self._handle(event, data))
        self._stopped = False

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        self.hub.attach(loop)
        self._wake = asyncio.Event()
        with concurrent.futures.ThreadPoolExecutor(1, "zerorpc-puller") as thread:
            try:
                while not self._stopped:
                    self._wake.clear()
                    if not self._arrived:
                        await self._wake.wait()
                        continue
                    event, data = self._arrived.popleft()
                    self._resume(loop)
                    if self._is_coroutine(event):
                        await self._handle(event, data)
                    else:
                        await loop.run_in_executor(thread, _finish_now, self._handle(event, data))
            finally:
                await self.hub.aclose(_LOST_CLOSED)

    def _is_coroutine(self, event: WireEvent) -> bool:
        method = self.methods.get(event.name)
        return method is not None and method.on_loop

    async def _handle(self, wire: WireEvent, data: Buffer) -> None:
        """One event: the hooks and the method, all in one thread. Waits only if the method is a coroutine."""
        event = Event(wire.name, wire.args, decode_header(data))
        try:
            method = self.methods.get(event.name)
            if method is None:
                raise NameError(event.name)
            self.context.hook_load_task_context(event.header)
            self.context.hook_server_before_exec(event)
            result = method.functor(*event.args)
            if inspect.iscoroutine(result):
                await result
            self.context.hook_server_after_exec(event, None)
        except Exception as error:
            logger.exception("%s raised %s", event.name, type(error).__name__)
            try:
                self.context.hook_server_inspect_exception(event, None, sys.exc_info())
            except Exception:
                logger.exception("a hook raised while %s's error was handled", event.name)

    # On the loop

    def make_peer(self) -> OneWayPeer:
        return _make_peer(self._socket_type, self.debug)

    def peer_ready(self, link: AioLink) -> None: ...

    def peer_writable(self, link: AioLink) -> None: ...

    def peer_lost(self, link: AioLink, ended: list[Any]) -> None:
        if link in self._paused:
            self._paused.remove(link)

    def received(self, link: AioLink, touched: list[Any]) -> None:
        """Queue; a link that brings more than the methods get through is read no further for now."""
        with self._changed:
            self._arrived.extend(touched)
            self._changed.notify()
        self._wake.set()
        if len(self._arrived) >= _QUEUED_MAX and link not in self._paused:
            link.pause_reading()
            self._paused.append(link)

    def _resume(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._paused and len(self._arrived) <= _QUEUED_MAX // 2:
            loop.call_soon_threadsafe(self._resume_links)

    def _resume_links(self) -> None:
        paused, self._paused = self._paused, []
        for link in paused:
            link.resume_reading()

    # The end

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        loop = self.hub.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        self.stop()
        loop = self.hub.loop
        if loop is None:
            self.hub.close_unattached()
        elif not self.hub.closed and loop.is_running() and running_loop() is not loop:
            asyncio.run_coroutine_threadsafe(self.hub.aclose(_LOST_CLOSED), loop).result()


def _make_peer(socket_type: SocketType, debug: bool) -> OneWayPeer:
    peer = OneWayPeer(socket_type)
    if debug:
        peer.tap = log_event
    return peer


def _finish_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("a plain method returned something to wait for: make it a coroutine")
