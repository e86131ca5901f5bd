"""The blocking shell: plain sockets, driven in the threads that wait for something.

Of the threads that wait, one leads: it polls the sockets for all, and when it has what it waited for, another takes
over. A lone caller so never leaves its thread: 12.8 us a call where a hop to a loop's thread costs 18-27 more
(measured.md). When nobody waits, a keeper thread looks in now and then, so that heartbeats go on.

Longer than most, because who leads, and what an interrupt may leave half done, can only be checked in one place.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Any, Protocol

from zerorpc.errors import LostRemote
from zerorpc.logs import Logger
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.hub import Dialer, Hub, Owner
from zerorpc.transport.poller import READABLE, WRITABLE, new_poller
from zerorpc.transport.sockets import Listener, connect_blocking, tune

__all__ = ["BlockingHub"]

logger = Logger("zerorpc.transport")

_QUIET = 0.002  # s since a link was read, after which a call looks first: a look costs 1.3 us
_POLL_LONGEST = 1.0  # s after which a leader looks up even if nothing is due
_POLL_LONGEST_MS = 1000
_LEAD_LONGEST = 1.5  # s after which a leader that didn't look up must have been interrupted
_LOOK_UP = 0.25  # s after which a follower looks whether there is still a leader
_KEEPER_LONGEST = 1.0  # s between the keeper's looks
_KEEPER_SHORTEST = 0.02

_hubs: weakref.WeakSet[BlockingHub] = weakref.WeakSet()


class BlockingOwner(Owner, Protocol):
    """Who a blocking hub works for: besides what happened, it is asked what is due. With the lock held."""

    @property
    def next_wake(self) -> float | None:
        """When ``sweep`` wants to be called next, for what belongs to no link."""

    def sweep(self, now: float) -> None: ...

    def abandon(self, channel: Any) -> None:
        """Nobody wants the rest of a call."""

    def close(self) -> None:
        """Nobody can call any more."""


class BlockingHub(Hub):
    """A hub that lives in its callers' threads. Its methods are safe from any thread, and after a fork.

    ``lock`` guards all state, the peers' too; the owner is called with it held.
    """

    owner: BlockingOwner

    def __init__(self, owner: BlockingOwner, resolve_hook: Callable[[Any], Any], heartbeat: float | None) -> None:
        super().__init__(owner, resolve_hook)
        self._keeper_interval = min(max((heartbeat or 2.0) / 2, _KEEPER_SHORTEST), _KEEPER_LONGEST)
        self.orphaned = False  # nobody can call any more: the keeper closes it
        self._set_up()
        _hubs.add(self)

    def _set_up(self) -> None:
        """State that is new after a fork, too."""
        self.lock = threading.RLock()
        self.links: dict[int, BlockingLink] = {}
        self.stale = False
        self.sockets = weakref.WeakSet()
        self._acceptors: dict[int, Listener] = {}
        self._poller = new_poller()
        self._resting: list[Listener] = []  # out of descriptors: not accepting for now
        self.leader: int | None = None  # the thread that polls
        self._lead_until = 0.0  # when it has to have looked up; later than that it must have been interrupted
        self._poll_until: float | None = None  # when the leader looks up by itself
        self._followers: deque[Any] = deque()
        self._dropped: deque[Any] = deque()
        self.dialing: set[Dialer] = set()  # those that a thread is trying to connect
        self._bell: socket.socket | None = None
        self._bell_end: socket.socket
        self._keeper: threading.Thread | None = None
        self._keeper_stop = threading.Event()

    # Waiting

    def wait(
        self, channel: Any, ready: Callable[[Any], bool], now: float, begin: Callable[[Any, float], None] | None = None
    ) -> None:
        """Block until ``ready(channel)``, driving the sockets if no other thread does. ``now`` is about now.

        ``begin(channel, now)`` is called first, with the lock held: a lock section less than if the caller did it.

        Whatever raises in here, such as Ctrl-C, may do so between any two steps; what it leaves half done is put
        right by this thread's next call, by those who wait (they look up now and then) and by the keeper.
        """
        me = get_ident()
        while True:
            turn: Any = None
            timeout = 0
            with self.lock:
                if begin is not None:
                    begin(channel, now)
                    begin = None
                if ready(channel):
                    self._promote()
                    return
                if self.leader is None or self.leader == me or now > self._lead_until:  # interrupted before
                    self.leader = me
                    timeout = self._plan(now)
                else:
                    turn = channel.waiter = threading.Lock()
                    turn.acquire()
                    self._followers.append(channel)
            if turn is None:
                self._lead(channel, ready, timeout)
                return
            self._follow(channel, turn)
            now = monotonic()

    def _lead(self, channel: Any, ready: Callable[[Any], bool], timeout: int) -> None:
        """Drive the sockets until ``ready(channel)``."""
        try:
            while True:
                events = self._poll(timeout)
                with self.lock:
                    now = monotonic()
                    self._act(events, now)
                    if ready(channel):
                        self._resign()
                        return
                    timeout = self._plan(now)
        except BaseException:
            with self.lock:
                self._resign()
            raise

    def _follow(self, channel: Any, turn: Any) -> None:
        """Wait until the leader has something for the channel, or it is this thread's turn to lead."""
        try:
            turn.acquire(timeout=_LOOK_UP)
        finally:
            with self.lock:
                self._unfollow(channel)

    def _unfollow(self, channel: Any) -> None:
        channel.waiter = None
        if channel in self._followers:
            self._followers.remove(channel)

    def _resign(self) -> None:
        """Lead no more. With the lock held."""
        if self.leader == get_ident():  # it may have been taken over
            self.leader = None
        if self._followers:
            self._promote()
        if self.closed:
            self._close_bell()

    def wake(self, channel: Any) -> None:
        """The channel's thread has something to look at. With the lock held."""
        turn = channel.waiter
        if turn is not None:
            channel.waiter = None
            turn.release()

    def _promote(self) -> None:
        """Let a waiting thread lead, if nobody does. With the lock held."""
        while self._followers and self.leader is None:
            channel = self._followers.popleft()
            if channel.waiter is not None:
                self.wake(channel)
                return

    def _plan(self, now: float) -> int:
        """For how many milliseconds the leader may poll; ``hurry`` tells of what is due earlier. With the lock held."""
        wake: float | None = self.owner.next_wake
        for link in self.links.values():
            due = link.peer.next_wake
            if due is not None and (wake is None or due < wake):
                wake = due
        self._poll_until = wake
        self._lead_until = now + _LEAD_LONGEST
        if wake is None or wake - now >= _POLL_LONGEST:
            return _POLL_LONGEST_MS
        return max(0, math.ceil((wake - now) * 1000))

    def _poll(self, timeout: int) -> list[tuple[int, int]]:
        """What happens to the sockets within ``timeout`` milliseconds. By the leader, without the lock."""
        try:
            return self._poller.poll(timeout)
        except RuntimeError:  # another polls: it took this thread, which was kept from running, for interrupted
            time.sleep(_LOOK_UP)
            return []

    def _act(self, events: list[tuple[int, int]], now: float) -> None:
        """Read and write what is ready, do what is due. A link whose turn is interrupted (Ctrl-C) can't be trusted."""
        if self._dropped:
            self._abandon_dropped()
        link: BlockingLink | None = None
        try:
            for fileno, event in events:
                link = self.links.get(fileno)
                if link is not None and event == READABLE:
                    link.read(now)
                else:
                    self._handle(fileno, event, now)
            if self._poll_until is not None and now >= self._poll_until:
                for link in list(self.links.values()):
                    link.sweep(now)
                self.owner.sweep(now)
        except BaseException:
            if link is not None:
                link.lose(link.interrupted())
            raise

    def hurry(self, due: float | None) -> None:
        """Something is due at a time that the leader may not know of. With the lock held."""
        if due is not None and (self._poll_until is None or due < self._poll_until):
            self.ring()

    def _handle(self, fileno: int, event: int, now: float) -> None:
        link = self.links.get(fileno)
        if link is not None:
            if event & WRITABLE:
                link.write()
            if event & ~WRITABLE and not link.closed:
                link.read(now)
        elif fileno in self._acceptors:
            self._accept(self._acceptors[fileno])
        elif self._bell is not None and fileno == self._bell.fileno():
            with contextlib.suppress(OSError):
                self._bell.recv(4096)

    def ring(self) -> None:
        """Make the leader look at what it polls: something was added. With the lock held."""
        if self.leader is not None and self._bell is not None:
            with contextlib.suppress(OSError):
                self._bell_end.send(b"\0")

    def _ready_to_wait(self) -> None:
        """What is only needed once something is bound or connected. With the lock held."""
        if self._bell is None:
            self._bell, self._bell_end = socket.socketpair()
            self._bell.setblocking(False)
            self._bell_end.setblocking(False)
            self._poller.register(self._bell.fileno(), READABLE)
        if self._keeper is None:
            keeper = threading.Thread(target=self._keep, name="zerorpc-keeper", daemon=True)
            keeper.start()
            self._keeper = keeper

    def _keep(self) -> None:
        """Look in now and then while nobody waits: heartbeats, answers to PING, workers that connect."""
        stop, told = self._keeper_stop, False
        while not stop.wait(self._keeper_interval):
            try:
                self._look_in()
                told = False
            except BaseException as error:  # nobody would take this thread's place
                if not told:
                    logger.exception("the keeper of a client failed, and goes on", error=error)
                told = True

    def _look_in(self) -> None:
        with self.lock:
            if self.orphaned:
                self.owner.close()
                return
            self._wake_resting()
            self._mend()
            if self.leader is not None or self.closed:
                return
            self.leader = get_ident()
            self._plan(monotonic())
        try:
            events = self._poll(0)
            with self.lock:
                self._act(events, monotonic())
        finally:
            with self.lock:
                self._resign()

    def _mend(self) -> None:
        """Finish what an interrupt (Ctrl-C, an alarm) may have left half done in another thread. With the lock held."""
        if self.leader is not None and monotonic() > self._lead_until:
            self.leader = None
            self._promote()
        for link in list(self.links.values()):
            if link.closed:
                link.finish()
        connected = {link.dialer for link in self.links.values() if not link.leaving} | self.dialing
        for dialer in self.dialers.values():
            if dialer not in connected and not dialer.closed and not self.closed:
                self.redial(dialer, 0.0)

    def drop(self, channel: Any) -> None:
        """Give a call up from ``__del__``: now if that is possible here and now, or else at the next occasion."""
        self._dropped.append(channel)
        # an RLock would let its own thread in, whatever that is in the middle of; only _is_owned tells
        if not self.lock._is_owned() and self.lock.acquire(blocking=False):  # type: ignore[attr-defined]
            try:
                self._abandon_dropped()
            finally:
                self.lock.release()

    def _abandon_dropped(self) -> None:
        """With the lock held, and nothing half done."""
        while self._dropped:
            self.owner.abandon(self._dropped.popleft())

    def _wake_resting(self) -> None:
        """Accept again where descriptors had run out. With the lock held."""
        for listener in self._resting:
            if listener.fileno() in self._acceptors:
                self._poller.modify(listener.fileno(), READABLE)
                self.ring()
        self._resting.clear()

    # Endpoints

    def _expand(self, endpoint: Any, resolve: bool) -> list[str]:
        if self.stale:
            self.revive()
        return super()._expand(endpoint, resolve)

    # Links

    def look(self, now: float) -> None:
        """Before a call: read what has been quiet, since nobody may have noticed its end. With the lock held."""
        if self.leader is not None and self.leader != get_ident():
            return  # the leader notices, and what another thread read it would wait for in vain
        for link in self.links.values():
            if now - link.peer.last_received > _QUIET:
                quiet = [(fileno, READABLE) for fileno in self.links]
                self._act(quiet, now)
                return

    def watch(self, link: BlockingLink, for_writing: bool) -> None:
        """Whether to be told when the link's socket takes more. With the lock held."""
        self._poller.modify(link.fileno, READABLE | WRITABLE if for_writing else READABLE)
        if for_writing:
            self.ring()

    def forget(self, link: BlockingLink) -> None:
        """The link is over, its socket not closed yet. With the lock held; safe to call twice."""
        if self.links.get(link.fileno) is link:
            with contextlib.suppress(KeyError):
                self._poller.unregister(link.fileno)

    def _adopt(self, sock: socket.socket, dialer: Dialer | None) -> None:
        """Make a link of a connected socket."""
        tune(sock)
        sock.setblocking(False)
        with self.lock:
            if self.closed or (dialer is not None and dialer.closed):
                sock.close()
                return
            link = BlockingLink(self, sock, self.owner.make_peer(), dialer)
            self.links[link.fileno] = link
            self._poller.register(link.fileno, READABLE)
            link.peer.opened(monotonic())
            link.flush()
            self.ring()

    # Listening

    def start_listener(self, listener: Listener) -> None:
        with self.lock:
            self._ready_to_wait()
            self._acceptors[listener.fileno()] = listener
            self._poller.register(listener.fileno(), READABLE)
            self.ring()

    def stop_listener(self, listener: Listener) -> None:
        with self.lock:
            self._poller.unregister(listener.fileno())
            del self._acceptors[listener.fileno()]
            listener.close()

    def _accept(self, listener: Listener) -> None:
        """Take all connections that wait. Out of descriptors, look again when the keeper comes by."""
        try:
            while True:
                sock = listener.accept()
                self.sockets.add(sock)
                self._adopt(sock, None)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            self._poller.modify(listener.fileno(), 0)
            self._resting.append(listener)

    # Connecting: by a thread of its own until it is done, since names may take long to resolve

    def start_dialer(self, dialer: Dialer) -> None:
        with self.lock:
            self._ready_to_wait()
        self._start_dialing(dialer, 0.0)

    def redial(self, dialer: Dialer, delay: float) -> None:
        """Connect after ``delay`` seconds, and try until it works. Out of threads, the keeper comes back to it."""
        with contextlib.suppress(RuntimeError, MemoryError):
            self._start_dialing(dialer, delay)

    def _start_dialing(self, dialer: Dialer, delay: float) -> None:
        args = (dialer, delay, self._keeper_stop)
        thread = threading.Thread(
            target=self._dial, args=args, name=f"zerorpc-dial {dialer.endpoint.text}", daemon=True
        )
        self.dialing.add(dialer)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self.dialing.discard(dialer)
            raise

    def stop_dialer(self, dialer: Dialer) -> None:
        with self.lock:
            for link in list(self.links.values()):
                if link.dialer is dialer:
                    link.lose(LostRemote("disconnected here"))
            self.ring()  # the leader may be the one whose call that was

    def _dial(self, dialer: Dialer, delay: float, stop: threading.Event) -> None:
        try:
            self._dial_until_connected(dialer, delay, stop)
        finally:
            self.dialing.discard(dialer)

    def _dial_until_connected(self, dialer: Dialer, delay: float, stop: threading.Event) -> None:
        while not stop.wait(delay) and not dialer.closed:
            began = monotonic()
            try:
                sock = connect_blocking(dialer.endpoint, self.sockets.add)
            except Exception as error:
                delay = dialer.failed(error, monotonic() - began)
                if not isinstance(error, OSError):
                    name = dialer.endpoint.text
                    logger.exception("connecting to %s failed; it will be tried again", name, error=error)
            else:
                self._adopt(sock, dialer)
                return

    # The end

    def close(self, reason: Exception) -> None:
        """Close everything. Safe to call twice."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self._keeper_stop.set()
            for dialer in self.dialers.values():
                dialer.closed = True
            for listener in self.listeners.values():
                listener.close()
            for link in list(self.links.values()):
                link.flush()
                link.lose(reason)
            self.listeners.clear()
            self._acceptors.clear()  # the leader may have been told of one just now
            self.ring()
            self._promote()
            if self.leader is None:
                self._close_bell()

    def _close_bell(self) -> None:
        if self._bell is not None:
            self._bell.close()
            self._bell_end.close()

    # Fork

    def disown(self) -> None:
        """In a forked child: let go of what is the parent's, without a word to its peers. Takes no lock: the thread
        that held it may not exist here.
        """
        error = LostRemote("the process was forked, and the call is the parent's")
        for link in self.links.values():
            link.closed = True
            link.sock.close()
            link.peer.close(error)
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()
        self._close_bell()
        self._set_up()
        self.owner.forked()

    def revive(self) -> None:
        """In a forked child, at the first use: the parent keeps its connections, we make our own."""
        self.disown()
        try:
            with self.lock:
                self._ready_to_wait()
        except BaseException:  # out of descriptors, or of threads: the next use tries again
            self.stale = True
            raise
        for dialer in self.dialers.values():
            self.redial(dialer, 0.0)

    def __repr__(self) -> str:
        return f"<BlockingHub bound={list(self.listeners)} connected={list(self.dialers)} links={len(self.links)}>"


def _after_fork_in_child() -> None:
    hubs = list(_hubs)
    for hub in hubs:
        hub.stale = True
    for hub in hubs:
        hub.lead_nowhere()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
