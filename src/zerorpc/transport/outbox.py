"""What a Pusher or Publisher sends: a queue, and the links that it goes to."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from zerorpc.errors import Closed, LostRemote
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.io_thread import io_loop
from zerorpc.transport.loops import running_loop
from zerorpc.zmtp import SocketType

__all__ = ["LINGER", "QUEUED_MAX", "Outbox"]

QUEUED_MAX = 1000  # messages waiting here, sent or received: libzmq's default high-water mark
_LARGE = 64 * 1024  # octets of a message that is written at once, so that it shows whether the peer keeps up
LINGER = 5.0  # s that close() gives to messages that wait to be sent


class Outbox:
    """The queue of a Pusher or Publisher and the links that it goes to."""

    def __init__(self, socket_type: SocketType, resolve: Callable[[Any], Any]) -> None:
        self.tap: Callable[[str, Buffer], None] | None = None
        self.hub = AioHub(self, resolve)
        self.is_async = False
        self._socket_type = socket_type
        self._set_up()
        _open_outboxes.add(self)

    def _set_up(self) -> None:
        """State that is new after a fork, too."""
        self._links: deque[AioLink] = deque()
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._room: deque[asyncio.Future[None]] = deque()
        self._drain_scheduled = False
        self._emptied: asyncio.Event | None = None  # while closing

    def put(self, data: bytes) -> Awaitable[None] | None:
        """Queue a packed event; wait while too many wait already. To be awaited once attached to a running loop."""
        if self.is_async:
            return self._put_async(data)
        self._put_blocking(data)
        return None

    def _put_blocking(self, data: bytes) -> None:
        if self.hub.loop is None and not self.hub.closed:
            self._attach_to_io_loop()
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < QUEUED_MAX or self.hub.closed)
            self._check_open()
            self._waiting.append(data)
            self._schedule_drain()

    async def _put_async(self, data: bytes) -> None:
        while len(self._waiting) >= QUEUED_MAX and not self.hub.closed:
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
                    if len(data) >= _LARGE:
                        link.flush()
        for link in used:
            link.flush()
        if len(self._waiting) < QUEUED_MAX:
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
        peer = OneWayPeer(self._socket_type)
        peer.tap = self.tap
        return peer

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
        await self.hub.aclose(LostRemote("this socket was closed"))
        _open_outboxes.discard(self)
        self._tell_room()

    def _worth_waiting(self) -> bool:
        """A Publisher's messages go to whom is there; a Pusher's wait for somebody, if there is anywhere to go."""
        return self._socket_type is SocketType.PUSH and bool(self.hub.listeners or self.hub.dialers)

    def close(self, linger: float = LINGER) -> None:
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
            asyncio.run_coroutine_threadsafe(self.aclose(LINGER), loop)


_open_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _flush_at_exit() -> None:
    """A program that pushes and ends has its messages sent, as with libzmq."""
    for outbox in list(_open_outboxes):
        if not outbox.is_async:
            outbox.close(1.0)


atexit.register(_flush_at_exit)
