"""The alarm clock, on both of its works."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator

import pytest

from zerorpc.cli.alarm import Alarm


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """pytest's time limit is this very timer: it has to go on afterwards."""
    handler, (delay, _) = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    yield
    assert signal.getsignal(signal.SIGALRM) is handler
    assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) is bool(delay)


async def rings_twice() -> None:
    rang = asyncio.Event()
    with contextlib.closing(Alarm(rang.set)) as alarm:
        for _ in range(2):
            alarm.set(0.001)
            await rang.wait()
            rang.clear()


async def is_silent_after_close() -> None:
    rang = asyncio.Event()
    alarm = Alarm(rang.set)
    alarm.set(0.0)
    alarm.close()
    alarm.close()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(rang.wait(), 0.01)


@pytest.mark.parametrize("check", [rings_twice, is_silent_after_close])
def test_by_signal(check: type) -> None:
    asyncio.run(check())


@pytest.mark.parametrize("check", [rings_twice, is_silent_after_close])
def test_by_the_loop_s_timer_in_another_thread(check: type) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(check())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failed == []


def test_a_later_setting_takes_the_place_of_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGALRM")  # as on Windows

    async def main() -> int:
        rings = 0

        def ring() -> None:
            nonlocal rings
            rings += 1
            rang.set()

        rang = asyncio.Event()
        with contextlib.closing(Alarm(ring)) as alarm:
            alarm.set(0.0)
            alarm.set(0.001)
            await rang.wait()
        return rings

    try:
        assert asyncio.run(main()) == 1
    finally:
        monkeypatch.undo()
