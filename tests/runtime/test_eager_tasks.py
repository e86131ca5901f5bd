"""What is begun at once sees and does what it would in a task that asyncio made: each scenario is run both ways."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import sys
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeAlias

import pytest

from zerorpc.runtime.eager_tasks import Starter, new_starter
from zerorpc.runtime.loops import new_event_loop

Scenario: TypeAlias = Callable[["Log"], Coroutine[Any, Any, None]]
Log: TypeAlias = list[Any]

LONG = 60.0


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop() if request.param == "asyncio" else new_event_loop()
    yield made
    made.run_until_complete(made.shutdown_asyncgens())
    made.close()


async def ready(loop: asyncio.AbstractEventLoop) -> Starter:
    starter = new_starter(loop)
    await asyncio.sleep(0)  # a spare task takes its own first step
    await asyncio.sleep(0)
    return starter


def outside_of_tasks(loop: asyncio.AbstractEventLoop, act: Callable[[], Any]) -> Awaitable[Any]:
    """``act()`` in a callback of the loop, where requests are read."""
    future = loop.create_future()

    def call() -> None:
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    loop.call_soon(call)
    return future


# What a method may do with its own task; each appends to the log what it sees.


async def waits_for_nothing(log: Log) -> None:
    log.append(asyncio.current_task() is not None)


async def keeps_its_task_over_a_wait(log: Log) -> None:
    before = asyncio.current_task()
    await asyncio.sleep(0)
    log.append(before is asyncio.current_task())


async def names_its_task(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.set_name("mine")
    await asyncio.sleep(0)
    log.append(task.get_name())


async def runs_into_its_own_timeout_at_once(log: Log) -> None:
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(LONG)
    except TimeoutError:
        log.append("timeout")
        await asyncio.sleep(0)
        log.append("goes on")


async def runs_into_wait_for_at_once(log: Log) -> None:
    try:
        await asyncio.wait_for(asyncio.sleep(LONG), 0)
    except TimeoutError:
        log.append("timeout")


async def cancels_itself_and_waits(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    log.append((task.cancel("why"), task.cancelling()))
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError as error:
        log.append((error.args, task.uncancel()))
    await asyncio.sleep(0)
    log.append("goes on")


async def cancels_itself_and_awaits_its_child(log: Log) -> None:
    """A task that is cancelled cancels what it awaits."""
    task = asyncio.current_task()
    assert task is not None
    child = asyncio.create_task(asyncio.sleep(LONG))
    task.cancel("why")
    try:
        await child
    except asyncio.CancelledError as error:
        log.append((error.args, child.cancelled()))


async def cancels_itself_and_shields_its_child(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    child = asyncio.create_task(asyncio.sleep(0, "whole"))
    task.cancel()
    try:
        await asyncio.shield(child)
    except asyncio.CancelledError:
        log.append(await child)


async def cancels_itself_and_yields_once(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append("cancelled")


async def cleans_up_after_a_cancellation(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    try:
        await asyncio.sleep(LONG)
    finally:
        await asyncio.sleep(0)
        log.append("cleaned up")


async def is_in_a_group_whose_member_fails(log: Log) -> None:
    async def fail() -> None:
        raise KeyError("no")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(LONG)
    except* KeyError as errors:
        log.append(len(errors.exceptions))


async def awaits_what_is_done_already(log: Log) -> None:
    done = asyncio.get_running_loop().create_future()
    done.set_result(1)
    log.append(await done)


async def waits_often(log: Log) -> None:
    for n in range(5):
        await asyncio.sleep(0)
        log.append(n)


async def awaits_one_that_fails(log: Log) -> None:
    try:
        await asyncio.gather(waits_often(log), asyncio.wait_for(asyncio.sleep(LONG), 0))
    except TimeoutError:
        log.append("timeout")


async def is_watched(log: Log) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda ended: log.append(("ended", ended is task)))
    log.append("runs")


async def is_watched_while_it_waits(log: Log) -> None:
    await is_watched(log)
    await asyncio.sleep(0)
    log.append("runs on")


SCENARIOS: list[Scenario] = [
    waits_for_nothing,
    keeps_its_task_over_a_wait,
    names_its_task,
    runs_into_its_own_timeout_at_once,
    runs_into_wait_for_at_once,
    cancels_itself_and_waits,
    cancels_itself_and_awaits_its_child,
    cancels_itself_and_shields_its_child,
    cancels_itself_and_yields_once,
    cleans_up_after_a_cancellation,
    is_in_a_group_whose_member_fails,
    awaits_what_is_done_already,
    waits_often,
    awaits_one_that_fails,
    is_watched,
    is_watched_while_it_waits,
]


async def to_its_end(scenario: Scenario, log: Log, ended: asyncio.Event) -> None:
    """As a server's call: whatever is raised ends here."""
    try:
        await scenario(log)
    except BaseException as error:
        log.append(type(error))
    ended.set()


async def as_a_task(scenario: Scenario) -> Log:
    log, ended = [], asyncio.Event()
    task = asyncio.create_task(to_its_end(scenario, log, ended))
    await asyncio.wait([task], timeout=LONG)
    return log


async def begun_at_once(starter: Starter, scenario: Scenario) -> Log:
    log, ended = [], asyncio.Event()

    def begin() -> None:
        task = starter.start(to_its_end(scenario, log, ended), contextvars.copy_context())
        assert (task is None) is ended.is_set()

    await outside_of_tasks(asyncio.get_running_loop(), begin)
    await asyncio.wait_for(ended.wait(), LONG)
    await asyncio.sleep(0)  # done-callbacks
    await asyncio.sleep(0)
    return log


@pytest.mark.parametrize("is_ready", [True, False], ids=["ready", "not ready"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_is_a_task_like_any_other(loop: asyncio.AbstractEventLoop, scenario: Scenario, is_ready: bool) -> None:
    async def main() -> None:
        expected = await as_a_task(scenario)
        starter = await ready(loop) if is_ready else new_starter(loop)
        if sys.version_info >= (3, 12) or is_ready:
            assert await begun_at_once(starter, scenario) == expected
            assert await begun_at_once(starter, waits_for_nothing) == [True]
            assert await begun_at_once(starter, scenario) == expected
        else:
            log, ended = [], asyncio.Event()
            assert starter.start(to_its_end(scenario, log, ended), contextvars.copy_context()) is not None
            await asyncio.wait_for(ended.wait(), LONG)
            await asyncio.sleep(0)
            assert log == expected
        starter.close()

    loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio begins tasks at once itself")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_where_no_task_can_be_shared_each_begins_with_the_next_turn(
    loop: asyncio.AbstractEventLoop, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerorpc.runtime.eager_tasks.task_sharing", lambda: None)

    async def main() -> None:
        starter = await ready(loop)
        log, ended = [], asyncio.Event()
        task = starter.start(to_its_end(scenario, log, ended), contextvars.copy_context())
        assert task is not None
        assert log == []
        await asyncio.wait_for(ended.wait(), LONG)
        await asyncio.sleep(0)
        assert log == await as_a_task(scenario)
        starter.close()

    loop.run_until_complete(main())


def test_several_begun_in_one_turn_are_all_cancelled_in_it(loop: asyncio.AbstractEventLoop) -> None:
    """None is closed instead, whichever of them had taken its first step."""
    log: Log = []

    async def wait(number: int) -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append(number)

    async def main() -> None:
        starter = await ready(loop)

        def begin() -> list[asyncio.Task[None]]:
            tasks = [starter.start(wait(number), contextvars.copy_context()) for number in range(5)]
            begun = [task for task in tasks if task is not None]
            assert len(begun) == len({id(task) for task in begun}) == 5
            loop.call_soon(lambda: [task.cancel() for task in begun])
            return begun

        tasks = await outside_of_tasks(loop, begin)
        await asyncio.wait(tasks, timeout=LONG)
        starter.close()

    loop.run_until_complete(main())
    assert sorted(log) == list(range(5))


# What one call does with its task is no other's


def keeps(task: asyncio.Task[Any], kept: list[Any]) -> None:
    kept.append(task)


def keeps_weakly(task: asyncio.Task[Any], kept: list[Any]) -> None:
    kept.append(weakref.ref(task))


def uses_as_a_key(task: asyncio.Task[Any], kept: list[Any]) -> None:
    kept.append(weakref.WeakKeyDictionary({task: 1}))


def names(task: asyncio.Task[Any], kept: list[Any]) -> None:
    task.set_name("somebody")


def watches(task: asyncio.Task[Any], kept: list[Any]) -> None:
    task.add_done_callback(lambda _: kept.append("ended"))


def cancels(task: asyncio.Task[Any], kept: list[Any]) -> None:
    task.cancel()


def cancels_and_repents(task: asyncio.Task[Any], kept: list[Any]) -> None:
    task.cancel()
    task.uncancel()


@pytest.mark.parametrize("use", [keeps, keeps_weakly, uses_as_a_key, names, watches, cancels, cancels_and_repents])
def test_a_task_that_was_used_is_no_others(
    loop: asyncio.AbstractEventLoop, use: Callable[[asyncio.Task[Any], list[Any]], None]
) -> None:
    """Whatever the first call did with its task: the next one's is new, and ends by itself."""
    kept: list[Any] = []
    seen: list[Any] = []

    async def first() -> None:
        task = asyncio.current_task()
        assert task is not None
        use(task, kept)

    async def second() -> None:
        task = asyncio.current_task()
        assert task is not None
        if kept and isinstance(kept[0], asyncio.Task):
            seen.append(kept[0] is task)
        elif kept and isinstance(kept[0], weakref.ref):
            seen.append(kept[0]() is task)
        elif kept and isinstance(kept[0], weakref.WeakKeyDictionary):
            seen.append(task in kept[0])
        seen.append(task.get_name() == "somebody" or task.cancelling() > 0)
        if kept and isinstance(kept[0], asyncio.Task):
            kept[0].cancel()  # the idiom "cancel the call before": it has ended
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append("ended")

    async def main() -> None:
        starter = await ready(loop)

        async def begin_both() -> None:
            ended = asyncio.Event()

            async def and_tell(work: Coroutine[Any, Any, None]) -> None:
                try:
                    await work
                finally:
                    ended.set()

            def begin() -> None:
                starter.start(first(), contextvars.copy_context())
                starter.start(and_tell(second()), contextvars.copy_context())

            await outside_of_tasks(loop, begin)
            await asyncio.wait_for(ended.wait(), LONG)

        await begin_both()
        starter.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if use is watches:
            assert kept == ["ended"]
        if use is keeps:
            assert kept[0].done()

    loop.run_until_complete(main())
    assert seen[-1] == "ended"
    assert not any(seen[:-1])


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncio begins tasks at once itself")
def test_what_leaves_no_trace_shares_one_task(loop: asyncio.AbstractEventLoop) -> None:
    """That is the point of the spare task: ids are compared while none of them is held."""
    seen: set[int] = set()

    async def look() -> None:
        seen.add(id(asyncio.current_task()))

    async def main() -> None:
        starter = await ready(loop)
        await outside_of_tasks(loop, lambda: [starter.start(look(), contextvars.copy_context()) for _ in range(20)])
        starter.close()

    loop.run_until_complete(main())
    assert len(seen) == 1


def test_what_is_raised_at_once_leaves_it_and_the_next_one_is_begun(loop: asyncio.AbstractEventLoop) -> None:
    async def fail() -> None:
        raise KeyError("no")

    async def main() -> None:
        starter = await ready(loop)
        with pytest.raises(KeyError):
            await outside_of_tasks(loop, lambda: starter.start(fail(), contextvars.copy_context()))
        assert asyncio.current_task() is not None
        assert await begun_at_once(starter, waits_often) == list(range(5))
        starter.close()

    loop.run_until_complete(main())


def test_after_close_no_task_is_left(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        starter = await ready(loop)
        await begun_at_once(starter, waits_often)
        starter.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    loop.run_until_complete(main())


def test_who_cancels_all_tasks_that_there_are_harms_none_that_begins_later(loop: asyncio.AbstractEventLoop) -> None:
    """A spare task is one of them."""

    async def main() -> None:
        starter = await ready(loop)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        for _ in range(3):
            assert await begun_at_once_or_later(starter, waits_often) == list(range(5))
        starter.close()

    loop.run_until_complete(main())


async def begun_at_once_or_later(starter: Starter, scenario: Scenario) -> Log:
    log, ended = [], asyncio.Event()
    begin = functools.partial(starter.start, to_its_end(scenario, log, ended), contextvars.copy_context())
    await outside_of_tasks(asyncio.get_running_loop(), begin)
    await asyncio.wait_for(ended.wait(), LONG)
    return log
