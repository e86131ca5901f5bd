"""How a Pusher or Publisher sends: from blocking code or a loop, up to the end of the program and after a fork."""

from __future__ import annotations

import asyncio
import atexit
import codecs
import functools
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import NoReturn

from zerorpc.errors import Closed, LostRemote
from zerorpc.one_way.io_thread import complete, end, io_loop, turns
from zerorpc.one_way.method_loop import GLANCE
from zerorpc.one_way.send_queue import SendQueue
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.one_way import Arrived, OneWayPeer
from zerorpc.runtime import forks
from zerorpc.runtime.loops import running_loop
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["LINGER", "Outbox"]

codecs.lookup("latin-1")  # a handshake needs it: loaded now, since there is one at the very end, too

LINGER = 5.0  # s that close() gives to messages that wait to be sent,
_EXIT_LINGER = 1.0  # and the end of the program


class Outbox:
    """The core of a Pusher or Publisher: its queue, and the hub that sends what is in it."""

    def __init__(
        self, socket_type: SocketType, resolve: Callable[[object], object], security: Security = UNSECURED
    ) -> None:
        self.tap: Callable[[str, Buffer], None] | None = None
        self.hub: AioHub = AioHub(self, resolve, security)
        self.is_async: bool = False
        self._socket_type = socket_type
        self._set_up()
        _open_outboxes.add(self)

    def _set_up(self) -> None:
        """State that is new after a fork, too."""
        self._queue = SendQueue(self._socket_type)
        self._drain_scheduled = False

    def put(self, data: bytes) -> Awaitable[None] | None:
        """Queue a packed event; wait while too many wait already. To be awaited once attached to a running loop."""
        if os.getpid() != forks.pid:
            forks.catch_up()
        self._check_open()
        if not self.is_async:
            self._put_blocking(data)
            return None
        if (loop := running_loop()) is None or self.hub.loop not in (loop, None):
            raise RuntimeError("this socket was entered with `async with`: it is to be used on that event loop")
        return self._put_async(data)

    def _put_blocking(self, data: bytes) -> None:
        if sys.is_finalizing():
            self._send_at_the_very_end(data)
            return
        if self.hub.loop is None:
            self._attach_to_io_loop()
        while self._queue.is_full and not self.hub.closed:
            self._wait_for_room()
        self._check_open()
        self._queue.append(data)
        self._schedule_drain()
        if _is_exiting():  # nobody waits any more for what is left
            self._wait_on_loop(self._flush())

    def _attach_to_io_loop(self) -> None:
        loop = io_loop()
        if running_loop() is loop:  # a finalizer, or a handler of our own log
            self.hub.attach(loop)
            return
        complete(self._attach(loop), loop)

    async def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self.hub.attach(loop)

    def _wait_for_room(self) -> None:
        if running_loop() is self.hub.loop:
            raise RuntimeError("the queue is full, and this thread is the one that sends it")
        bell = threading.Lock()
        bell.acquire()
        self._queue.when_room(bell.release)
        if self._queue.is_full and not self.hub.closed:  # or else it may ring no more
            while not bell.acquire(timeout=GLANCE):
                pass

    async def _put_async(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._check_open()
        self.hub.attach(loop)  # a forked child does it here
        while self._queue.is_full and not self.hub.closed:
            future = loop.create_future()
            self._queue.when_room(functools.partial(_set, future))
            await future
        self._check_open()
        self._queue.append(data)
        self._drain()

    def _check_open(self) -> None:
        if self.hub.closed:
            raise Closed("this socket is closed")

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work on the running loop from now on. RuntimeError if it works elsewhere, in the background or on another."""
        if os.getpid() != forks.pid:
            forks.catch_up()
        self._check_open()
        self.hub.attach(loop)
        self.is_async = True

    def forked(self) -> None:
        """In a forked child: what waits is the parent's to send; from now on we have our own connections."""
        self.hub.disown()
        self._set_up()

    # On the loop

    def _schedule_drain(self) -> None:
        if not self._drain_scheduled:
            self._drain_scheduled = True
            assert self.hub.loop is not None
            self.hub.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._drain_scheduled = False
        self._queue.drain()

    def make_peer(self, mechanism: NewMechanism = Null) -> OneWayPeer:
        peer = OneWayPeer(self._socket_type, mechanism)
        peer.tap = self.tap
        return peer

    def peer_ready(self, link: AioLink) -> None:
        self._queue.add(link)

    def peer_writable(self, link: AioLink) -> None:
        self._queue.drain()

    def peer_leaves(self, link: AioLink) -> None: ...

    def peer_lost(self, link: AioLink, ended: list[NoReturn]) -> None:
        self._queue.remove(link)

    def peer_retires(self, link: AioLink) -> None:
        self._queue.remove(link)

    def is_idle(self, link: AioLink) -> bool:
        return not link.unsent

    def received(self, link: AioLink, touched: list[Arrived]) -> None:
        """Nothing that a puller says is for us."""

    # The end

    async def aclose(self, linger: float) -> None:
        """Let what waits go out, for at most ``linger`` seconds, then close. Cancelled, it closes at once."""
        try:
            await self._until_empty(linger)
        finally:
            _open_outboxes.discard(self)
            self.hub.closed = True
            self._queue.tell_room()
            await self.hub.aclose(LostRemote("this socket was closed"))

    async def _until_empty(self, linger: float) -> None:
        """Until nothing waits any more, or ``linger`` seconds are over, if there is anything to wait for."""
        if self._worth_waiting():
            await self._queue.until_empty(linger)

    def _worth_waiting(self) -> bool:
        """A Publisher's messages go to whom is there; a Pusher's wait for somebody, if there is anywhere to go."""
        return self._socket_type is SocketType.PUSH and bool(self.hub.listeners or self.hub.dialers)

    def close(self, linger: float = LINGER) -> None:
        """``aclose`` from blocking code."""
        _open_outboxes.discard(self)
        if os.getpid() != forks.pid:
            forks.catch_up()
        loop = self.hub.loop
        if loop is None or sys.is_finalizing():
            self.hub.close_unattached()
        elif running_loop() is loop:
            self._closing = loop.create_task(self.aclose(0))
        elif not self.hub.closed and turns(loop):
            self._wait_on_loop(self.aclose(linger))

    def end(self) -> None:
        """The program ends: as ``close``, in less time, but what comes even later can still be sent."""
        loop = self.hub.loop
        if loop is None:
            self.hub.close_listeners()
        elif not (self.is_async or self.hub.closed) and turns(loop):
            self._wait_on_loop(self._end())

    async def _end(self) -> None:
        await self._flush()
        self.hub.stop_accepting()

    async def _flush(self) -> None:
        """Until what was put is on its way, if that takes no longer than a program may want to end."""
        self._drain()
        await self._until_empty(_EXIT_LINGER)
        await self.hub.until_sent(_EXIT_LINGER)

    def _wait_on_loop(self, coroutine: Coroutine[object, None, None]) -> None:
        assert self.hub.loop is not None
        complete(coroutine, self.hub.loop)

    def abandon(self) -> None:
        """The socket was dropped without close(): what waits still goes out, in the background."""
        loop = self.hub.loop
        if os.getpid() != forks.pid or self.hub.closed:
            return
        if loop is None:
            self.hub.close_unattached()
        elif loop.is_running():
            asyncio.run_coroutine_threadsafe(self.aclose(LINGER), loop)

    def _send_at_the_very_end(self, data: bytes) -> None:
        """The interpreter is ending, and the background loop doesn't turn any more: connect anew, and send from here.

        What was bound can't be had again: a Pusher that only binds loses the message.
        """
        self.forked()
        loop = asyncio.SelectorEventLoop()  # for another one something would have to be imported
        loop.set_debug(False)  # as well as for what it shows then, from CPython 3.13 on
        try:
            loop.run_until_complete(self._send_now(data))
        finally:
            self.hub.disown()
            loop.close()

    async def _send_now(self, data: bytes) -> None:
        self.hub.attach(asyncio.get_running_loop())
        self._queue.append(data)
        await self._flush()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


_open_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _is_exiting() -> bool:
    """Whether this is called by ``atexit``: then the main thread counts as ended, and goes on nevertheless."""
    main = threading.main_thread()
    return threading.get_ident() == main.ident and not main.is_alive()


def _flush_at_exit() -> None:
    """A program that pushes and ends has its messages sent, as with libzmq."""
    if os.getpid() != forks.pid:
        forks.catch_up()
    for outbox in list(_open_outboxes):
        outbox.end()
    end()


atexit.register(_flush_at_exit)
