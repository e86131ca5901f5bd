"""Coroutine methods: their context, their task, and being cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually, eventually_async, joined, serving
from tests.service.services import HEADER, Endless, remote_error
from zerorpc.protocol.events import encode


def test_contextvars_are_each_requests_own_and_last_over_waits() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def keep(n: int) -> list[int]:
        before = variable.get()
        variable.set(n)
        await asyncio.sleep(0)
        middle = variable.get()
        await asyncio.sleep(0)
        return [before, middle, variable.get()]

    async def keep_without_waiting(n: int) -> list[int]:
        before = variable.get()
        variable.set(n)
        return [before, variable.get()]

    async def stream(n: int) -> AsyncIterator[int]:
        yield variable.get()
        variable.set(n)
        await asyncio.sleep(0)
        yield variable.get()

    with joined({"keep": keep, "short": keep_without_waiting, "stream": stream}) as client:
        for n in (1, 2, 3):
            assert client.keep(n) == [0, n, n]
            assert client.short(n) == [0, n]
            assert list(client.stream(n)) == [0, n]


async def _waits_with_timeout(before: bool) -> list[Any]:
    """The task seen before and after the first wait, and what wait_for does about a long one."""
    first = asyncio.current_task()
    if not before:
        await asyncio.sleep(0)
    try:
        await asyncio.wait_for(asyncio.sleep(PATIENCE * 10), 0.01)
    except TimeoutError:
        timed_out = True
    else:
        timed_out = False
    return [first is not None, first is asyncio.current_task(), timed_out]


@pytest.mark.parametrize("before", [True, False])
def test_current_task_and_wait_for_in_a_method(before: bool) -> None:
    with joined({"f": _waits_with_timeout}) as client:
        assert client.f(before) == [True, True, True]
        assert client.f(before) == [True, True, True]


@pytest.mark.parametrize("before", [True, False])
def test_asyncio_timeout_and_task_groups_in_a_method(before: bool) -> None:
    async def slow() -> bool:
        if not before:
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(PATIENCE * 10)
        except TimeoutError:
            return True
        return False

    async def group() -> list[int]:
        if not before:
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(asyncio.sleep(0, n)) for n in range(3)]
        return [task.result() for task in made]

    with joined({"slow": slow, "group": group}) as client:
        for _ in range(3):
            assert client.slow() is True
            assert client.group() == [0, 1, 2]


# Cancelling


def test_a_method_that_cancels_itself_is_answered_and_harms_no_other() -> None:
    def cancel_me() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def without_waiting() -> int:
        cancel_me()
        return 1

    async def before_the_first_wait() -> None:
        cancel_me()
        await asyncio.sleep(PATIENCE)

    async def after_the_first_wait() -> None:
        await asyncio.sleep(0)
        cancel_me()
        await asyncio.sleep(PATIENCE)

    async def fine() -> str:
        await asyncio.sleep(0)
        return "fine"

    methods = [without_waiting, before_the_first_wait, after_the_first_wait, fine]
    with joined({method.__name__: method for method in methods}) as client:
        assert client.without_waiting() == 1
        assert client.fine() == "fine"
        assert remote_error(client.before_the_first_wait).name == "CancelledError"
        assert client.fine() == "fine"
        assert remote_error(client.after_the_first_wait).name == "CancelledError"
        assert client.fine() == "fine"


def test_a_method_that_catches_its_own_cancellation_goes_on() -> None:
    async def f() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            return "caught"
        return "not cancelled"

    with joined({"f": f}) as client:
        assert client.f() == "caught"


@pytest.mark.parametrize("method", ["coroutine", "wrapper", "silent_generator"])
def test_a_method_is_cancelled_when_its_caller_gives_up(method: str) -> None:
    service = Endless()
    with joined(service, heartbeat=None) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client(method, timeout=0.1)
        assert service.ended.wait(PATIENCE)
        assert client._zerorpc_ping()[0] == "pong"


def test_the_generator_that_a_coroutine_returns_ends_with_the_stream_in_its_own_task() -> None:
    tasks: list[Any] = []

    async def numbers() -> AsyncIterator[int]:
        tasks.append(asyncio.current_task())
        try:
            for n in range(10**9):
                yield n
        finally:
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())

    @zerorpc.stream
    async def stream() -> AsyncIterator[int]:
        return numbers()

    with joined({"stream": stream}, heartbeat=None) as client:
        items = client.stream()
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        items.close()
        eventually(lambda: len(tasks) == 2)
    assert tasks[0] is tasks[1]


def test_a_generator_that_catches_its_cancellation_and_yields_is_ended_all_the_same() -> None:
    started, ended = threading.Event(), threading.Event()

    async def stubborn() -> AsyncIterator[int]:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE * 10)
        try:
            while True:
                yield 1
        finally:
            ended.set()

    with serving({"stubborn": stubborn}, heartbeat=None) as server:
        with RawPeer.to(server.endpoints[0]) as peer:
            peer.send(HEADER, "stubborn", [])
            assert started.wait(PATIENCE)
        assert ended.wait(PATIENCE)


def test_a_task_cancelled_before_its_first_step() -> None:
    """Both requests arrive at once: the second cancels what the first, suspended just now, saw as its task."""
    tasks: list[Any] = []

    async def wait() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(PATIENCE * 10)

    async def cancel() -> bool:
        return bool(tasks[0].cancel())

    with serving({"wait": wait, "cancel": cancel}) as server, RawPeer.to(server.endpoints[0]) as peer:
        for number, method in enumerate(["wait", "cancel"]):
            peer.connection.send_message([b"", encode({"message_id": number, "v": 3}, method, [])])
        peer.sock.sendall(b"".join(peer.connection.take_output()))
        replies = {event.name: event.args for event in (peer.next_event(), peer.next_event())}
    assert replies["OK"] == [True]
    assert replies["ERR"][0] == "CancelledError"


def test_credit_for_a_coroutine_changes_nothing() -> None:
    """Node grants some to each of its calls."""
    gate = threading.Event()

    async def wait() -> str:
        await eventually_async(gate.is_set)
        return "done"

    with serving({"wait": wait}) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, "wait", [])
        peer.send({"message_id": b"2" * 32, "v": 3, "response_to": HEADER["message_id"]}, "_zpc_more", [100])
        peer.send({"message_id": b"3" * 32, "v": 3}, "_zerorpc_ping", [])
        assert peer.next_event().args[0][0] == "pong"
        gate.set()
        assert peer.next_event().args == ["done"]


def test_an_old_peer_that_falls_silent_is_lost() -> None:
    service = Endless()
    with serving(service, heartbeat=0.05) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, "coroutine", [])
        assert service.ended.wait(PATIENCE)
