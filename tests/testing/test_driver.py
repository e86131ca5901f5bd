"""A loop that has no thread of its own: who waits makes it turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.running import PATIENCE, run
from zerorpc.testing import driver as module
from zerorpc.testing.driver import Driver


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()
    made.close()
    assert repr(made) == "<Driver closed>"


def test_it_turns_in_the_thread_that_waits(driver: Driver) -> None:
    threads: list[int] = []
    driver.loop.call_soon(lambda: (threads.append(threading.get_ident()), driver.wake()))
    driver.wait(PATIENCE)
    assert threads == [threading.get_ident()]
    assert repr(driver) == "<Driver idle>"


def test_work_is_done_to_its_end(driver: Driver) -> None:
    async def work() -> str:
        driver.wake()  # which stops the loop
        await asyncio.sleep(0.001)
        return "done"

    assert driver.complete(work()) == "done"

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        driver.run(fail)


def test_inside_of_another_loop_another_thread_turns_it(driver: Driver) -> None:
    async def work() -> int:
        return threading.get_ident()

    async def fails() -> None:
        raise KeyError("x")

    async def outside() -> Any:
        with pytest.raises(KeyError):
            driver.complete(fails())
        return driver.complete(work())

    assert run(outside()) != threading.get_ident()


def test_a_coroutine_of_its_own_is_refused(driver: Driver) -> None:
    async def work() -> None:
        with pytest.raises(RuntimeError, match="wait for itself"):
            driver.wait(1)
        with pytest.raises(RuntimeError, match="await"):
            driver.run(lambda: None)

    driver.complete(work())


def test_who_works_goes_before_who_waits(driver: Driver) -> None:
    over = threading.Event()

    def wait() -> None:
        while not over.is_set():
            driver.wait(PATIENCE)

    waiting = threading.Thread(target=wait)
    waiting.start()
    done: list[int] = []
    for number in range(50):
        driver.run(lambda number=number: done.append(number))  # type: ignore[misc]
    over.set()
    driver.wake()
    waiting.join(PATIENCE)
    assert done == list(range(50))


def test_a_coroutine_that_keeps_the_loop_is_reported(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STUCK", 0.01)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        release.wait(PATIENCE)

    holding = threading.Thread(target=driver.run, args=(hold,))
    holding.start()
    assert held.wait(PATIENCE)
    assert repr(driver) == "<Driver turning>"
    with pytest.raises(RuntimeError, match="has kept its event loop"):
        driver.run(lambda: None)
    release.set()
    holding.join(PATIENCE)


def test_what_still_runs_is_cancelled_at_the_end(driver: Driver) -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def begin() -> None:
        driver.task = asyncio.ensure_future(forever())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    driver.complete(begin())
    driver.close()
    assert ended == ["task"]
    driver.wake()
    with pytest.raises(module.Over):
        driver.run(lambda: None)
