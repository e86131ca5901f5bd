"""Load on services that are made up, by a clock that only they and the alarm move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from zerorpc.cli import bench_load
from zerorpc.cli.bench_load import KINDS_KEPT, OTHER_ERRORS, SECOND, Load
from zerorpc.errors import LostRemote, RemoteError, SerializationError

MS = 1_000_000  # ns


class Clock:
    """Stands still unless calls or the alarm move it, or, when nobody else will, whoever waits for the end."""

    def __init__(self) -> None:
        self.now = 1000 * MS
        self.is_alarm_set = True

    def read(self) -> int:
        return self.now

    def pass_ms(self, milliseconds: float) -> None:
        self.now += round(milliseconds * MS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    class Alarm:
        """Doesn't wait for the time to pass but lets it."""

        def __init__(self, ring: Callable[[], None]) -> None:
            self._ring = ring
            self._is_open = True

        def set(self, seconds: float) -> None:
            clock.is_alarm_set = True
            asyncio.get_running_loop().call_soon(self._rings, clock.now + round(seconds * SECOND))

        def close(self) -> None:
            self._is_open = False

        def _rings(self, at: int) -> None:
            clock.is_alarm_set = False
            if self._is_open:
                clock.now = max(clock.now, at)
                self._ring()

    monkeypatch.setattr(bench_load, "time", SimpleNamespace(perf_counter_ns=clock.read, process_time=lambda: 0))
    monkeypatch.setattr(bench_load, "Alarm", Alarm)
    monkeypatch.setattr(bench_load, "PROGRESS_EVERY", 0.001)  # of the real time
    monkeypatch.setattr(bench_load, "GRACE", 0.05)  # likewise
    return clock


def measure(
    *calls: Callable[[], Any],
    concurrency: int = 1,
    rate: float | None = None,
    warmup: float = 0.0,
    seconds: float = 0.1,
    progress: Callable[[Load], None] | None = None,
) -> Load:
    def time_passes(load: Load) -> None:
        clock: Clock = bench_load.time.perf_counter_ns.__self__
        if not clock.is_alarm_set and not load.under_way:
            clock.pass_ms(1)

    async def main() -> Load:
        load = Load(calls, concurrency, rate, warmup, seconds)
        await load.run(progress or time_passes)
        return load

    return asyncio.run(main())


def milliseconds(load: Load, percent: float) -> float:
    return load.tally.latency.percentile(percent) / MS


# The closed loop


def test_one_caller_calls_one_after_the_other(clock: Clock) -> None:
    async def call() -> str:
        clock.pass_ms(1)
        return "answer"

    load = measure(call)
    assert load.tally.latency.count == 100
    assert milliseconds(load, 50) == pytest.approx(1, rel=0.004)
    assert (load.tally.seconds, load.tally.errors, load.unfinished) == (0.1, 0, 0)


def test_what_is_due_in_the_warm_up_does_not_count(clock: Clock) -> None:
    async def call() -> None:
        clock.pass_ms(1 if clock.now >= 1050 * MS else 10)

    load = measure(call, warmup=0.05)
    assert (load.tally.latency.count, load.tally.latency.longest) == (100, 1 * MS)


def test_so_many_callers_and_each_connection_has_its_share(clock: Clock) -> None:
    under_way = [0, 0]
    most = [0, 0]

    def connection(number: int) -> Callable[[], Any]:
        async def call() -> None:
            under_way[number] += 1
            most[number] = max(most[number], under_way[number])
            await asyncio.sleep(0)
            under_way[number] -= 1
            clock.pass_ms(1)

        return call

    load = measure(connection(0), connection(1), concurrency=5)
    assert most == [3, 2]
    assert load.tally.latency.count == 104  # the last ones were under way at the end


def test_calls_under_way_at_the_end_get_a_little_time(clock: Clock) -> None:
    async def call() -> None:
        clock.pass_ms(150)

    load = measure(call)
    assert (load.tally.latency.count, load.tally.seconds) == (1, 0.15)


def test_calls_that_never_end_are_left(clock: Clock) -> None:
    async def call() -> None:
        clock.pass_ms(30)
        if clock.now > 1080 * MS:
            clock.pass_ms(30)
            await asyncio.Event().wait()

    load = measure(call)
    assert (load.tally.latency.count, load.unfinished) == (2, 1)


# The open loop


def test_calls_are_due_at_fixed_times(clock: Clock) -> None:
    sent: list[int] = []

    async def call() -> None:
        sent.append(clock.now)

    load = measure(call, concurrency=10, rate=1000)
    assert [time - sent[0] for time in sent] == [number * MS for number in range(100)]
    assert (load.tally.latency.count, load.unsent, load.was_full) == (100, 0, False)


@pytest.mark.parametrize(("concurrency", "was_full"), [(1, True), (200, False)])
def test_waiting_counts_from_when_a_call_was_due(clock: Clock, concurrency: int, was_full: bool) -> None:
    """A service that stands still for 50 ms: whether the limit or the service held the calls up, all 50 pay."""
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 11:
            clock.pass_ms(50)

    load = measure(call, concurrency=concurrency, rate=1000)
    assert load.tally.latency.count == 100
    assert milliseconds(load, 100) == pytest.approx(50, rel=0.004)
    assert (milliseconds(load, 50), milliseconds(load, 51)) == (0, pytest.approx(1, rel=0.004))
    assert load.tally.latency.mean() / MS == pytest.approx(sum(range(51)) / 100, rel=0.004)
    assert load.was_full is was_full


def test_in_the_closed_loop_the_same_service_looks_better(clock: Clock) -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        clock.pass_ms(50 if calls == 11 else 1)

    load = measure(call)
    assert milliseconds(load, 90) == pytest.approx(1, rel=0.004)


def test_a_rate_that_can_not_be_held_is_told(clock: Clock) -> None:
    async def call() -> None:
        clock.pass_ms(4)

    load = measure(call, rate=1000)
    assert load.was_full
    assert 24 <= load.tally.latency.count <= 26
    assert load.tally.latency.count + load.unsent == 100


def test_being_late_oneself_is_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class LateAlarm(bench_load.Alarm):
        def set(self, seconds: float) -> None:
            super().set(seconds + 0.0005)

    monkeypatch.setattr(bench_load, "Alarm", LateAlarm)

    async def call() -> None:
        pass

    load = measure(call, concurrency=10, rate=1000)
    assert load.tally.lateness.percentile(90) / MS == pytest.approx(0.5, rel=0.01)
    assert milliseconds(load, 90) == pytest.approx(0.5, rel=0.01)


def test_with_a_rate_the_warm_up_s_calls_do_not_count(clock: Clock) -> None:
    async def call() -> None:
        pass

    assert measure(call, concurrency=10, rate=1000, warmup=0.05).tally.latency.count == 100


# Streams


class Stream:
    """Items that take 1 ms each; knows whether it was closed."""

    def __init__(self, clock: Clock, length: float) -> None:
        self.clock = clock
        self.left = length
        self.closed = False

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(0)
        self.clock.pass_ms(1)
        if self.left <= 0:
            raise StopAsyncIteration
        self.left -= 1
        return 1

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("length", "streams", "items"), [(4, 20, 80), (float("inf"), 1, 99), (0, 100, 0)])
def test_streams_are_read(clock: Clock, length: float, streams: int, items: int) -> None:
    opened: list[Stream] = []

    async def call() -> Stream:
        opened.append(Stream(clock, length))
        return opened[-1]

    load = measure(call)
    assert (load.tally.streams, load.tally.items, load.tally.latency.count) == (streams, items, streams)
    assert milliseconds(load, 100) == pytest.approx(1, rel=0.004)
    assert all(stream.closed for stream in opened)


def test_an_endless_stream_begins_anew_after_the_warm_up(clock: Clock) -> None:
    async def call() -> Stream:
        return Stream(clock, float("inf"))

    load = measure(call, warmup=0.05)
    assert (load.tally.streams, load.tally.latency.count) == (1, 1)


# Errors


def test_errors_are_counted_by_kind(clock: Clock) -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        clock.pass_ms(1)
        if calls % 10 == 1:
            raise RemoteError("ValueError", f"no\nluck {calls}", None)
        if calls % 10 == 2:
            raise LostRemote("gone")

    load = measure(call)
    assert load.tally.failures == {"ValueError": (10, "no; luck 1"), "LostRemote": (10, "gone")}
    assert (load.tally.errors, load.tally.latency.count) == (20, 80)


def test_only_so_many_kinds_are_kept(clock: Clock) -> None:
    async def call() -> None:
        clock.pass_ms(1)
        raise RemoteError(f"Error{clock.now}", "no", None)

    load = measure(call)
    assert len(load.tally.failures) == KINDS_KEPT + 1
    assert load.tally.failures[OTHER_ERRORS] == (100 - KINDS_KEPT, "no")


@pytest.mark.parametrize("rate", [None, 1000])
def test_arguments_that_can_not_be_sent_end_it(clock: Clock, rate: float | None) -> None:
    def call() -> Any:
        raise SerializationError("the arguments of m can't be sent")

    with pytest.raises(SerializationError, match="of m can't"):
        measure(call, rate=rate, seconds=1000)


# Being told, and ended


@pytest.mark.parametrize("rate", [None, 1])
def test_progress_is_told_and_may_interrupt(clock: Clock, rate: float | None) -> None:
    async def call() -> None:
        clock.pass_ms(1)
        await asyncio.sleep(0 if clock.now < 1010 * MS else 1000)

    def progress(load: Load) -> None:
        if rate or clock.now >= 1010 * MS:  # a loaded machine may be slow to make calls between two of these
            load.interrupt()
            load.interrupt()

    load = measure(call, rate=rate, seconds=1000, progress=progress)
    assert load.interrupted
    assert load.tally.seconds < 1000
    assert load.tally.latency.count >= (0 if rate else 9)
    assert load.unfinished == 0


@pytest.mark.parametrize("rate", [None, 1000])
def test_an_interrupt_before_the_beginning(clock: Clock, rate: float | None) -> None:
    async def call() -> None:
        raise AssertionError("it is over")

    async def main() -> Load:
        load = Load([call], 1, rate, 1, 1)
        load.interrupt()
        await load.run()
        return load

    load = asyncio.run(main())
    assert (load.tally.latency.count, load.tally.errors, load.tally.seconds) == (0, 0, 0)


def test_a_cancelled_measurement_leaves_nothing(clock: Clock) -> None:
    left = []

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("call")

    async def main() -> None:
        load = Load([call], 1, None, 0, 1000)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert left == ["call"]
