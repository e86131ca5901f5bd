"""AsyncClient: calls from coroutines, on asyncio's own loop and on uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, RawPeer, alarm_soon, eventually_async, serving, unused_port, unused_tcp
from tests.service.services import Blocking
from zerorpc.client.async_call import AsyncStream, Call, _Unclaimed
from zerorpc.runtime.loops import new_event_loop
from zerorpc.zmtp import SocketType

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine to its end, on each kind of loop."""
    loop = request.param()
    yield lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, 2 * PATIENCE))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


class Service:
    """Waits, streams and tells what became of it."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.started = threading.Event()
        self.ended = threading.Event()
        self.gate = threading.Event()

    async def echo(self, value: Any) -> Any:
        return value

    async def who(self) -> str:
        return self.name

    async def fail(self, message: str) -> None:
        raise ValueError(message)

    async def wait(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            self.ended.set()

    async def count(self, stop: int) -> AsyncIterator[int]:
        self.started.set()
        try:
            for n in range(stop):
                yield n
        finally:
            self.ended.set()

    async def gated(self, stop: int) -> AsyncIterator[int]:
        """One at once, the others when the gate is open."""
        yield 0
        await eventually_async(self.gate.is_set)
        for n in range(1, stop):
            yield n

    async def stall(self, stop: int) -> AsyncIterator[int]:
        for n in range(stop):
            yield n
        await self.wait()

    async def numbers(self, stop: int) -> list[int]:
        return list(range(stop))

    async def nothing(self) -> None: ...


@pytest.fixture
def service() -> Service:
    return Service("it")


@pytest.fixture
def server(service: Service) -> Iterator[zerorpc.Server]:
    with serving(service) as server:
        yield server


@pytest.fixture
def endpoint(server: zerorpc.Server) -> str:
    return server.endpoints[0]


# Calls


def test_await_and_async_for(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.echo("hi") == "hi"
            assert await client("echo", 1) == await client(b"echo", 1) == 1
            assert [n async for n in client.count(500)] == list(range(500))
            items = await client.count(3)
            assert isinstance(items, AsyncStream)
            assert [n async for n in items] == [0, 1, 2]
            assert [n async for n in items] == []
            assert [n async for n in client.count(0)] == []

    run(main())


@pytest.mark.parametrize("value", [{"a": 1}, "text", b"octets", 7])
@pytest.mark.parametrize("as_typed", [False, True])
def test_async_for_over_what_is_no_list_says_to_await_it(
    run: Run, endpoint: str, value: object, as_typed: bool
) -> None:
    """Its keys or characters would be iterated over, silently."""

    class Echo:
        def echo(self, value: Any) -> Any: ...

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            echo: Any = zerorpc.typed(client, Echo) if as_typed else client
            with pytest.raises(TypeError, match=f"^echo returned {type(value).__name__}, .*`await client.echo"):
                _ = [item async for item in echo.echo(value)]
            assert await echo.echo(value) == value

    run(main())


def test_async_for_over_a_method_that_returns_a_list(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            assert [n async for n in client.numbers(3)] == [0, 1, 2]
            assert [n async for n in client.nothing()] == []  # how Node says "an empty stream"

    run(main())


def test_a_thousand_calls_at_once(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await asyncio.gather(*[client.echo(n) for n in range(1000)]) == list(range(1000))

    run(main())


def test_many_streams_at_once(run: Run, endpoint: str) -> None:
    async def all_of(client: zerorpc.AsyncClient, stop: int) -> list[int]:
        return [n async for n in client.count(stop, slots=7)]

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            results = await asyncio.gather(*[all_of(client, 100 + n) for n in range(20)])
            assert results == [list(range(100 + n)) for n in range(20)]

    run(main())


def test_prefixes_and_hidden_names(run: Run) -> None:
    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.robot.move() == "moved"
            assert await client("bind") == "bound"
            assert repr(client.robot.move) == "<RemoteMethod robot.move>"
            with pytest.raises(AttributeError):
                client.__wrapped__  # noqa: B018

    with serving({"robot.move": lambda: "moved", "bind": lambda: "bound"}) as server:
        run(main(server.endpoints[0]))


def test_errors(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            with pytest.raises(zerorpc.RemoteError) as caught:
                await client.fail("why")
            assert (caught.value.name, caught.value.msg) == ("ValueError", "why")
            with pytest.raises(zerorpc.SerializationError, match="the arguments of echo can't be sent"):
                client.echo(object())
            with pytest.raises(zerorpc.RemoteError, match="NameError"):
                async for _ in client.missing():
                    pass
            with pytest.raises(zerorpc.WrongArguments, match="unexpected keyword argument 'colour'"):
                await client.echo(1, colour="red")
            assert await client.echo("still") == "still"

    run(main())


def test_a_call_shows_itself(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.echo(1)
            assert isinstance(call, Call)
            assert repr(call) == "<Call <ClientChannel echo waiting>>"
            await call
            assert repr(call) == "<Call <ClientChannel echo done>>"

    run(main())


def test_a_call_may_be_awaited_again_but_not_by_two_at_once(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.echo(1)
            assert await asyncio.wait_for(call, PATIENCE) == await call == 1
            call = client.wait()
            first = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            await eventually_async(service.started.is_set)
            with pytest.raises(RuntimeError, match="this call of wait is being awaited already"):
                await call
            assert not first.done()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    run(main())


# Given to asyncio's own functions, like any coroutine


async def _create_task(call: Call) -> Any:
    return await asyncio.create_task(call)


async def _gather(call: Call) -> Any:
    return (await asyncio.gather(asyncio.sleep(0), call))[1]


async def _wait_for(call: Call) -> Any:
    return await asyncio.wait_for(call, PATIENCE)


async def _shield(call: Call) -> Any:
    return await asyncio.shield(call)


async def _task_group(call: Call) -> Any:
    async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
        task = group.create_task(call)
    return task.result()


ASYNCIO_WAYS = [_create_task, _gather, _wait_for, _shield, _task_group]


@pytest.mark.parametrize("way", ASYNCIO_WAYS)
def test_a_call_is_a_coroutine_to_asyncio(
    run: Run, endpoint: str, way: Callable[[Call], Coroutine[Any, Any, Any]]
) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await way(client.echo(1)) == 1
            assert [n async for n in await way(client.count(200))] == list(range(200))
            with pytest.raises(zerorpc.RemoteError) if way is not _task_group else _in_a_group(zerorpc.RemoteError):
                await way(client.fail("why"))

    run(main())


@contextlib.contextmanager
def _in_a_group(expected: type[BaseException]) -> Iterator[None]:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - an ExceptionGroup, which is Python 3.11's
        yield
    (error,) = caught.value.exceptions  # type: ignore[attr-defined]
    assert isinstance(error, expected)


def _nothing_runs(server: zerorpc.Server) -> bool:
    return not any(link.peer.channels for link in server._core.hub.links)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_call_whose_task_is_cancelled_is_given_up(
    run: Run, server: zerorpc.Server, service: Service, steps: int
) -> None:
    """Before the task's first step, too: the request went out when the call was made."""

    async def main() -> None:
        async with zerorpc.AsyncClient(server.endpoints[0]) as client:
            await client.echo(1)
            task = asyncio.create_task(client.wait())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await client.echo("is answered after the cancellation was read")
            await eventually_async(lambda: _nothing_runs(server))
            await eventually_async(lambda: service.ended.is_set() or not service.started.is_set())

    run(main())


def test_a_task_group_gives_up_the_calls_beside_one_that_fails(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            with _in_a_group(zerorpc.RemoteError):
                async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
                    group.create_task(client.wait())
                    await eventually_async(service.started.is_set)
                    group.create_task(client.fail("why"))
            await eventually_async(service.ended.is_set)

    run(main())


def test_wait_for_gives_a_late_call_up(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.wait(), 1.0)  # by then it has begun, on busy cores too
            await eventually_async(service.ended.is_set)

    run(main())


def test_an_answered_call_that_a_program_keeps_lets_go_of_its_request(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            kept = client.echo("x" * 100_000)
            assert len(await kept) == 100_000
            assert kept.channel.data == b""

    run(main())


def test_a_shielded_call_goes_on(run: Run) -> None:
    gate = threading.Event()

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            inner = asyncio.ensure_future(client.pass_gate())
            outer = asyncio.shield(inner)
            outer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await outer
            gate.set()
            assert await inner is True

    with serving({"pass_gate": lambda: gate.wait(PATIENCE)}) as server:
        run(main(server.endpoints[0]))


async def _until_answered(call: Call) -> None:
    """Returns in the very turn of the loop in which the reply was read, before anybody else is told."""
    while not call.channel.answered:  # noqa: ASYNC110 - it must not be later than that
        await asyncio.sleep(0)


def test_a_stream_that_begins_in_the_turn_of_its_cancellation_is_given_up(
    run: Run, endpoint: str, service: Service
) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, heartbeat=None) as client:
            call = client.count(10**9)
            task = asyncio.create_task(call)
            await _until_answered(call)
            assert not task.done()  # it will only be told in the next turn
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually_async(service.ended.is_set)

    run(main())


def test_a_call_in_a_second_task(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.echo(1)
            assert [await asyncio.create_task(call), await asyncio.create_task(call), await call] == [1, 1, 1]
            call = client.wait()
            first, second = asyncio.create_task(call), asyncio.create_task(call)
            with pytest.raises(RuntimeError, match="this call of wait is being awaited already"):
                await second
            await eventually_async(service.started.is_set)
            assert not first.done()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            await eventually_async(service.ended.is_set)

    run(main())


def test_a_second_task_that_is_cancelled_leaves_the_call_to_who_awaits_it(run: Run) -> None:
    gate = threading.Event()

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.pass_gate()

            async def wait() -> Any:
                return await call

            first = asyncio.create_task(wait())
            await asyncio.sleep(0)
            second = asyncio.create_task(call)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.set()
            assert await first is True

    with serving({"pass_gate": lambda: gate.wait(PATIENCE)}) as server:
        run(main(server.endpoints[0]))


def test_a_call_driven_by_hand(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.echo(7)
            future = call.send(None)
            future._asyncio_future_blocking = False  # as a task does with what is yielded to it
            await asyncio.wait([future], timeout=PATIENCE)
            with pytest.raises(StopIteration) as stop:
                call.send(None)
            assert stop.value.value == 7
            thrown = client.wait()
            thrown.send(None)._asyncio_future_blocking = False
            with pytest.raises(LookupError, match="thrown in"):
                thrown.throw(LookupError("thrown in"))
            with pytest.raises(LookupError):
                client.wait().throw(LookupError("before the first step"))

    run(main())


@pytest.mark.parametrize("begun", [False, True])
def test_closing_a_call_gives_it_up(run: Run, server: zerorpc.Server, service: Service, begun: bool) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(server.endpoints[0]) as client:
            await client.echo(1)
            call = client.wait()
            await eventually_async(service.started.is_set)
            if begun:
                call.send(None)._asyncio_future_blocking = False
            call.close()
            call.close()
            await eventually_async(service.ended.is_set)
            with pytest.raises(zerorpc.LostRemote, match="the call of wait was given up"):
                await call

    run(main())


def test_closing_a_call_that_has_its_reply(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, heartbeat=None) as client:
            call = client.echo(1)
            assert await call == 1
            call.close()
            assert await call == 1
            call = client.count(300)
            items = await call
            call.close()  # the stream was handed out, and goes on
            assert [n async for n in items] == list(range(300))
            service.ended.clear()
            call = client.count(10**9)
            await _until_answered(call)
            call.close()  # nobody has taken the stream
            await eventually_async(service.ended.is_set)

    run(main())


# Time


def test_timeouts(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=0.05) as client:
            with pytest.raises(zerorpc.TimeoutExpired, match=r"after 0\.05s, when calling remote method wait"):
                await client.wait()
            client.timeout = PATIENCE
            with pytest.raises(TimeoutError, match=r"after 0\.01s"):
                await client.wait(timeout=0.01)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.wait(timeout=None), 0.1)
            assert await client.echo("still") == "still"
            items = await client.stall(1)
            assert await items.__anext__() == 0
            with pytest.raises(asyncio.TimeoutError):  # a call's timeout is for its first reply only
                await asyncio.wait_for(items.__anext__(), 0.1)

    run(main())
    assert service.ended.wait(PATIENCE)


def test_the_deadline_covers_connecting_and_the_error_says_what_was_tried(run: Run, ipc_endpoint: str) -> None:
    dead = f"tcp://127.0.0.1:{unused_port()}"

    async def main() -> None:
        async with zerorpc.AsyncClient([dead, ipc_endpoint], timeout=0.2) as client:
            calls = [client.echo(1, timeout=0.05), client.echo(1)]
            for call in calls:
                with pytest.raises(zerorpc.TimeoutExpired, match="no server was reached") as caught:
                    await call
                assert f"{dead}: " in str(caught.value)
                assert f"{ipc_endpoint}: " in str(caught.value)
        async with zerorpc.AsyncClient(timeout=0.02) as client:
            with pytest.raises(zerorpc.TimeoutExpired, match="neither bound nor connected"):
                await client.echo(1)

    run(main())


def test_calls_that_wait_and_whose_time_is_over_at_once(run: Run) -> None:
    """uvloop's handle of a time that has come is none of a timer."""

    async def main() -> None:
        async with zerorpc.AsyncClient(f"tcp://127.0.0.1:{unused_port()}", timeout=0) as client:
            calls = [client("late", timeout=timeout) for timeout in (0, -1, -2)]
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, zerorpc.TimeoutExpired)

    run(main())


def test_a_call_made_before_the_server_is_there_waits_for_it(run: Run) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            call = asyncio.ensure_future(client.who())
            await asyncio.sleep(0)
            with serving(Service("there"), bind=endpoint):
                assert await call == "there"

    run(main())


# Giving up


def test_cancelling_the_wait_cancels_the_method(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            task = asyncio.ensure_future(client.wait())
            await eventually_async(service.started.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually_async(service.ended.is_set)
            assert await client.echo("still") == "still"

    run(main())


def test_a_call_cancelled_before_it_was_sent_is_never_run(run: Run, service: Service) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.wait(), 0.02)
            with serving(service, bind=endpoint):
                assert await client.echo(1) == 1
        assert not service.started.is_set()

    run(main())


async def _break(call: Call) -> None:
    items = call.__aiter__()
    async for _ in items:
        break
    await items.aclose()  # type: ignore[attr-defined]


async def _close(call: Call) -> None:
    items = await call
    await items.__anext__()
    items.close()
    items.close()
    with pytest.raises(StopAsyncIteration):
        await items.__anext__()


async def _aclosing(call: Call) -> None:
    async with contextlib.aclosing(await call) as items:
        await items.__anext__()


async def _drop(call: Call) -> None:
    items = await call
    await items.__anext__()


async def _never_iterate(call: Call) -> None:
    await call


async def _cancel(call: Call) -> None:
    async def take() -> None:
        async for _ in call:
            await asyncio.sleep(PATIENCE * 10)

    task = asyncio.ensure_future(take())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _never_await(call: Call) -> None:
    del call


async def _never_await_what_is_there(call: Call) -> None:
    await _until_answered(call)


@pytest.mark.parametrize(
    "give_up", [_break, _close, _aclosing, _drop, _never_iterate, _cancel, _never_await, _never_await_what_is_there]
)
def test_a_stream_given_up_frees_the_server_at_once(
    run: Run, endpoint: str, service: Service, give_up: Callable[[Call], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, heartbeat=None) as client:
            await client.echo(1)
            await give_up(client.count(10**9))
            gc.collect()
            await eventually_async(service.ended.is_set)
            assert await client.echo("still") == "still"

    run(main())


def test_a_call_that_nobody_awaits_still_runs(run: Run) -> None:
    ran = threading.Event()

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            client.set()
            await eventually_async(ran.is_set)

    with serving({"set": ran.set}) as server:
        run(main(server.endpoints[0]))


def test_cancelling_the_wait_for_an_item_loses_none(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            items = await client.count(200)
            taken: list[int] = []
            while len(taken) < 200:
                task = asyncio.ensure_future(items.__anext__())
                await asyncio.sleep(0)
                if not task.done() and task.cancel():
                    with contextlib.suppress(asyncio.CancelledError):
                        taken.append(await task)
                else:
                    taken.append(task.result())
            assert taken == list(range(200))

    run(main())


# Who waits, as ``protocol.channel.Waiter`` lists it


def test_the_waiter_of_a_stream(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.gated(2)
            channel = call.channel
            assert channel.waiter is call
            await _until_answered(call)
            assert type(channel.waiter) is _Unclaimed
            items = await call
            assert channel.waiter is None
            assert await items.__anext__() == 0
            reader = asyncio.ensure_future(_rest(items))
            await eventually_async(lambda: asyncio.isfuture(channel.waiter))
            service.gate.set()
            assert await reader == [1]
            assert channel.waiter is None

    run(main())


def test_the_waiter_of_a_call(run: Run, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            nobody_awaits = client.echo(1)
            await _until_answered(nobody_awaits)
            assert nobody_awaits.channel.waiter is None
            waiting = client.wait()
            task = asyncio.ensure_future(waiting)
            await eventually_async(lambda: asyncio.isfuture(waiting.channel.waiter))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert waiting.channel.waiter is None

    run(main())


# Two readers


def test_a_second_reader_of_a_stream_is_refused_at_once_and_the_first_reads_on(
    run: Run, endpoint: str, service: Service
) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            items = await client.gated(3)
            first = asyncio.ensure_future(_rest(items))
            await eventually_async(lambda: items._request.channel.waiter)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="this stream of gated is being read by another task"):
                    await items.__anext__()
            service.gate.set()
            assert await first == [0, 1, 2]
            assert await _rest(items) == []

    run(main())


@pytest.mark.parametrize("begun", [False, True])
def test_two_tasks_that_iterate_over_one_call(run: Run, endpoint: str, service: Service, begun: bool) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.gated(3)
            if begun:
                await _until_answered(call)
            first, second = asyncio.ensure_future(_rest(call)), asyncio.ensure_future(_rest(call))
            with pytest.raises(RuntimeError, match=r"this (call|stream) of gated is being (awaited|read)"):
                await second
            service.gate.set()
            assert await first == [0, 1, 2]
            with pytest.raises(RuntimeError, match="a call gives its stream once"):
                await call

    run(main())


@pytest.mark.parametrize("close", ["close", "aclose"])
def test_closing_a_stream_ends_the_iteration_of_a_task_that_waits_for_an_item(
    run: Run, endpoint: str, service: Service, close: str
) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            items = await client.stall(2)
            read: list[int] = []
            reader = asyncio.ensure_future(_rest(items, read))
            await eventually_async(lambda: len(read) == 2 and items._request.channel.waiter)
            closing = getattr(items, close)()
            if close == "aclose":
                await closing
            assert await asyncio.wait_for(reader, PATIENCE) == [0, 1]
            assert await _rest(items) == []
            await eventually_async(service.ended.is_set)

    run(main())


def test_after_a_cancelled_reader_another_reads_on(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            items = await client.gated(3)
            assert await items.__anext__() == 0
            first = asyncio.ensure_future(items.__anext__())
            await eventually_async(lambda: items._request.channel.waiter)
            first.cancel()
            second = asyncio.ensure_future(_rest(items))
            service.gate.set()
            assert await second == [1, 2]
            with pytest.raises(asyncio.CancelledError):
                await first

    run(main())


def test_readers_whose_client_is_closed_by_another_task_are_told(run: Run, endpoint: str, service: Service) -> None:
    for close in ("close", "aclose"):

        async def main(close: str = close) -> None:
            client = zerorpc.AsyncClient(endpoint)
            readers = [asyncio.ensure_future(_rest(client.stall(1))) for _ in range(3)]
            service.started.clear()
            await eventually_async(service.started.is_set)
            closing = getattr(client, close)()
            if close == "aclose":
                await closing
            for reader in readers:
                with pytest.raises(zerorpc.LostRemote, match="the client was closed"):
                    await asyncio.wait_for(reader, PATIENCE)
            await asyncio.sleep(0.05)  # the connections close in the background

        run(main())


def test_a_call_closed_while_another_task_awaits_it(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = client.wait()
            task = asyncio.ensure_future(_awaited(call))
            await eventually_async(service.started.is_set)
            call.close()
            with pytest.raises(zerorpc.LostRemote, match="the call of wait was given up"):
                await asyncio.wait_for(task, PATIENCE)

    run(main())


async def _awaited(call: Call) -> Any:
    return await call


async def _rest(items: Any, read: list[Any] | None = None) -> list[Any]:
    """What is left of a stream, in `read` as it comes, where that is given."""
    read = [] if read is None else read
    async for item in items:
        read.append(item)
    return read


# Servers that go, come, and fail over


def test_a_server_that_goes_is_lost_at_once(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            async with zerorpc.AsyncClient(endpoint, heartbeat=None) as client:
                call = asyncio.ensure_future(client.echo(1))
                await _until_sent(listener)
                with pytest.raises(
                    zerorpc.LostRemote, match=r"calling remote method echo: the connection .*was closed"
                ):
                    await call

    run(main())


async def _until_sent(listener: socket.socket) -> None:
    """Take a connection and a request, then hang up."""

    def serve() -> None:
        with RawPeer(listener.accept()[0], SocketType.ROUTER) as peer:
            peer.handshake()
            peer.next_event()

    await asyncio.get_running_loop().run_in_executor(None, serve)


def test_a_silent_server_is_lost_after_two_heartbeats(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            async with zerorpc.AsyncClient(endpoint, heartbeat=0.05) as client:
                call = asyncio.ensure_future(client.echo(1))
                accepted = asyncio.get_running_loop().run_in_executor(None, _accept_ours, listener)
                with await accepted, pytest.raises(zerorpc.LostRemote, match=r"0\.1s heartbeat"):
                    await call

    run(main())


def _accept_ours(listener: socket.socket) -> RawPeer:
    peer = RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"})
    peer.handshake()
    return peer


def test_the_same_client_finds_a_restarted_server(run: Run) -> None:
    async def main() -> None:
        endpoint = f"tcp://127.0.0.1:{unused_port()}"
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for name in ("first", "second", "third"):
                with serving(Service(name), bind=endpoint):
                    while await _who(client) != name:
                        pass

    run(main())


async def _who(client: zerorpc.AsyncClient) -> str:
    try:
        return str(await client.who())
    except zerorpc.LostRemote:  # it had not noticed yet
        return ""
    except zerorpc.RemoteError as error:
        return error.name.replace("ServerStopping", "")


def test_a_stream_in_the_middle_of_which_the_server_goes(run: Run, service: Service) -> None:
    async def main() -> None:
        with serving(service) as server:
            async with zerorpc.AsyncClient(server.endpoints[0]) as client:
                items = await client.stall(3)
                assert [await items.__anext__() for _ in range(3)] == [0, 1, 2]
                server.stop()
                with pytest.raises((zerorpc.LostRemote, zerorpc.RemoteError)):
                    await items.__anext__()
                with pytest.raises(StopAsyncIteration):
                    await items.__anext__()

    run(main())


def test_two_servers_share_and_one_takes_over(run: Run) -> None:
    async def main() -> None:
        with serving(Service("stays")) as stays, serving(Service("goes")) as goes:
            async with zerorpc.AsyncClient([stays.endpoints[0], goes.endpoints[0]], timeout=PATIENCE) as client:
                while set(await asyncio.gather(*[_who(client) for _ in range(4)])) != {"stays", "goes"}:
                    pass
                waiting = client.wait()
                counts = await asyncio.gather(*[_who(client) for _ in range(11)])
                assert abs(counts.count("stays") - counts.count("goes")) <= 1  # the fewest open calls
                goes.stop()
                while set(await asyncio.gather(*[_who(client) for _ in range(4)])) != {"stays"}:
                    pass
                del waiting

    run(main())


def test_while_one_of_two_servers_drains_the_other_answers_every_call(run: Run) -> None:
    """The draining one has as few calls open as the other, so it would be chosen for every second one."""
    drains, stays = Blocking("drains"), Blocking("stays")

    async def main(first: zerorpc.Server, second: zerorpc.Server) -> None:
        async with zerorpc.AsyncClient([first.endpoints[0], second.endpoints[0]], timeout=PATIENCE) as client:
            peers = client._core.calls.peers
            assert await client.echo(1) == 1
            await eventually_async(lambda: len(peers) == 2)
            running = [asyncio.create_task(client.block()) for _ in range(4)]
            await eventually_async(lambda: len(drains.blocked) == len(stays.blocked) == 2)
            first.stop()
            await eventually_async(lambda: len(peers) == 1)
            assert await asyncio.gather(*[client.who() for _ in range(20)]) == ["stays"] * 20
            assert not any(task.done() for task in running)
            drains.release.set()
            stays.release.set()
            assert await asyncio.gather(*running) == ["released"] * 4

    with serving(drains, grace=PATIENCE) as first, serving(stays) as second:
        run(main(first, second))


def test_while_a_server_drains_the_next_calls_go_to_whoever_is_at_its_address_now(run: Run) -> None:
    drains, comes = Blocking("drains"), Blocking("comes")

    async def main(first: zerorpc.Server) -> None:
        async with zerorpc.AsyncClient(first.endpoints, timeout=PATIENCE) as client:
            endpoint = first.endpoints[0]
            running = asyncio.ensure_future(client.block())
            await eventually_async(lambda: drains.blocked)
            first.stop()
            await eventually_async(lambda: not client._core.calls.peers)
            waiting = asyncio.ensure_future(client.who())
            await eventually_async(lambda: not first.endpoints)
            with serving(comes, bind=endpoint):
                assert await waiting == "comes"
                assert not running.done()
                drains.release.set()
                assert await running == "released"
                await eventually_async(lambda: len(client._core.hub.links) == 1)
                assert await client.who() == "comes"

    with serving(drains, bind=unused_tcp(), grace=PATIENCE) as first:
        run(main(first))


def test_workers_connect_to_a_client_that_binds(run: Run) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(timeout=PATIENCE) as client:
            endpoint = client.bind(TCP)[0]
            assert client.endpoints == [endpoint]
            call = client.who()
            with serving(Service("one"), connect=endpoint), serving(Service("two"), connect=endpoint):
                assert await call in ("one", "two")
                while {await client.who(), await client.who()} != {"one", "two"}:
                    pass
                client.unbind(endpoint)
                assert client.endpoints == []
                assert {await client.who(), await client.who()} == {"one", "two"}  # connections live on

    run(main())


def test_disconnect_ends_what_runs_there(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            call = asyncio.ensure_future(client.wait())
            await eventually_async(service.started.is_set)
            client.disconnect(endpoint)
            with pytest.raises(zerorpc.LostRemote, match="disconnected here"):
                await call
            client.connect(endpoint)
            assert await client.echo(1) == 1
            assert repr(client) == f"<AsyncClient <AioHub bound=[] connected=['{endpoint}'] links=1>>"

    run(main())


@pytest.mark.parametrize(
    "where",
    ["ipc", "inproc://async-client", f"ipc://@zerorpc-test-async-{os.getpid()}", "tcp://[::1]:0"],
    ids=["ipc", "inproc", "abstract", "IPv6"],
)
def test_every_transport(run: Run, where: str, ipc_endpoint: str) -> None:
    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.echo(b"x" * 5_000_000) == b"x" * 5_000_000
            assert [n async for n in client.count(300)] == list(range(300))

    with serving(Service(), bind=ipc_endpoint if where == "ipc" else where) as server:
        run(main(server.endpoints[0]))


def test_client_and_server_on_one_loop(run: Run) -> None:
    async def main() -> None:
        server = zerorpc.Server(Service("same loop"))
        client = zerorpc.AsyncClient(server.bind("inproc://one-loop")[0])
        task = asyncio.ensure_future(server.serve())
        async with client:
            assert await client.who() == "same loop"
        server.stop()
        await task

    run(main())


# Whose loop, and the end


def test_without_a_loop_it_says_what_to_use_instead(endpoint: str) -> None:
    client = zerorpc.AsyncClient(endpoint)
    with pytest.raises(RuntimeError, match=r"outside of them use zerorpc\.Client"):
        client.echo(1)
    client.close()
    with pytest.raises(zerorpc.Closed):
        client.echo(1)


def test_a_first_call_that_fails_for_want_of_stack_is_no_obstacle_to_the_next(endpoint: str) -> None:
    def refuse(coroutine: Coroutine[Any, Any, Any]) -> Any:
        coroutine.close()
        raise RecursionError("maximum recursion depth exceeded")

    async def main() -> None:
        client = zerorpc.AsyncClient(endpoint, timeout=PATIENCE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "create_task", refuse)
            with pytest.raises(RecursionError):
                client.echo(1)
        assert await client.echo(2) == 2
        await client.aclose()

    asyncio.run(main())


def test_it_belongs_to_one_loop(endpoint: str) -> None:
    client = zerorpc.AsyncClient(endpoint)

    async def use() -> None:
        assert await client.echo(1) == 1

    async def misuse() -> None:
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            await client.echo(1)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    asyncio.run(misuse())
    loop.run_until_complete(client.aclose())
    loop.close()


def test_a_closed_client(run: Run, endpoint: str) -> None:
    async def main() -> None:
        client = zerorpc.AsyncClient(endpoint)
        assert await client.echo(1) == 1
        await client.aclose()
        await client.aclose()
        client.close()
        with pytest.raises(zerorpc.Closed, match="this client is closed"):
            client.echo(1)
        with pytest.raises(zerorpc.Closed):
            client.connect(endpoint)
        with pytest.raises(zerorpc.Closed):
            async with client:
                pass

    run(main())


def test_closing_ends_calls_and_streams(run: Run, endpoint: str, service: Service) -> None:
    async def main() -> None:
        client = zerorpc.AsyncClient(endpoint)
        call = asyncio.ensure_future(client.wait())
        items = await client.stall(0 + 1)
        await items.__anext__()
        item = asyncio.ensure_future(items.__anext__())
        await eventually_async(service.started.is_set)
        await client.aclose()
        for waiting in (call, item):
            with pytest.raises(zerorpc.LostRemote, match="the client was closed"):
                await waiting

    run(main())
    assert service.ended.wait(PATIENCE)


def test_closing_ends_calls_that_wait_for_a_server(run: Run) -> None:
    async def main() -> None:
        client = zerorpc.AsyncClient(f"tcp://127.0.0.1:{unused_port()}")
        calls = [asyncio.ensure_future(client.echo(1, timeout=timeout)) for timeout in (5, None)]
        await asyncio.sleep(0)
        client.close()
        for call in calls:
            with pytest.raises(zerorpc.Closed, match="the client was closed"):
                await call
        await asyncio.sleep(0.05)  # the connections close in the background

    run(main())


def test_bad_endpoints_are_errors_at_once() -> None:
    with pytest.raises(zerorpc.EndpointError):
        zerorpc.AsyncClient("nonsense")
    client = zerorpc.AsyncClient()
    with pytest.raises(zerorpc.EndpointError, match="not bound"):
        client.unbind("tcp://127.0.0.1:1")
    client.close()


def test_debug_logs_each_event(run: Run, endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient() as client:
            assert client.debug is False
            client.debug = True
            client.connect(endpoint)
            await client.echo(1)

    with caplog.at_level("DEBUG", "zerorpc.events"):
        run(main())
    lines = [record.getMessage() for record in caplog.records if record.name == "zerorpc.events"]
    assert any(line.startswith("--> echo") for line in lines)
    assert any(line.startswith("<-- OK") for line in lines)


# At any moment


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timers")
@pytest.mark.timeout(method="thread")  # an alarm of the test's takes the place of the limit's own
def test_calls_of_signal_handlers_and_finalizers_in_the_middle_of_others(run: Run, endpoint: str) -> None:
    """Each gets its own answer, and the connection lives."""
    calls: list[tuple[Any, Call]] = []

    class Litter:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            if threading.get_ident() == here:  # and not in the server's thread
                add("finalized")

    here = threading.get_ident()

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:

            def call(what: str) -> None:
                value = [what, len(calls), "x" * (100 * (len(calls) % 7))]
                calls.append((value, client.echo(value)))

            nonlocal add
            add = call
            await client.echo(0)
            links = set(client._core.hub.links)
            before, thresholds = signal.signal(signal.SIGALRM, lambda *_: call("handled")), gc.get_threshold()
            gc.set_threshold(50, 2, 2)
            try:
                while sum(value[0] == "handled" for value, _ in calls) < 30 or len(calls) < 500:
                    alarm_soon()
                    Litter()
                    values = [[n, "y" * 500] for n in range(20)]
                    assert await asyncio.gather(*map(client.echo, values)) == values
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
                gc.set_threshold(*thresholds)
                gc.collect()
            for value, made in calls:
                assert await made == value
            assert set(client._core.hub.links) == links

    add: Callable[[str], None] = lambda what: None  # noqa: E731
    run(main())
    assert {value[0] for value, _ in calls} == {"handled", "finalized"}


def test_closing_that_is_cancelled_closes_all_the_same(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = zerorpc.AsyncClient(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
            calls = [asyncio.ensure_future(client.echo(b"x" * 50_000_000)) for _ in range(2)]
            peer = RawPeer((await asyncio.to_thread(listener.accept))[0], SocketType.ROUTER)
            with peer:
                await asyncio.to_thread(peer.handshake)
                await eventually_async(lambda: client._core.hub.links and client._core.calls.peers)
                await asyncio.sleep(0.01)
                closing = asyncio.ensure_future(client.aclose())
                await asyncio.sleep(0.01)
                assert not closing.done()  # it waits for the server to take what was sent
                closing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await closing
                for call in calls:
                    with pytest.raises((zerorpc.LostRemote, zerorpc.Closed)):
                        await asyncio.wait_for(call, PATIENCE)
                assert not client._core.hub.links
                with pytest.raises(zerorpc.Closed):
                    await client.echo(1)

    run(main())
