"""Who drives the sockets of a blocking hub: of the threads that wait for something, one leads.

The leader polls the sockets for all, and when it has what it waited for, another takes over. A lone call so never
leaves its thread: it takes 12.8 µs, and a hop to a thread with a loop would add 18 to 27.

A signal handler or a finalizer may come in at any step, and call. While this thread polls, or waits for its turn, that
works. While it holds the lock something is half done, and the call is refused. Whatever raises in here, such as Ctrl-C,
may do so between any two steps. What it leaves half done is put right by this thread's next call, by those who wait
(they look up now and then) and by the keeper.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Protocol, TypeVar

from zerorpc.protocol.channel import Waiter
from zerorpc.runtime import threads
from zerorpc.runtime.cpython import lock_and_owner
from zerorpc.transport.waking import Gate, Turn

__all__ = ["InUse", "Leading"]

_LEAD_LONGEST = 1.5  # s after which a leader that didn't look up must have been interrupted
_LOOK_UP = 0.25  # s after which a follower looks whether there is still a leader
WITHIN_MS = 50  # ms that a signal handler's call polls at a time: what it waits for another thread may have read


class InUse(RuntimeError):
    """Refused for what is just being done in the same thread, or with the same stream; nothing was changed."""


class Waits(Protocol):
    """What a thread waits for. ``waiter`` is what it then waits on, None if there is no such thread."""

    waiter: Waiter | None


T = TypeVar("T")
W = TypeVar("W", bound=Waits)


class Drive(Protocol):
    """What a leader does in each turn: plan, then poll without the lock, then act."""

    def plan(self, now: float) -> int:
        """For how many milliseconds to poll. With the lock held."""

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        """What happens to the sockets within ``timeout`` milliseconds."""

    def act(self, events: list[tuple[int, int]], now: float) -> None:
        """Read and write what is ready, do what is due. With the lock held."""

    def ring(self) -> None:
        """Make whoever polls look again. With the lock held."""

    def rest(self) -> None:
        """Nobody leads. With the lock held."""


class Leading:
    """The lock that guards all state of a hub, and the threads that wait."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self.set_up()

    def set_up(self) -> None:
        """In a forked child as well: the parent's lock may be held by a thread that doesn't exist here."""
        self.lock: threading.RLock
        self.holds_lock: Callable[[], bool]  # whether this thread does
        self.lock, self.holds_lock = lock_and_owner()
        self._lock_type = type(threading.RLock())
        self.leader: int | None = None  # the thread that polls
        self._lead_until = 0.0  # when it has to have looked up; later than that it must have been interrupted
        self._followers: deque[Waits] = deque()

    def renew_lock(self) -> None:
        """Since the fork gevent may have put its own in place of the system's. Both are held: the old one lets in every
        greenlet of its thread, and so keeps none from what another one has begun, and waits in the middle of.
        """
        if type(threading.RLock()) is not self._lock_type:
            self.lock, self.holds_lock = lock_and_owner()

    def wait(
        self, channel: W, ready: Callable[[W], bool], now: float, begin: Callable[[W, float], None] | None = None
    ) -> None:
        """Block until ``ready(channel)``, driving the sockets if no other thread does. ``now`` is about now.

        ``begin(channel, now)`` is called first, with the lock held: a lock section less than if the caller did it.
        """
        if self.holds_lock():
            self.check_idle()
        me = get_ident()
        while True:
            turn: Turn | None = None
            timeout = 0
            leads = False
            try:
                with self.lock:
                    if begin is not None:
                        begin(channel, now)
                        begin = None
                    if ready(channel):
                        self.promote()
                        return
                    if self.leader is None or now > self._lead_until:  # interrupted before
                        leads = True
                        self.leader = me
                        self._lead_until = now + _LEAD_LONGEST
                        timeout = self._drive.plan(now)
                    elif self.leader != me:
                        turn = channel.waiter = Turn()
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

    def _lead(self, channel: W, ready: Callable[[W], bool], timeout: int) -> bool:
        """Drive the sockets until ``ready(channel)``; False if another thread has taken over meanwhile."""
        drive = self._drive
        while True:
            events = drive.poll(timeout)
            with self.lock:
                now = monotonic()
                drive.act(events, now)
                if ready(channel):
                    self._resign()
                    return True
                if self.leader != get_ident():
                    return False
                self._lead_until = now + _LEAD_LONGEST
                timeout = drive.plan(now)

    def _lead_within(self, thing: T, ready: Callable[[T], bool]) -> None:
        """The same for a call in a signal handler that has interrupted this very thread leading: which goes on to."""
        drive = self._drive
        try:
            while True:
                events = drive.poll(WITHIN_MS)
                with self.lock:
                    now = monotonic()
                    drive.act(events, now)
                    if ready(thing):
                        return
                    drive.plan(now)
        finally:
            with self.lock:
                drive.ring()  # what the interrupted poll waits for may have been read here

    def keep(self, goes_on: Callable[[], bool], longest: int) -> None:
        """Drive the sockets for a moment, unless somebody does, and then as long as ``goes_on()``: the keeper's part.

        It polls for at most ``longest`` milliseconds at a time. ``goes_on`` is asked with the lock held.
        """
        drive, me = self._drive, get_ident()
        with self.lock:
            if self.leader is not None:
                return
            now = monotonic()
            self.leader = me
            self._lead_until = now + _LEAD_LONGEST
            timeout = drive.plan(now)
            if not goes_on():
                timeout = 0
        try:
            while True:
                events = drive.poll(min(timeout, longest))
                with self.lock:
                    now = monotonic()
                    drive.act(events, now)
                    if self.leader != me or not goes_on():
                        return
                    self._lead_until = now + _LEAD_LONGEST
                    timeout = drive.plan(now)
        finally:
            with self.lock:
                if self.leader == me:
                    self._resign()

    def mend(self) -> None:
        """Replace a leader that must have been interrupted. With the lock held."""
        if self.leader is not None and monotonic() > self._lead_until:
            self.leader = None
            self.promote()

    def _follow(self, channel: Waits, turn: Turn) -> None:
        """Wait until the leader has something for the channel, or it is this thread's turn to lead."""
        try:
            turn.wait(_LOOK_UP)
        finally:
            with self.lock:
                self._unfollow(channel)

    def _unfollow(self, channel: Waits) -> None:
        channel.waiter = None
        if channel in self._followers:
            self._followers.remove(channel)

    def _resign(self) -> None:
        """Lead no more. With the lock held."""
        if self.leader == get_ident():  # it may have been taken over
            self.leader = None
        if self._followers:
            self.promote()
        self._drive.rest()

    def promote(self) -> None:
        """Let a waiting thread lead, if nobody does. With the lock held."""
        while self._followers and self.leader is None:
            channel = self._followers.pop()  # the latest: a signal handler's call comes before the interrupted one
            if channel.waiter is not None:
                self.wake(channel)
                return

    def wake(self, channel: Waits) -> None:
        """The channel's thread has something to look at. With the lock held."""
        waiter = channel.waiter
        if waiter is not None:
            channel.waiter = None
            waiter.set_result(None)

    def start_thread(self, thread: threading.Thread) -> None:
        """With the lock held, for which a finalizer that the new thread runs before it has begun would wait for ever:
        ``start`` returns only then.
        """
        owned = self.holds_lock
        self.holds_lock = lambda: owned() or (thread.ident == get_ident() and not thread.is_alive())
        try:
            threads.start(thread)
        finally:
            self.holds_lock = owned
