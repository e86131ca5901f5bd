"""What blocks an event loop: found by name, with its stack, on each kind of loop, and not where nothing does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvloop

import zerorpc
from tests.service.running import PATIENCE, TCP, eventually, eventually_async, joined, run
from zerorpc.server.loop_watch import LoopWatch

LONG = 0.3  # s; a busy machine keeps the watching thread waiting too
STATUS = "_zerorpc_status"
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@contextlib.contextmanager
def turning(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs on a thread of its own."""
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def watched(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[tuple[asyncio.AbstractEventLoop, LoopWatch]]:
    with turning(new_loop) as loop:
        watch = LoopWatch(loop)
        loop.call_soon_threadsafe(watch.start)
        eventually(lambda: watch._resting is not None)
        try:
            yield loop, watch
        finally:
            loop.call_soon_threadsafe(watch.close)
        eventually(watch._over.is_set)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_what_runs_longer_than_a_turn_may_take(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    over = threading.Event()

    def compute() -> None:
        inner()

    def inner() -> None:
        over.wait(PATIENCE)

    with watched(new_loop) as (loop, watch):
        loop.call_soon_threadsafe(compute)
        eventually(lambda: watch.blocked)
        (blocked,) = watch.blocked
        before = blocked.seconds
        eventually(lambda: blocked.seconds > before, "it lasts")
        over.set()
        eventually(lambda: watch._stall is None)
        assert len(watch.blocked) == 1, "and is told of once"
        assert blocked.method is None
        assert functions_in(blocked.stack)[:3] == ["compute", "inner", "wait"]
        assert 0.05 < blocked.seconds <= watch.lag < PATIENCE
        assert time.time() - PATIENCE < blocked.when < time.time() - before
        assert repr(blocked).startswith("<Blocked by None for ")


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_loop_that_rests_is_not_blocked_however_late_its_timer_is(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """As on a machine that is busy with something else."""
    with watched(new_loop) as (loop, watch):
        looks = 0
        while looks < 20:
            if not watch._frames():  # it just turned, perhaps
                watch.look(time.monotonic() + 10)
                looks += 1
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(PATIENCE)
        assert not [each for each in watch.blocked if each.seconds > 5]


def test_what_was_read_too_late_is_not_told() -> None:
    """The loop has turned on between the look at its clock and that at its stack."""
    watch = LoopWatch(asyncio.new_event_loop())
    watch._due = time.monotonic() - 1
    watch._ident = threading.get_ident()

    def read_late() -> Any:
        frames = LoopWatch._frames(watch)
        watch._due = time.monotonic()
        return frames

    watch._frames = read_late  # type: ignore[method-assign]
    watch.look(time.monotonic())
    assert not watch.blocked
    del watch._frames
    watch._due -= 1
    watch.look(time.monotonic())
    assert len(watch.blocked) == 1
    watch._loop.close()


def functions_in(stack: str) -> list[str]:
    return [row.rpartition(", in ")[2] for row in stack.splitlines() if ", in " in row]


class Robot:
    async def compute(self) -> None:
        _really(LONG)

    async def later(self) -> None:
        await asyncio.sleep(0.001)
        _really(LONG)

    @zerorpc.on_loop
    def quick(self) -> None:
        _really(LONG)

    async def items(self) -> AsyncIterator[int]:
        yield 1
        _really(LONG)
        yield 2

    async def typed(self, n: int) -> None:
        _really(LONG)

    async def starts(self) -> None:
        asyncio.get_running_loop().call_soon(_really, LONG)
        await asyncio.sleep(LONG / 2)

    def plain(self) -> None:
        time.sleep(LONG)


def _really(seconds: float) -> None:
    time.sleep(seconds)


@pytest.mark.parametrize(
    ("method", "args", "named"),
    [
        ("compute", (), "compute"),
        ("later", (), "later"),
        ("quick", (), "quick"),
        ("items", (), "items"),
        ("typed", (1,), "typed"),
        ("starts", (), None),
    ],
)
def test_the_method_that_blocks_a_server(method: str, args: tuple[object, ...], named: str | None) -> None:
    seen: list[dict[str, Any]] = []
    with joined(Robot()) as client:
        client(STATUS)

        def is_seen() -> object:
            answer = client(method, *args)
            if isinstance(answer, zerorpc.Stream):
                list(answer)
            seen.extend(each for each in client(STATUS)["blocked"] if "_really" in each["stack"])
            return seen

        eventually(is_seen, "while it blocks the loop, the watching thread has its turn")
    blocked = seen[0]
    assert blocked["method"] == named
    assert functions_in(blocked["stack"]) == ([named, "_really"] if named else ["_really"])
    assert blocked["seconds"] > LONG / 2


def test_a_method_on_a_thread_blocks_nothing() -> None:
    with joined(Robot()) as client:
        client(STATUS)
        client.plain()
        assert not [each for each in client(STATUS)["blocked"] if each["method"] == "plain"]


def test_a_server_on_asyncios_own_loop() -> None:
    async def act() -> None:
        server = zerorpc.Server(Robot())
        (endpoint,) = server.bind(TCP)
        living = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            while "compute" not in [each["method"] for each in (await client(STATUS))["blocked"]]:
                await client.compute()
        server.stop()
        await living
        await eventually_async(lambda: not [t for t in threading.enumerate() if t.name == "zerorpc-loop-watch"])

    run(act())


def test_the_watching_thread_survives_what_it_meets(caplog: pytest.LogCaptureFixture) -> None:
    with watched(asyncio.new_event_loop) as (loop, watch):
        over = threading.Event()
        failed = threading.Event()

        def fail() -> Any:
            failed.set()
            raise RuntimeError("no frames today")

        watch._frames = fail  # type: ignore[method-assign]
        loop.call_soon_threadsafe(over.wait, PATIENCE)
        eventually(failed.is_set)
        del watch._frames
        eventually(lambda: watch.blocked)
        over.set()
    assert "goes on" in caplog.text
