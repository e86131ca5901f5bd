"""The loop of a Puller's coroutine methods: begun when needed, ended with all that was left on it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import signal
import threading
from typing import Any

import pytest

from tests.service.running import PATIENCE, raising_on
from zerorpc.one_way.method_loop import MethodLoop


def test_what_is_run_sees_this_threads_context_in_another_thread() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(1)

    async def look() -> tuple[int, str]:
        await asyncio.sleep(0)
        seen = variable.get()
        variable.set(2)
        return seen, threading.current_thread().name

    loop = MethodLoop()
    try:
        assert [loop.run(look()) for _ in range(2)] == [(1, "zerorpc-methods")] * 2
        with pytest.raises(ZeroDivisionError):
            loop.run(fail())
    finally:
        loop.close()
    assert variable.get() == 1


async def fail() -> None:
    raise ZeroDivisionError


def test_a_timeout_of_what_is_run_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.one_way.method_loop.GLANCE", 0.001)

    async def late(error: BaseException | None) -> str:
        await asyncio.sleep(0.02)
        if error is not None:
            raise error
        return "late"

    loop = MethodLoop()
    try:
        assert loop.run(late(None)) == "late"
        for kind in (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError):
            with pytest.raises(kind, match="its own"):
                loop.run(late(kind("its own")))
    finally:
        loop.close()


def test_the_end_cancels_tasks_and_closes_generators_and_may_come_twice() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.append("task")

    async def generate() -> Any:
        try:
            yield 1
            yield 2
        finally:
            ended.append("generator")

    kept: list[Any] = []

    async def begin() -> None:
        kept.extend((asyncio.ensure_future(background()), generate()))
        await anext(kept[1])

    loop = MethodLoop()
    loop.close()
    loop.run(begin())
    loop.close()
    loop.close()
    assert ended == ["task", "generator"]
    assert not [thread for thread in threading.enumerate() if thread.name == "zerorpc-methods"]


def test_ctrl_c_cancels_what_is_run() -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        interrupt()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            cancelled.set()

    loop = MethodLoop()
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        with pytest.raises(KeyboardInterrupt):
            loop.run(wait())
    loop.close()  # if it came just before there was a task to cancel
    assert cancelled.is_set()


def test_tasks_that_refuse_to_end_keep_it_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.one_way.method_loop._END", 0.01)
    release = threading.Event()

    kept: list[Any] = []

    async def refuse() -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)

    async def begin() -> None:
        kept.append(asyncio.ensure_future(refuse()))
        await asyncio.sleep(0)

    loop = MethodLoop()
    loop.run(begin())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "zerorpc-methods"]
    loop.close()
    assert thread.is_alive()
    release.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_out_of_threads_it_raises_and_the_next_run_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def answer() -> int:
        return 1

    loop = MethodLoop()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            loop.run(answer())
    assert loop.run(answer()) == 1
    loop.close()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_task_that_ends_a_loop_ends_not_this_one(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Such as one that parses arguments: a loop lets out what no task is to catch."""

    async def exits() -> None:
        raise error

    async def awaits_a_task() -> None:
        await asyncio.wait_for(asyncio.create_task(exits()), PATIENCE)

    async def leaves_a_task() -> str:
        task = asyncio.create_task(exits())
        await asyncio.wait([task])
        task.exception()
        return "done"

    loop = MethodLoop()
    try:
        with pytest.raises(type(error)):
            loop.run(awaits_a_task())
        assert loop.run(leaves_a_task()) == "done"
        assert loop.run(asyncio.sleep(0, "the next")) == "the next"
    finally:
        loop.close()
    assert {record.message for record in caplog.records} == {"a task of a method's raised"}


def test_a_task_that_exits_as_it_is_cancelled_leaves_the_others_their_end() -> None:
    ended: list[str] = []

    async def exits() -> None:
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            raise SystemExit(3)

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            await asyncio.sleep(0.001)
            ended.append("cleaned up")

    async def begin() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(exits()), asyncio.create_task(cleans_up())]
        await asyncio.sleep(0)
        return tasks

    loop = MethodLoop()
    tasks = loop.run(begin())
    loop.close()
    assert ended == ["cleaned up"]
    assert all(task.done() for task in tasks)


def test_a_method_that_stops_the_loop_stops_no_other() -> None:
    async def stop() -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        return "stopped"

    loop = MethodLoop()
    try:
        assert loop.run(stop()) == "stopped"
        assert loop.run(asyncio.sleep(0.001, "the next")) == "the next"
    finally:
        loop.close()
