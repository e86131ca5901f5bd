"""Staying connected without an event loop: a thread connects each endpoint that has no connection.

In threads of their own, since names may take long to resolve and addresses long to answer. A name has one while it is
looked up, and each of its addresses one while it is connected.

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
import math
import socket
import threading
import weakref
from collections.abc import Iterable
from threading import get_ident
from time import monotonic
from typing import Protocol, TypeVar

from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.dialer import Dialer, log_unexpected
from zerorpc.transport.endpoints import Address, resolve
from zerorpc.transport.leading import InUse, Leading
from zerorpc.transport.names import Change, Name, some
from zerorpc.transport.polling import Polling
from zerorpc.transport.security import Security
from zerorpc.transport.sockets import Listener, connect_blocking
from zerorpc.transport.waking import Gate

__all__ = ["BlockingDialing", "Dial", "DialState"]


D = TypeVar("D", bound=Dialer)
Th = TypeVar("Th", bound="Dial | LookUp")


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
    polling: Polling
    sockets: weakref.WeakSet[Listener | socket.socket]

    def adopt(self, sock: socket.socket, security: Security, dial: Dial, /) -> None:
        """There is a connection; it is the hub's from now on, to close it too."""

    def retire(self, dialer: Dialer, /) -> None:
        """Nothing new on its connection, which is closed when what runs there has ended."""


class BlockingDialing:
    """The dialers of a hub, and the threads that connect them. All but ``ended`` with the hub's lock held."""

    def __init__(self, hub: Dials) -> None:
        self._hub = hub
        self.threads: dict[Dialer, Dial] = {}
        self.look_ups: dict[Name, LookUp] = {}

    def state(self, dialer: Dialer) -> DialState:
        return self._state(dialer, self._connected())

    def _state(self, dialer: Dialer, connected: set[Dialer | None]) -> DialState:
        if not dialer.wanted or self._hub.closed:
            return DialState.CLOSED
        if dialer in self.threads:
            return DialState.DIALING
        return DialState.CONNECTED if dialer in connected else DialState.IDLE

    def _connected(self) -> set[Dialer | None]:
        return {link.dialer for link in self._hub.links.values() if not link.leaving}

    def begin(self, dialer: Dialer, delay: float = 0.0) -> None:
        """Connect an idle one after ``delay`` seconds, and try until it works. Raises when the system has no thread."""
        if isinstance(dialer, Name):
            self._look_up(dialer)
        elif self.state(dialer) is DialState.IDLE:
            delay = max(delay, dialer.due - monotonic())
            self._start(self.threads, dialer, Dial(self._hub, dialer, delay, self))

    def _look_up(self, name: Name) -> None:
        """If it is time, and it isn't being done."""
        now, due = monotonic(), name.look_up_at
        if name.wanted and not self._hub.closed and name not in self.look_ups and (now >= due or due == math.inf):
            name.look_up_begins(now)
            self._start(self.look_ups, name, LookUp(name, self))

    def _start(self, threads: dict[D, Th], of: D, thread: Th) -> None:
        try:
            threads[of] = thread  # in here: one that is known and never starts would keep others from being begun
            self._hub.leading.start_thread(thread)
        except BaseException:
            thread.cancel()
            self.ended(thread)
            raise

    def begin_again(self, dialer: Dialer, why: object) -> None:
        """Its connection is over, or wants nothing new."""
        if self.state(dialer) is DialState.IDLE:
            delay = dialer.failed(why)
            self._tell_name(dialer, delay)
            self._begin_if_possible(dialer, delay)

    def begin_idle(self, dialers: Iterable[Dialer]) -> None:
        """Begin whichever are idle."""
        connected = self._connected()
        for dialer in dialers:
            if isinstance(dialer, Name):
                self._begin_if_possible(dialer, 0.0)
            for each in dialer.dialers.values() if isinstance(dialer, Name) else (dialer,):
                if self._state(each, connected) is DialState.IDLE:
                    self._begin_if_possible(each, 0.0)

    def _begin_if_possible(self, dialer: Dialer, delay: float) -> None:
        """Out of threads, the keeper comes back to it."""
        with contextlib.suppress(RuntimeError, MemoryError):
            self.begin(dialer, delay)

    def attempt_failed(self, dialer: Dialer, delay: float) -> None:
        """A thread will try again after ``delay`` seconds. Takes the lock itself."""
        with self._hub.lock:
            self._tell_name(dialer, delay)
            self._hub.polling.ring()  # somebody may wait to know

    def _tell_name(self, dialer: Dialer, delay: float) -> None:
        """An address failed: others may be tried instead, and the name may be looked up earlier."""
        name = dialer.name
        if isinstance(name, Name):
            self._change(name.address_failed(dialer, delay, monotonic()))
            self._begin_if_possible(name, 0.0)

    def look_up_ended(self, look_up: LookUp, outcome: list[Address] | BaseException) -> float | None:
        """A name has addresses, or wasn't found; after how many seconds to try again. Takes the lock itself."""
        name = look_up.of
        with self._hub.lock:
            if self.look_ups.get(name) is not look_up or not name.wanted:
                return None
            if isinstance(outcome, list):
                self._change(name.found(outcome, monotonic()))
                return None
            delay = name.not_found(outcome, monotonic())
            return None if name.dialers else delay

    def _change(self, change: Change) -> None:
        """If it is interrupted, the keeper does the rest."""
        for dialer in change.retire:
            self.cancel(dialer)
            self._hub.retire(dialer)
        for dialer in change.begin:
            self._begin_if_possible(dialer, 0.0)

    def check_may_wait(self) -> None:
        """Raises InUse in a thread that connects: what a finalizer waits for there, the thread would never do."""
        me = get_ident()
        if any(thread.ident == me for thread in (*self.threads.values(), *self.look_ups.values())):
            raise InUse(
                "a finalizer (__del__) or a log handler has called a zerorpc.Client in the thread that connects it: "
                "have it set a flag and call later, or call in another thread, or with a client of its own"
            )

    def wants(self, dial: Dial) -> bool:
        """Whether the connection that a thread has made is still to be had."""
        return self.threads.get(dial.dialer) is dial and dial.dialer.wanted

    def cancel(self, dialer: Dialer) -> None:
        """End the threads that connect it, if there are any."""
        for each, dial in self.threads.items():
            if dialer in (each, each.name):
                dial.cancel()
        for name, look_up in self.look_ups.items():
            if name is dialer:
                look_up.cancel()

    def cancel_all(self) -> None:
        for dial in self.threads.values():
            dial.cancel()
        for look_up in self.look_ups.values():
            look_up.cancel()

    def ended(self, thread: Dial | LookUp) -> None:
        """A thread connects no more. Safe to call twice."""
        with self._hub.lock:
            if isinstance(thread, LookUp):
                if self.look_ups.get(thread.of) is thread:
                    del self.look_ups[thread.of]
            elif self.threads.get(thread.dialer) is thread:
                del self.threads[thread.dialer]

    def __repr__(self) -> str:
        return f"<BlockingDialing {[*self.threads, *self.look_ups]}>"


class Dial(threading.Thread):
    """Connects a dialer after ``delay`` seconds, and tries until it works or is cancelled."""

    def __init__(self, hub: Dials, dialer: Dialer, delay: float, dialing: BlockingDialing) -> None:
        super().__init__(name=f"zerorpc-dial {dialer.endpoint.text}", daemon=True)
        self.dialer = dialer
        self._hub = hub
        self._delay = delay
        self._dialing = dialing
        self._end = Gate()
        self._sock: socket.socket | None = None  # that is being connected

    def cancel(self) -> None:
        """End soon: a pause is over at once, and so is an attempt. Safe anywhere."""
        self._end.open()
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            while self.dialer.wanted and not self._end.wait(self._delay):
                if self._attempt():
                    return
        finally:
            self._dialing.ended(self)

    def _attempt(self) -> bool:
        """Whether it is over."""
        began = monotonic()
        try:
            sock = connect_blocking(self.dialer.endpoint, self._made)
            self._sock = None
            self._hub.adopt(sock, self.dialer.security, self)
        except BaseException as error:
            self._sock = None
            if self._end.is_open:
                return True
            self._delay = self.dialer.failed(error, monotonic() - began)
            log_unexpected(self.dialer, error)
            self._dialing.attempt_failed(self.dialer, self._delay)
            return False
        return True

    def _made(self, sock: socket.socket) -> None:
        """A socket is about to be connected."""
        self._hub.sockets.add(sock)
        self._sock = sock
        if self._end.is_open:
            sock.close()
            raise ConnectionAbortedError("cancelled")


class LookUp(threading.Thread):
    """Looks a name up; again and again, if it has had no address so far."""

    def __init__(self, of: Name, dialing: BlockingDialing) -> None:
        super().__init__(name=f"zerorpc-lookup {of.endpoint.text}", daemon=True)
        self.of = of
        self._dialing = dialing
        self._end = Gate()

    def cancel(self) -> None:
        """End soon; if it is just asking, when the system answers. Safe anywhere."""
        self._end.open()

    def run(self) -> None:
        try:
            delay: float | None = 0.0
            while delay is not None and not self._end.wait(delay):
                delay = self._dialing.look_up_ended(self, self._outcome())
        finally:
            self._dialing.ended(self)

    def _outcome(self) -> list[Address] | BaseException:
        try:
            return some(self.of, resolve(self.of.endpoint))
        except BaseException as error:
            log_unexpected(self.of, error)
            return error
