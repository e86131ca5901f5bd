"""Staying connected without an event loop: a thread connects each endpoint that has no connection.

In threads of their own, since names may take long to resolve and addresses long to answer.

Several may begin such a thread, and none knows of the others: ``connect``, and the first use after a fork; the end of
a connection, or a server that says that it leaves; and the keeper, or a call without a server, which look for what an
interrupt or a lack of threads has left undone. Each may come at any time, and may be interrupted between any two steps.
Were the state of an endpoint set by them, it would then be wrong for good: the endpoint would stay unconnected, or get
two connections. So no state is kept. ``DialState`` is read, with the lock held, from the threads and the links that
there are, and nothing begins but what is idle.

On an event loop there is one task for each endpoint from its beginning to its end (``aio_dialing``): where that task
stands is the state.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol

from zerorpc.logs import Logger
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.leading import Leading
from zerorpc.transport.sockets import Listener, connect_blocking
from zerorpc.transport.waking import Gate

__all__ = ["BlockingDialing", "Dial", "DialState"]

logger: Logger = Logger("zerorpc.transport")


class DialState(enum.Enum):
    """What a dialer may be, and what ends that."""

    CLOSED = "nobody wants it connected"  # ends: never
    DIALING = "a thread connects it, or waits until it is time to"  # ends: connected, or cancelled
    CONNECTED = "it has a connection"  # ends: the connection is lost, or its server leaves
    IDLE = "no connection and no thread"  # ends: whoever sees it begins a thread


class Dials(Protocol):
    """What dialing needs of its hub."""

    lock: threading.RLock
    closed: bool
    links: dict[int, BlockingLink]
    leading: Leading
    sockets: weakref.WeakSet[Listener | socket.socket]

    def adopt(self, sock: socket.socket, dial: Dial, /) -> None:
        """There is a connection; it is the hub's from now on, to close it too."""


class BlockingDialing:
    """The dialers of a hub, and the threads that connect them. All but ``ended`` with the hub's lock held."""

    def __init__(self, hub: Dials) -> None:
        self._hub = hub
        self.threads: dict[Dialer, Dial] = {}

    def state(self, dialer: Dialer) -> DialState:
        return self._state(dialer, self._connected())

    def _state(self, dialer: Dialer, connected: set[Dialer | None]) -> DialState:
        if dialer.closed or self._hub.closed:
            return DialState.CLOSED
        if dialer in self.threads:
            return DialState.DIALING
        return DialState.CONNECTED if dialer in connected else DialState.IDLE

    def _connected(self) -> set[Dialer | None]:
        return {link.dialer for link in self._hub.links.values() if not link.leaving}

    def begin(self, dialer: Dialer, delay: float = 0.0) -> None:
        """Connect an idle one after ``delay`` seconds, and try until it works. Raises when the system has no thread."""
        if self.state(dialer) is not DialState.IDLE:
            return
        dial = self.threads[dialer] = Dial(self._hub, dialer, delay, self.ended)
        try:
            self._hub.leading.start_thread(dial)
        except BaseException:
            dial.cancel()
            self.ended(dial)
            raise

    def begin_again(self, dialer: Dialer, why: object) -> None:
        """Its connection is over, or wants nothing new."""
        if self.state(dialer) is DialState.IDLE:
            self._begin_if_possible(dialer, dialer.failed(why))

    def begin_idle(self, dialers: Iterable[Dialer]) -> None:
        """Begin whichever are idle."""
        connected = self._connected()
        for dialer in dialers:
            if self._state(dialer, connected) is DialState.IDLE:
                self._begin_if_possible(dialer, 0.0)

    def _begin_if_possible(self, dialer: Dialer, delay: float) -> None:
        """Out of threads, the keeper comes back to it."""
        with contextlib.suppress(RuntimeError, MemoryError):
            self.begin(dialer, delay)

    def wants(self, dial: Dial) -> bool:
        """Whether the connection that a thread has made is still to be had."""
        return self.threads.get(dial.dialer) is dial and not dial.dialer.closed

    def cancel(self, dialer: Dialer) -> None:
        """End the thread that connects it, if there is one."""
        if dialer in self.threads:
            self.threads[dialer].cancel()

    def cancel_all(self) -> None:
        for dial in self.threads.values():
            dial.cancel()

    def ended(self, dial: Dial) -> None:
        """A thread connects no more. Safe to call twice."""
        with self._hub.lock:
            if self.threads.get(dial.dialer) is dial:
                del self.threads[dial.dialer]

    def __repr__(self) -> str:
        return f"<BlockingDialing {list(self.threads)}>"


class Dial(threading.Thread):
    """Connects a dialer after ``delay`` seconds, and tries until it works or is cancelled."""

    def __init__(self, hub: Dials, dialer: Dialer, delay: float, ended: Callable[[Dial], None]) -> None:
        super().__init__(name=f"zerorpc-dial {dialer.endpoint.text}", daemon=True)
        self.dialer = dialer
        self._hub = hub
        self._delay = delay
        self._ended = ended
        self._end = Gate()
        self._sock: socket.socket | None = None  # that is being connected

    def cancel(self) -> None:
        """End soon: a pause is over at once, and so is an attempt; a look-up can't be ended. Safe anywhere."""
        self._end.open()
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            while not (self.dialer.closed or self._end.wait(self._delay)):
                if self._attempt():
                    return
        finally:
            self._ended(self)

    def _attempt(self) -> bool:
        """Whether it is over."""
        began = monotonic()
        try:
            sock = connect_blocking(self.dialer.endpoint, self._made)
            self._sock = None
            self._hub.adopt(sock, self)
        except BaseException as error:
            self._sock = None
            if self._end.is_open:
                return True
            self._delay = self.dialer.failed(error, monotonic() - began)
            if not isinstance(error, OSError):
                name = self.dialer.endpoint.text
                logger.error("connecting to %s failed; it will be tried again", name, raised=error)
            return False
        return True

    def _made(self, sock: socket.socket) -> None:
        """A socket is about to be connected."""
        self._hub.sockets.add(sock)
        self._sock = sock
        if self._end.is_open:
            sock.close()
            raise ConnectionAbortedError("cancelled")
