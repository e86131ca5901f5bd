"""Calls made on purpose: as many at once as asked for, or as many a second, and what became of them.

Two kinds of load:
- Closed loop: each of N callers makes its next call when its last one is answered. It finds out how much a service
  can do, but a service that is slow is asked less, so that few calls see its worst moments.
- Open loop, with a rate: when each call is due is fixed beforehand, and its latency counts from then, whether it could
  be sent then or not. So a service that stands still for a second is charged with all that were due in that second.

All times are nanoseconds of `time.perf_counter_ns`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from zerorpc.cli.alarm import Alarm
from zerorpc.cli.latency import Histogram
from zerorpc.cli.printing import one_line
from zerorpc.errors import RemoteError, SerializationError

SECOND = 1_000_000_000
PROGRESS_EVERY = 0.5  # seconds
GRACE = 5.0  # seconds that calls under way get after the end: the slowest are those that a report must not lack
KINDS_KEPT = 20  # of errors: a service may put anything into their names, and memory has to stay bounded
LONGEST_KIND, LONGEST_MESSAGE = 200, 1000  # characters
OTHER_ERRORS = "other errors"

# Results that are no streams for certain; asking an abstract base class about each would take longer.
VALUES = frozenset({type(None), bool, int, float, str, bytes, list, dict})

MakeCall = Callable[[], Awaitable[object]]


class Failures(NamedTuple):
    """Calls that failed in one way: how many, and what the first one said."""

    calls: int
    first: str


class Tally:
    """What became of the calls that were due between `begin` and `until`."""

    def __init__(self, begin: int, until: int) -> None:
        self.begin = begin
        self.until = until
        self.last = 0  # when the last of them ended
        self.latency: Histogram = Histogram()  # of those answered; of a stream, until its first item
        self.lateness: Histogram = Histogram()  # how long after it was due a call was sent; open loop only
        self.items = 0
        self.streams = 0
        self.failures: dict[str, Failures] = {}

    def failed(self, error: BaseException) -> None:
        """Count an error by its kind."""
        kind = str(error.name)[:LONGEST_KIND] if isinstance(error, RemoteError) else type(error).__name__
        if kind not in self.failures and len(self.failures) >= KINDS_KEPT:
            kind = OTHER_ERRORS
        calls, first = self.failures.get(kind, (0, _message(error)))
        self.failures[kind] = Failures(calls + 1, first)

    @property
    def errors(self) -> int:
        """How many calls failed."""
        return sum(kind.calls for kind in self.failures.values())

    @property
    def seconds(self) -> float:
        """How long it all took, until the answer to the last call."""
        return (max(self.until, self.last) - self.begin) / SECOND


def _message(error: BaseException) -> str:
    text = "; ".join(f"{error.msg}".split("\n")) if isinstance(error, RemoteError) else one_line(error)
    return text[:LONGEST_MESSAGE]


class Load:
    """One measurement. `calls` make one call each, one per connection, and are used in turn.

    At most `concurrency` calls are under way. With `rate` so many calls a second are due; without, that many callers
    make one call after the other. Nothing counts in the first `warmup` seconds, and then all for `seconds`.
    """

    def __init__(
        self, calls: Sequence[MakeCall], concurrency: int, rate: float | None, warmup: float, seconds: float
    ) -> None:
        self.concurrency = concurrency
        self.rate = rate
        self.interrupted: bool = False
        self.unfinished: int = 0  # calls still not answered after the grace
        self.unsent: int = 0  # with a rate: calls that were due, and still not sent at the end
        self.was_full = False  # with a rate: calls were due, and not sent since `concurrency` were under way
        self.cpu: float = 0.0  # cores that this process kept busy
        self._calls = calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._pace: _Pace | None = None
        self._broken: SerializationError | None = None
        self._loop = asyncio.get_running_loop()
        self._stop = self._loop.create_future()
        begin = time.perf_counter_ns()
        self._warm = Tally(begin, begin + int(warmup * SECOND))
        self.tally: Tally = Tally(self._warm.until, self._warm.until + int(seconds * SECOND))

    async def run(self, progress: Callable[[Load], None] | None = None) -> None:
        """Make the calls, until the time is over or `interrupt`; tell `progress` now and then.

        Raises SerializationError for arguments that can't be sent. What else calls raise is counted.
        """
        try:
            self._begin()
            await self._wait_until(self._warm, progress)
            cpu_before = time.process_time()
            await self._wait_until(self.tally, progress)
            if self._pace is not None and not self.interrupted:
                self._pace.send_due()  # for the last time
            measured = self.tally.until - self.tally.begin  # below 0 if it was ended before it began
            self.cpu = (time.process_time() - cpu_before) * SECOND / measured if measured > 0 else 0.0
        finally:
            if self._pace is not None:
                self.unsent = self._pace.close()
            await self._finish()
        if self._broken is not None:
            raise self._broken

    def interrupt(self) -> None:
        """End at once; what was measured so far stands."""
        self.interrupted = True
        self._end()
        for task in self._tasks:
            task.cancel()

    def tally_at(self, due: int) -> Tally | None:
        """Where a call counts that is due then; None when it is over."""
        if due < self._warm.until:
            return self._warm
        return self.tally if due < self.tally.until else None

    # Calls

    def _begin(self) -> None:
        if self.rate is not None:
            self._pace = _Pace(self, self._calls, self.rate, self._warm.begin)
            self._pace.send_due()
            return
        for _, call in zip(range(self.concurrency), itertools.cycle(self._calls), strict=False):
            self.start(self._caller(call))

    async def _caller(self, call: MakeCall) -> None:
        """A caller of the closed loop."""
        clock = time.perf_counter_ns
        while (tally := self.tally_at(now := clock())) is not None:
            await self.measure(call, now, tally)

    async def measure(self, call: MakeCall, due: int, tally: Tally) -> None:
        """One call, whose latency counts from when it was due."""
        try:
            result = await call()
            tally.last = now = time.perf_counter_ns()
            if type(result) not in VALUES and isinstance(result, AsyncIterator):
                await self._read(result, due, tally)
            else:
                tally.latency.record(now - due)
        except SerializationError as error:
            self._broken = error  # it would be the same for every call
            self._end()
        except Exception as error:
            tally.last = time.perf_counter_ns()
            tally.failed(error)
            await asyncio.sleep(0)  # a call may fail without ever waiting

    async def _read(self, stream: Any, due: int, tally: Tally) -> None:
        """Read a stream to its end, or to the end of the tally's time: some streams have no other."""
        clock = time.perf_counter_ns
        items = 0
        tally.streams += 1
        async with contextlib.aclosing(stream):
            async for _ in stream:
                now = clock()
                if now >= tally.until:
                    break
                if not items:
                    tally.latency.record(now - due)
                items += 1
                tally.items += 1
        tally.last = clock()
        if not items:
            tally.latency.record(tally.last - due)  # an empty one: its end was the answer

    def start(self, coroutine: Coroutine[object, None, None]) -> None:
        """Let it run by itself, until the end of all."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._pace is not None and self._pace.is_behind:
            self._pace.send_due()

    @property
    def under_way(self) -> int:
        """How many calls, or callers."""
        return len(self._tasks)

    # Time

    async def _wait_until(self, tally: Tally, progress: Callable[[Load], None] | None) -> None:
        while (rest := tally.until - time.perf_counter_ns()) > 0:
            await asyncio.wait([self._stop], timeout=min(PROGRESS_EVERY, rest / SECOND))
            if progress is not None:
                progress(self)

    def _end(self) -> None:
        now = time.perf_counter_ns()
        for tally in (self._warm, self.tally):
            tally.begin = min(tally.begin, now)
            tally.until = min(tally.until, now)
        if not self._stop.done():
            self._stop.set_result(None)

    async def _finish(self) -> None:
        """Wait a little for the calls under way, and leave the others."""
        left = self._tasks
        if left:
            _, left = await asyncio.wait(left, timeout=GRACE)
        self.unfinished = len(left)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class _Pace:
    """Sends the calls of the open loop when they are due."""

    def __init__(self, load: Load, calls: Sequence[MakeCall], rate: float, begin: int) -> None:
        self.is_behind = False  # calls are due, and wait for others to end
        self._load = load
        self._calls = itertools.cycle(calls)
        self._begin = begin
        self._interval = SECOND / rate
        self._sent = 0
        self._alarm = Alarm(self.send_due)

    def send_due(self) -> None:
        """Send what is due, as far as the limit goes, and come back for the next."""
        load = self._load
        if self.is_behind and time.perf_counter_ns() >= load.tally.until:
            return  # it is over, and what still waits was not sent in time
        while True:
            due = self._begin + int(self._sent * self._interval)
            late = time.perf_counter_ns() - due
            tally = load.tally_at(due)
            if late < 0 or tally is None:
                self.is_behind = False
                break
            if load.under_way >= load.concurrency:
                self.is_behind = True
                load.was_full |= tally is load.tally
                return
            if not self.is_behind:
                tally.lateness.record(late)
            self._sent += 1
            load.start(load.measure(next(self._calls), due, tally))
        if tally is not None:
            self._alarm.set(-late / SECOND)

    def close(self) -> int:
        """Send nothing more; how many calls were due all the same."""
        self._alarm.close()
        self.is_behind = False
        until = self._load.tally.until
        return max(0, math.ceil((until - self._begin) / self._interval) - self._sent)
