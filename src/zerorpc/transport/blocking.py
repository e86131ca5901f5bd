"""The blocking shell: plain sockets, driven in the threads that wait for something.

Of the threads that wait, one leads: it polls the sockets for all, and when it has what it waited for, another takes
over. A lone caller so never leaves its thread: 12.8 us a call where a hop to a loop's thread costs 18-27 more
(measured.md). When nobody waits, a keeper thread looks in now and then, so that heartbeats go on.

A signal handler or a finalizer may come in at any step, and call. While this thread polls, or waits for its turn, that
works. While it holds the lock something is half done: a call is refused, and what has no result is left to the keeper.

Longer than most, because who leads, and what an interrupt may leave half done, can only be checked in one place.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import weakref
from collections import deque
from collections.abc import Callable
from os import getpid
from threading import get_ident
from time import monotonic
from typing import Any, Protocol

from zerorpc.errors import LostRemote
from zerorpc.logs import Logger
from zerorpc.transport import forks
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.dialing import Dial
from zerorpc.transport.hub import Hub
from zerorpc.transport.keeper import Keeper
from zerorpc.transport.link import Owner
from zerorpc.transport.poller import READABLE, WRITABLE, Poller, new_poller
from zerorpc.transport.sockets import Listener, tune
from zerorpc.transport.waking import Bell, Gate

__all__ = ["BlockingHub", "InUse"]

logger = Logger("zerorpc.transport")

_QUIET = 0.002  # s since a link was read, after which a call looks first: a look costs 1.3 us
_POLL_LONGEST = 1.0  # s after which a leader looks up even if nothing is due
_POLL_LONGEST_MS = 1000
_LEAD_LONGEST = 1.5  # s after which a leader that didn't look up must have been interrupted
_LOOK_UP = 0.25  # s after which a follower looks whether there is still a leader
_WITHIN_MS = 50  # ms that a signal handler's call polls at a time: what it waits for another thread may have read
_KEEPER_LONGEST = 1.0  # s between the keeper's looks
_KEEPER_SHORTEST = 0.02


class InUse(RuntimeError):
    """Refused for what is just being done in the same thread, or with the same stream; nothing was changed."""


class BlockingOwner(Owner, Protocol):
    """Who a blocking hub works for: besides what happened, it is asked what is due. With the lock held."""

    @property
    def next_wake(self) -> float | None:
        """When ``sweep`` wants to be called next, for what belongs to no link."""

    def sweep(self, now: float) -> None: ...


class BlockingHub(Hub):
    """A hub that lives in its callers' threads. Its methods are safe from any thread, and after a fork.

    ``lock`` guards all state, the peers' too; the owner is called with it held.
    """

    owner: BlockingOwner

    def __init__(self, owner: BlockingOwner, resolve_hook: Callable[[Any], Any], heartbeat: float | None) -> None:
        super().__init__(owner, resolve_hook)
        self._keeper_interval = min(max((heartbeat or 2.0) / 2, _KEEPER_SHORTEST), _KEEPER_LONGEST)
        self._inherited: list[Listener | socket.socket] = []  # the parent's, to be closed at the first use in a child
        self._set_up()
        forks.watch(self)

    def _set_up(self) -> None:
        """State that is new after a fork, too."""
        self.lock = threading.RLock()
        self.holds_lock: Callable[[], bool] = self.lock._is_owned  # by this thread
        self.links: dict[int, BlockingLink] = {}
        self._acceptors: dict[int, Listener] = {}
        self._poller = new_poller()
        self._resting: list[Listener] = []  # out of descriptors: not accepting for now
        self.leader: int | None = None  # the thread that polls
        self._lead_until = 0.0  # when it has to have looked up; later than that it must have been interrupted
        self._poll_until: float | None = None  # when the leader looks up by itself
        self._followers: deque[Any] = deque()
        self._deferred: deque[Callable[[], None]] = deque()  # what the keeper shall do
        self.dialing: dict[Dialer, Dial] = {}  # what threads are trying to connect
        self._bell: Bell | None = None
        self._keeper: Keeper | None = None

    # Waiting

    def wait(
        self, channel: Any, ready: Callable[[Any], bool], now: float, begin: Callable[[Any, float], None] | None = None
    ) -> None:
        """Block until ``ready(channel)``, driving the sockets if no other thread does. ``now`` is about now.

        ``begin(channel, now)`` is called first, with the lock held: a lock section less than if the caller did it.

        Whatever raises in here, such as Ctrl-C, may do so between any two steps; what it leaves half done is put
        right by this thread's next call, by those who wait (they look up now and then) and by the keeper.
        """
        if self.holds_lock():
            self.check_idle()
        me = get_ident()
        while True:
            turn: Any = None
            timeout = 0
            leads = False
            try:
                with self.lock:
                    if begin is not None:
                        begin(channel, now)
                        begin = None
                    if ready(channel):
                        self._promote()
                        return
                    if self.leader is None or now > self._lead_until:  # interrupted before
                        leads = True
                        self.leader = me
                        self._lead_until = now + _LEAD_LONGEST
                        timeout = self._plan(now)
                    elif self.leader != me:
                        turn = channel.waiter = threading.Lock()
                        turn.acquire()
                        self._followers.append(channel)
                if turn is not None:
                    self._follow(channel, turn)
                elif not leads:
                    self._lead_within(channel, ready)
                    return
                elif self._lead(channel, ready, timeout):
                    return
            except BaseException:
                if leads:
                    with self.lock:
                        self._resign()
                raise
            now = monotonic()

    def wait_for(self, gate: Gate, timeout: float | None) -> None:
        """Wait at most ``timeout`` seconds for what another thread's call will do."""
        self.check_idle()
        if self.leader == get_ident():  # in a signal handler: nobody would drive the sockets
            deadline = math.inf if timeout is None else monotonic() + timeout
            self._lead_within(gate, lambda gate: gate.is_open or monotonic() >= deadline)
        else:
            gate.wait(timeout)

    def check_idle(self) -> None:
        """Raises InUse while this thread holds the lock, which lets its own thread in; only ``holds_lock`` tells."""
        if self.holds_lock():
            raise InUse(
                "a signal handler, a finalizer (__del__) or a log handler has called a zerorpc.Client while the same "
                "thread was in the middle of sending or receiving with it: have it set a flag and call later, or call "
                "in another thread, or with a client of its own"
            )

    def _lead(self, channel: Any, ready: Callable[[Any], bool], timeout: int) -> bool:
        """Drive the sockets until ``ready(channel)``; False if another thread has taken over meanwhile."""
        while True:
            events = self._poll(timeout)
            with self.lock:
                now = monotonic()
                self._act(events, now)
                if ready(channel):
                    self._resign()
                    return True
                if self.leader != get_ident():
                    return False
                self._lead_until = now + _LEAD_LONGEST
                timeout = self._plan(now)

    def _lead_within(self, channel: Any, ready: Callable[[Any], bool]) -> None:
        """The same for a call in a signal handler that has interrupted this very thread leading: which goes on to."""
        try:
            while True:
                events = self._poll(_WITHIN_MS)
                with self.lock:
                    now = monotonic()
                    self._act(events, now)
                    if ready(channel):
                        return
                    self._plan(now)
        finally:
            with self.lock:
                self.ring()  # what the interrupted poll waits for may have been read here

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
            channel = self._followers.pop()  # the latest: a signal handler's call comes before the interrupted one
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
        if wake is None or wake - now >= _POLL_LONGEST:
            return _POLL_LONGEST_MS
        return max(0, math.ceil((wake - now) * 1000))

    def _poll(self, timeout: int) -> list[tuple[int, int]]:
        """What happens to the sockets within ``timeout`` milliseconds. By the leader, without the lock."""
        try:
            return self._poller.poll(timeout)
        except RuntimeError as error:
            if "concurrent poll" not in str(error):  # a signal handler's
                raise
            # In use: by a call that a signal interrupted, or a leader that was taken for interrupted.
            return self._spare_poller().poll(min(timeout, _WITHIN_MS))

    def _spare_poller(self) -> Poller:
        """Another that polls the same."""
        spare = new_poller()
        with self.lock:
            for link in self.links.values():
                spare.register(link.fileno, READABLE | WRITABLE if link.watched else READABLE)
            for fileno, listener in self._acceptors.items():
                if listener not in self._resting:
                    spare.register(fileno, READABLE)
            if self._bell is not None:
                spare.register(self._bell.fileno(), READABLE)
        return spare

    def _act(self, events: list[tuple[int, int]], now: float) -> None:
        """Read and write what is ready, do what is due. A link whose turn is interrupted (Ctrl-C) can't be trusted."""
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
                link.peer.writable = False  # first: it gets no further calls
                link.closed = True
                link.finish()
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
            self._bell.hush()

    def ring(self) -> None:
        """Make the leader look at what it polls: something was added. With the lock held."""
        if self.leader is not None and self._bell is not None:
            self._bell.ring()

    def _ready_to_wait(self) -> None:
        """What is only needed once something is bound or connected. With the lock held."""
        if self._bell is None:
            self._bell = Bell()
            self._poller.register(self._bell.fileno(), READABLE)
        if self._keeper is None:
            keeper = Keeper(self._look_in, self._keeper_interval)
            self._start_thread(keeper)
            self._keeper = keeper

    def _start_thread(self, thread: threading.Thread) -> None:
        """With the lock held, for which a finalizer that the new thread runs before it has begun would wait for ever:
        ``start`` returns only then.
        """
        owned = self.holds_lock
        self.holds_lock = lambda: owned() or thread.ident == get_ident()
        try:
            thread.start()
        finally:
            self.holds_lock = owned

    # Keeping: by a thread of its own, while nobody waits

    def _look_in(self) -> bool:
        """Heartbeats, answers to PING, workers that connect, and what is left to the keeper; whether that is all."""
        with self.lock:
            while self._deferred:
                self._deferred.popleft()()
            if self.closed:
                return True
            self._wake_resting()
            self.mend()
            if self.leader is not None:
                return False
            now = monotonic()
            self.leader = get_ident()
            self._lead_until = now + _LEAD_LONGEST
            self._plan(now)
        try:
            events = self._poll(0)
            with self.lock:
                self._act(events, monotonic())
        finally:
            with self.lock:
                self._resign()
        return False

    def mend(self) -> None:
        """Finish what an interrupt (Ctrl-C, an alarm) may have left half done in another thread. With the lock held."""
        if self.leader is not None and monotonic() > self._lead_until:
            self.leader = None
            self._promote()
        for link in list(self.links.values()):
            if link.closed:
                link.finish()
            elif link.dialer is not None and link.dialer.closed:
                link.lose(LostRemote("disconnected here"))
        connected = {link.dialer for link in self.links.values() if not link.leaving}
        for dialer in self.dialers.values():
            if dialer not in connected and dialer not in self.dialing:
                self.redial(dialer, 0.0)

    def settle(self, act: Callable[[], None], wait: bool) -> None:
        """Do something with the lock held, for a signal handler or a finalizer, perhaps: if this thread is in the
        middle of something, or another is and this one may not ``wait`` for it, the keeper does it in a moment.
        """
        if not self.holds_lock():
            try:
                if self.lock.acquire(wait):
                    act()
                    return
            except BaseException:  # RecursionError, Ctrl-C
                self._deferred.append(act)
                raise
            finally:  # an interrupt may come before we know that we have it
                if self.holds_lock():
                    self.lock.release()
        self._deferred.append(act)
        if self._keeper is not None:
            self._keeper.nudge()

    def _wake_resting(self) -> None:
        """Accept again where descriptors had run out. With the lock held."""
        for listener in self._resting:
            if listener.fileno() in self._acceptors:
                self._poller.modify(listener.fileno(), READABLE)
                self.ring()
        self._resting.clear()

    # Endpoints

    def _expand(self, endpoint: Any, resolve: bool) -> list[str]:
        if getpid() != forks.pid:
            forks.catch_up()
        self.check_idle()
        if self.stale:
            with self.lock:
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

    def adopt(self, sock: socket.socket, dial: Dial | None = None) -> None:
        """Make a link of a connected socket."""
        try:
            tune(sock)
            sock.setblocking(False)
            with self.lock:
                if self.closed or (dial is not None and not self._is_wanted(dial)):
                    sock.close()
                    return
                link = BlockingLink(self, sock, self.owner.make_peer(), None if dial is None else dial.dialer)
                self.links[link.fileno] = link
                if dial is not None:
                    self.dial_ended(dial)
                self._poller.register(link.fileno, READABLE)
                link.peer.opened(monotonic())
                link.flush()
                self.ring()
        except BaseException:
            sock.close()
            raise

    def _is_wanted(self, dial: Dial) -> bool:
        return self.dialing.get(dial.dialer) is dial and not dial.dialer.closed

    # Listening

    def start_listener(self, listener: Listener) -> None:
        with self.lock:
            self._ready_to_wait()
            self._acceptors[listener.fileno()] = listener
            self._poller.register(listener.fileno(), READABLE)
            self.ring()

    def stop_listener(self, listener: Listener) -> None:
        with self.lock:
            if self._acceptors.pop(listener.fileno(), None) is not None:
                self._poller.unregister(listener.fileno())
            listener.close()

    def _accept(self, listener: Listener) -> None:
        """Take all connections that wait. Out of descriptors, look again when the keeper comes by."""
        try:
            while True:
                sock = listener.accept()
                self.sockets.add(sock)
                self.adopt(sock)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except Exception as error:
            if not isinstance(error, OSError):
                logger.error("accepting at %s failed; it will be tried again", listener.endpoint, raised=error)
            self._poller.modify(listener.fileno(), 0)
            self._resting.append(listener)

    # Connecting

    def start_dialer(self, dialer: Dialer) -> None:
        with self.lock:
            self._ready_to_wait()
            self._start_dialing(dialer, 0.0)

    def redial(self, dialer: Dialer, delay: float) -> None:
        """Connect after ``delay`` seconds, and try until it works. Out of threads, the keeper comes back to it. With
        the lock held.
        """
        with contextlib.suppress(RuntimeError, MemoryError):
            self._start_dialing(dialer, delay)

    def _start_dialing(self, dialer: Dialer, delay: float) -> None:
        dial = self.dialing[dialer] = Dial(self, dialer, delay)
        try:
            self._start_thread(dial)
        except BaseException:
            dial.cancel()
            self.dial_ended(dial)
            raise

    def dial_ended(self, dial: Dial) -> None:
        """A thread connects no more."""
        with self.lock:
            if self.dialing.get(dial.dialer) is dial:
                del self.dialing[dial.dialer]

    def stop_dialer(self, dialer: Dialer) -> None:
        with self.lock:
            if dialer in self.dialing:
                self.dialing[dialer].cancel()
            for link in list(self.links.values()):
                if link.dialer is dialer:
                    link.lose(LostRemote("disconnected here"))
            self.ring()  # the leader may be the one whose call that was

    # The end

    def close(self, reason: Exception) -> None:
        """Close everything. Safe to call twice."""
        with self.lock:
            self.closed = True
            self._close_inherited()
            for dialer in self.dialers.values():
                dialer.closed = True
            for dial in self.dialing.values():
                dial.cancel()
            for listener in self.listeners.values():
                listener.close()
            for link in list(self.links.values()):
                if link.closed:  # and not finished: an interrupt cut that short
                    link.finish()
                else:
                    link.flush()
                    link.lose(reason)
            self.listeners = {}
            self._acceptors.clear()  # the leader may have been told of one just now
            if self._keeper is not None:
                self._keeper.nudge()
            self.ring()
            self._promote()
            if self.leader is None:
                self._close_bell()

    def _close_bell(self) -> None:
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    # Fork

    def forked(self) -> None:
        """In a forked child: let go of what is the parent's, without a word to its peers. Takes no lock: the thread
        that held it may not exist here.
        """
        self.stale = True  # until the first use: many children never use it
        error = LostRemote("the process was forked, and the call is the parent's")
        for link in list(self.links.values()):
            link.closed = True
            link.peer.close(error)
        self._inherited += list(self.sockets)
        self.lead_nowhere()
        self.sockets = weakref.WeakSet()
        self.listeners = {}
        self._close_bell()
        self._set_up()
        self.owner.forked()

    def revive(self) -> None:
        """In a forked child, at the first use: make connections of our own. With the lock held."""
        if not self.stale or self.closed:
            return
        self._close_inherited()
        self._poller = new_poller()  # since the fork gevent may have put its own in place of the system's
        self._ready_to_wait()  # out of descriptors, or of threads: the next use tries again
        self.stale = False
        for dialer in self.dialers.values():
            self.redial(dialer, 0.0)

    def _close_inherited(self) -> None:
        for sock in self._inherited:
            sock.close()
        self._inherited.clear()

    def __repr__(self) -> str:
        return f"<BlockingHub bound={list(self.listeners)} connected={list(self.dialers)} links={len(self.links)}>"
