"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic
from typing import Protocol, cast

from zerorpc.number_checks import seconds as checked_seconds
from zerorpc.runtime.loops import running_loop

__all__ = ["Clock", "Timed"]

_TURNS = 8  # of a loop that coroutines get to do what a moment of the clock has begun
_SAME = 1e-6  # s by which two sums of the same seconds may differ: floats are rounded, and the start is any number


class Timed(Protocol):
    """An in-process client and its server, which live by a clock."""

    loop: asyncio.AbstractEventLoop

    @property
    def next_wake(self) -> float | None:
        """When it wants to be looked after, for what has no timer on the clock."""

    @property
    def busy(self) -> bool:
        """Whether something has arrived at one of the two that it has not taken."""

    @property
    def progress(self) -> int:
        """How many octets have been taken so far."""

    def look_after(self) -> None:
        """Do what is due, for what has no timer on the clock. In any thread."""

    def run(self, act: Callable[[], None], turns: int, /) -> None:
        """``act()`` on the loop, which then has ``turns`` turns, whichever thread this is.

        RuntimeError in a coroutine, and if the loop is kept from running by one.
        """


class Clock:
    """A clock for in-process clients: it stands still until a test moves it, and then what is due happens, in order.

    ::

        clock = zerorpc.testing.Clock()
        with zerorpc.testing.client(Slow(), clock=clock) as client:
            later = client.work(timeout=30, async_=True)
            clock.advance(31)
            with pytest.raises(zerorpc.TimeoutExpired):
                later.get()

    Given to ``client`` or ``async_client`` it is what zerorpc's own times go by, on both sides: the timeouts of calls,
    deadlines of streams and items, heartbeats, how long a request may wait for its turn (``max_wait``). It doesn't
    touch the program's: ``time.sleep``, ``asyncio.sleep``, ``time.time()`` and ``with zerorpc.deadline(…)`` are as
    ever. What your own code waits for may go by the clock too, if you give it the clock's ``sleep`` and ``time``.

    One clock may serve several clients. Its methods are safe from any thread. A method of the service may move the
    clock as well: that is how it takes an hour.
    """

    def __init__(self) -> None:
        self._start = monotonic()  # as a loop's time: what knows only that is not far off
        self._now = self._start
        self._elapsed = 0.0
        self._target = 0.0  # where to advance to
        self._advancing = False
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)  # told when the clock stands still again
        self._numbers = itertools.count()  # those of the same moment go in the order in which they were set
        self._timers: list[tuple[float, int, _Timer]] = []
        self._timed: weakref.WeakSet[Timed] = weakref.WeakSet()

    @property
    def elapsed(self) -> float:
        """Seconds by which it was advanced so far."""
        return self._elapsed

    def time(self) -> float:
        """The clock's time in seconds, which begins anywhere, as that of ``time.monotonic()`` does."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, stopping at each moment where something is due, and have it happen.

        When it returns all of that has happened: late calls have failed, heartbeats were sent and answered. What your
        own coroutines and threads do next, they do in their own time. If another thread is advancing the clock, it goes
        on for as much longer, and this waits for it.

        Raises TypeError or ValueError for what is no number of seconds from 0, and RuntimeError in a coroutine: there
        it is ``await clock.async_advance(seconds)``.
        """
        if running_loop() is not None:
            raise RuntimeError("in a coroutine: await clock.async_advance(seconds)")
        target, first = self._begin(seconds)
        if not first:
            with self._moved:
                self._moved.wait_for(lambda: self._elapsed >= target or not self._advancing)
            return
        try:
            self._settle_now()  # what has begun before belongs to the time before
            for due in self._moments():
                for loop, timers in _by_loop(due):
                    self._run(loop, timers)
                for each in list(self._timed):
                    _settle(each)
            self._settle_now()
        except BaseException:
            self._give_up()
            raise

    async def async_advance(self, seconds: float) -> None:
        """``advance`` for coroutines. Cancelling it leaves the clock where it was by then."""
        target, first = self._begin(seconds)
        while not first and self._advancing and self._elapsed < target:  # noqa: ASYNC110 - another thread's, perhaps
            await asyncio.sleep(0)
        if not first:
            return
        here = asyncio.get_running_loop()
        try:
            await self._settle_all(here, _TURNS)
            for due in self._moments():
                for loop, timers in _by_loop(due):
                    if loop is here:
                        _fire(timers)
                    else:
                        await asyncio.to_thread(self._run, loop, timers)
                await self._settle_all(here, 2)
            await self._settle_all(here, _TURNS)
        except BaseException:
            self._give_up()
            raise

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep`` by this clock, to be given to a service that waits. Safe to cancel."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        timer = self.call_at(loop, self.time() + _delay(seconds), done.set)
        try:
            await done.wait()
        finally:
            timer.cancel()

    # What lives by it

    def attach(self, timed: Timed) -> None:
        """It is looked after from now on, as long as it is referred to."""
        self._timed.add(timed)

    def detach(self, timed: Timed) -> None:
        self._timed.discard(timed)

    def loop(self, real: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        """The same loop, with this clock's time."""
        return cast("asyncio.AbstractEventLoop", _ClockedLoop(real, self))

    def call_at(self, loop: asyncio.AbstractEventLoop, when: float, act: Callable[[], object]) -> _Timer:
        """``act()`` on the loop when it is ``when``."""
        timer = _Timer(loop, when, act)
        with self._lock:
            heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    # Advancing

    def _begin(self, seconds: float) -> tuple[float, bool]:
        """Where to go, and whether this call is the one to do it, and not another that does already."""
        delay = _delay(seconds)
        with self._lock:
            self._target += delay
            first, self._advancing = not self._advancing, True
            return self._target, first

    def _moments(self) -> Iterator[list[_Timer]]:
        """Be at each moment where something is due, one after the other, up to the target; the timers of each.

        In the end it is at the target, where once more everything is looked after.
        """
        while True:
            with self._lock:
                when, end = self._next_due(), self._start + self._target
                if when > end + _SAME:
                    last = self._elapsed >= self._target
                    self._elapsed, due = self._target, []
                    self._now = max(self._now, end)
                    if last:
                        self._advancing = False
                        self._moved.notify_all()
                        return
                else:
                    self._now = max(self._now, when)  # exactly, or what is due would not find that it is
                    self._elapsed = min(max(self._elapsed, when - self._start), self._target)
                    due = self._take_due()
            yield due

    def _next_due(self) -> float:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        wakes = [when for each in list(self._timed) if (when := each.next_wake) is not None]
        return min([*wakes, self._timers[0][0] if self._timers else inf])

    def _take_due(self) -> list[_Timer]:
        due = []
        while self._timers and self._timers[0][0] <= self._now:
            due.append(heapq.heappop(self._timers)[2])
        return due

    def _give_up(self) -> None:
        with self._lock:
            self._target, self._advancing = self._elapsed, False
            self._moved.notify_all()

    def _run(self, loop: asyncio.AbstractEventLoop, timers: list[_Timer]) -> None:
        for each in list(self._timed):
            if each.loop is loop:
                each.run(lambda: _fire(timers), _TURNS)
                return
        if not loop.is_closed():  # that of somebody who just sleeps
            loop.call_soon_threadsafe(_fire, timers)

    def _settle_now(self) -> None:
        for each in list(self._timed):
            each.run(_nothing, _TURNS)
            _settle(each)

    async def _settle_all(self, here: asyncio.AbstractEventLoop, least: int) -> None:
        """``_settle``, for all; the loop that this runs on has ``least`` turns at least."""
        elsewhere = [each for each in list(self._timed) if each.loop is not here]
        for each in elsewhere:
            await asyncio.to_thread(_settle, each)
        taken: dict[Timed, int] = {}
        turns = 0
        while turns < least:
            await asyncio.sleep(0)
            turns += 1
            for each in list(self._timed):
                if each.loop is here:
                    each.look_after()
                    if each.progress != taken.get(each):
                        taken[each], turns = each.progress, 0

    def __repr__(self) -> str:
        return f"<Clock elapsed={self._elapsed:g}>"


class _Timer:
    """As an event loop's ``TimerHandle``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float, act: Callable[[], object]) -> None:
        self.loop = loop
        self.cancelled: bool = False
        self._when = when
        self._act: Callable[[], object] | None = act

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True
        self._act = None

    def fire(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()


class _ClockedLoop:
    """An event loop whose time is a clock's. Everything else of it is the real one's."""

    def __init__(self, real: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._real = real
        self._clock = clock
        self.time = clock.time

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> _Timer:
        return self._clock.call_at(self._real, when, lambda: callback(*args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> _Timer:
        return self.call_at(self._clock.time() + delay, callback, *args)


def _delay(seconds: float) -> float:
    delay = checked_seconds("seconds", seconds)
    if delay is None or delay < 0:
        raise ValueError(f"a clock goes forward by a number of seconds from 0, not by {seconds}")
    return delay


def _by_loop(timers: list[_Timer]) -> Iterator[tuple[asyncio.AbstractEventLoop, list[_Timer]]]:
    loops = {id(timer.loop): timer.loop for timer in timers}
    for loop in loops.values():
        yield loop, [timer for timer in timers if timer.loop is loop]


def _fire(timers: list[_Timer]) -> None:
    for timer in timers:
        timer.fire()


def _settle(timed: Timed) -> None:
    """Have both sides do what there is to do, until nothing is on its way between them."""
    timed.look_after()
    taken = -1
    while timed.busy and timed.progress != taken:
        taken = timed.progress
        timed.run(_nothing, 2)
        timed.look_after()


def _nothing() -> None: ...
