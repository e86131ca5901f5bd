"""A clock that only a test moves: what zerorpc waits for happens when it is moved, and not before."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.service.running import PATIENCE, eventually, once, run
from tests.testing.services import Cooler


@pytest.fixture
def clock() -> zerorpc.testing.Clock:
    return zerorpc.testing.Clock()


@pytest.fixture
def cooler() -> Iterator[Cooler]:
    service = Cooler()
    yield service
    service.blocked.set()


def test_it_stands_still_until_it_is_moved(clock: zerorpc.testing.Clock) -> None:
    before = clock.time()
    assert clock.time() == before
    clock.advance(2.5)
    clock.advance(0)
    assert clock.elapsed == 2.5
    assert clock.time() == pytest.approx(before + 2.5)
    assert repr(clock) == "<Clock elapsed=2.5>"


def test_what_is_due_at_the_very_end_of_a_move_is_due_whenever_the_clock_was_made(cooler: Cooler) -> None:
    """Its time begins anywhere, so sums of it are rounded, up or down: most where they pass a power of two."""
    made = 6000.0
    for _ in range(16):
        made = math.nextafter(made, math.inf)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("zerorpc.testing.clock.monotonic", lambda made=made: made)
            clock = zerorpc.testing.Clock()
        with zerorpc.testing.client({"sleep": clock.sleep, "blocks": cooler.blocks}, clock=clock) as client:
            slept = client.sleep(2700, timeout=3600, async_=True)
            late = client.blocks(timeout=2700.1, async_=True)
            clock.advance(2640)
            assert not slept.ready()
            clock.advance(60)
            assert slept.get(timeout=PATIENCE) is None
            assert not late.ready()
            clock.advance(0.1)
            with pytest.raises(zerorpc.TimeoutExpired, match="2700"):
                late.get(timeout=PATIENCE)
        assert clock.elapsed == 2700.1


@pytest.mark.parametrize(("seconds", "error"), [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)])
def test_what_is_no_time(clock: zerorpc.testing.Clock, seconds: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        clock.advance(seconds)
    assert clock.elapsed == 0


@pytest.mark.parametrize("method", ["blocks", "hangs"])
def test_a_call_is_late_when_the_clock_says_so(clock: zerorpc.testing.Clock, cooler: Cooler, method: str) -> None:
    with zerorpc.testing.client(cooler, clock=clock) as client:
        result = client(method, timeout=3600, async_=True)
        clock.advance(3599)
        assert not result.ready()
        clock.advance(1.1)
        with pytest.raises(zerorpc.TimeoutExpired, match="3600"):
            result.get()


def test_a_method_may_take_an_hour(clock: zerorpc.testing.Clock) -> None:
    with zerorpc.testing.client({"work": lambda: clock.advance(3600)}, clock=clock) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client.work()
        assert client.work(timeout=None) is None  # begins while the first one still works
        assert clock.elapsed == 7200


def test_so_may_a_coroutine(clock: zerorpc.testing.Clock) -> None:
    with zerorpc.testing.client({"work": lambda: clock.async_advance(3600)}, clock=clock) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client.work()
        assert client.work(timeout=None) is None


def test_heartbeats_go_on_however_long_a_call_takes(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    with zerorpc.testing.client(cooler, clock=clock) as client:
        result = client.blocks(timeout=None, async_=True)
        clock.advance(2_000)
        assert not result.ready()
        cooler.blocked.set()
        assert result.get() == "at last"


def test_a_service_may_sleep_by_it(clock: zerorpc.testing.Clock) -> None:
    events: list[Any] = []

    async def sleeps(seconds: float) -> None:
        await clock.sleep(seconds)
        events.append((seconds, clock.elapsed))

    with zerorpc.testing.client({"sleeps": sleeps}, clock=clock) as client:
        results = [client.sleeps(seconds, timeout=None, async_=True) for seconds in (20, 10, 30)]
        clock.advance(0)
        eventually(lambda: len(clock._timers) >= 3)
        clock.advance(25)
        assert events == [(10, 10), (20, 20)]
        clock.advance(5)
        for result in results:
            result.get()
    assert events[2] == (30, 30)


def test_waiting_for_a_turn_goes_by_the_clock(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    server = zerorpc.Server(cooler, pool_size=1, max_wait=10)
    with zerorpc.testing.client(server, clock=clock) as client:
        first = client.blocks(timeout=None, async_=True)
        assert cooler.begun.wait(PATIENCE)
        second = client.add(1, 2, timeout=None, async_=True)
        clock.advance(11)
        cooler.blocked.set()
        assert first.get() == "at last"
        with pytest.raises(zerorpc.ServerOverloaded):
            second.get()


def test_streams_have_deadlines_by_the_clock(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    with zerorpc.testing.client(cooler, clock=clock) as client:
        whole = zerorpc.options(client, deadline=60).acount(10**9)
        assert next(whole) == 0
        clock.advance(61)
        with pytest.raises(zerorpc.TimeoutExpired, match="60"):
            for _ in whole:
                pass

        patient = zerorpc.options(client, timeout=None, item_timeout=30)
        stream = patient.drips()
        assert next(stream) == "drop"
        waits = (lambda: stream._reader is not None), lambda: clock.advance(31)
        waiting = threading.Thread(target=once, args=waits)
        waiting.start()
        with pytest.raises(zerorpc.TimeoutExpired, match="30"):
            next(stream)
        waiting.join(PATIENCE)
        assert client.add(a=1, b=2) == 3


def test_several_clients_and_a_stream_live_by_one_clock(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    with zerorpc.testing.client(cooler, clock=clock) as one, zerorpc.testing.client(cooler, clock=clock) as other:
        stream = one.acount(10**6)
        assert next(stream) == 0
        late = [client.blocks(timeout=5, async_=True) for client in (one, other)]
        clock.advance(6)
        for result in late:
            with pytest.raises(zerorpc.TimeoutExpired):
                result.get()
        assert [next(stream) for _ in range(300)] == list(range(1, 301))
        stream.close()


def test_another_thread_may_move_it(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    def later() -> None:
        assert cooler.begun.wait(PATIENCE)
        clock.advance(31)

    with zerorpc.testing.client(cooler, clock=clock) as client:
        thread = threading.Thread(target=later)
        thread.start()
        with pytest.raises(zerorpc.TimeoutExpired):
            client.hangs()
        thread.join(PATIENCE)


def test_coroutines_await_its_moves(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    async def calls() -> None:
        async with zerorpc.testing.async_client(cooler, clock=clock) as client:
            late = asyncio.ensure_future(client.hangs(timeout=30))
            patient = asyncio.ensure_future(client.hangs(timeout=None))
            await clock.async_advance(29)
            assert not late.done()
            await clock.async_advance(1.1)
            with pytest.raises(zerorpc.TimeoutExpired):
                await late
            await clock.async_advance(2_000)
            assert not patient.done()
            assert cooler.cancelled == ["hangs"]
            with pytest.raises(RuntimeError, match="async_advance"):
                clock.advance(1)
            patient.cancel()

    run(calls())
    assert clock.elapsed == pytest.approx(2_030.1)


def test_a_thread_moves_the_clock_of_coroutines(clock: zerorpc.testing.Clock) -> None:
    async def calls() -> list[float]:
        async def sleeps(seconds: float) -> float:
            await clock.sleep(seconds)
            return clock.elapsed

        service = {"work": lambda: clock.advance(3600), "sleeps": sleeps}
        async with zerorpc.testing.async_client(service, clock=clock) as client:
            sleepers = [asyncio.ensure_future(client.sleeps(seconds, timeout=None)) for seconds in (20, 10)]
            await clock.async_advance(0)
            with pytest.raises(zerorpc.TimeoutExpired):
                await client.work()
            await asyncio.to_thread(clock.advance, 1)
            return await asyncio.gather(*sleepers)

    assert run(calls()) == [20, 10]
    assert clock.elapsed == 3601


def test_a_coroutine_sleeps_without_a_client(clock: zerorpc.testing.Clock) -> None:
    async def sleeps() -> list[float]:
        woken: list[float] = []

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(clock.elapsed)

        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1, 2)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await clock.async_advance(10)
        await asyncio.gather(tasks[0], tasks[1])
        return woken

    assert run(sleeps()) == [1, 3]


def test_it_keeps_no_client_alive(clock: zerorpc.testing.Clock, cooler: Cooler) -> None:
    with zerorpc.testing.client(cooler, clock=clock) as client:
        assert client.add(1, 2) == 3
    del client
    gc.collect()
    assert not list(clock._timed)
    clock.advance(1000)
