"""Coroutine methods: their context, their task, and being cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
import time
import types
import weakref
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, RawPeer, eventually, eventually_async, joined, on_thread, run, serving
from tests.service.services import HEADER, Endless, remote_error
from zerorpc.protocol.events import encode
from zerorpc.zmtp import SocketType


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

        def has_ended() -> bool:
            with pytest.raises(zerorpc.TimeoutExpired):  # on a busy machine it may be over before the method begins
                client(method, timeout=0.1)
            return service.ended.wait(0.1)

        eventually(has_ended)
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


# A task of its own


def test_timeouts_of_methods_that_begin_together_are_their_own() -> None:
    """Each is over before its method waits for the first time: uvloop cancels it then before any task's first step."""
    cleaned: list[int] = []

    async def falls_back(n: int) -> int:
        try:
            async with asyncio.timeout(0.001):
                time.sleep(0.003)  # noqa: ASYNC251 - as under load
                await asyncio.sleep(PATIENCE * 10)
        except TimeoutError:
            return n
        finally:
            await asyncio.sleep(0)
            cleaned.append(n)
        return -1

    with joined({"f": falls_back}, pool_size=25) as client:
        for _ in range(3):  # a place that isn't given back would be missed
            calls = [client.f(n, async_=True) for n in range(20)]
            assert [call.get() for call in calls] == list(range(20))
    assert sorted(cleaned) == sorted(3 * list(range(20)))


def test_cancel_scopes_of_anyio_lose_no_call() -> None:
    async def moves_on(n: int) -> int:
        for patience in (0.001, 0, 0.001 * (n % 3)):
            with anyio.move_on_after(patience):
                time.sleep(0.002)  # noqa: ASYNC251 - as under load
                await anyio.sleep(PATIENCE * 10)
        return n

    with joined({"f": moves_on}, pool_size=25) as client:
        for _ in range(3):
            calls = [client.f(n, async_=True) for n in range(20)]
            assert [call.get() for call in calls] == list(range(20))


class ByTask:
    """Keeps something for each running call, under the task that it sees."""

    def __init__(self) -> None:
        self.users: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self.last: asyncio.Task[Any] | None = None

    async def user(self, name: str) -> str:
        task = asyncio.current_task()
        assert task is not None
        return self.users.setdefault(task, name)

    async def waiting_user(self, name: str) -> str:
        await self.user(name)
        await asyncio.sleep(0)
        return await self.user("another")

    @zerorpc.on_loop
    def quick_user(self, name: str) -> str:
        task = asyncio.current_task()
        assert task is not None
        return self.users.setdefault(task, name)

    async def latest_wins(self, name: str, waits: bool) -> str:
        """Cancels the call before, which may have ended long ago."""
        if self.last is not None:
            self.last.cancel()
        self.last = asyncio.current_task()
        if waits:
            await asyncio.sleep(0.001)
        return name


@pytest.mark.parametrize("method", ["user", "waiting_user", "quick_user"])
def test_a_task_as_a_key_is_one_calls(method: str) -> None:
    with serving(ByTask()) as server:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(zerorpc.Client(server.endpoints[0], timeout=PATIENCE)) for _ in range(3)]
            names = [f"client {n % 3}, call {n}" for n in range(12)]
            assert [clients[n % 3](method, name) for n, name in enumerate(names)] == names


def test_cancelling_the_task_of_a_call_that_has_ended_harms_no_other() -> None:
    with serving(ByTask()) as server:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(zerorpc.Client(server.endpoints[0], timeout=PATIENCE)) for _ in range(3)]
            for n in range(30):
                assert clients[n % 3].latest_wins(str(n), n % 2 == 0) == str(n)


def test_a_method_that_cancels_itself_at_its_end_has_ended_once() -> None:
    """asyncio takes such a task for cancelled, though its work is done."""

    async def f(waits: bool) -> str:
        if waits:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "done"

    server = zerorpc.Server({"f": f}, pool_size=1)
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        for waits in (True, False) * 3:
            assert client.f(waits) == "done"
        runners = server._core.runners
        assert runners is not None
        eventually(lambda: runners.running == 0)


def test_a_call_whose_task_never_took_a_step_is_answered_and_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody cancels all tasks that there are, those that were just made too."""
    gate = threading.Event()

    def returns_a_coroutine() -> Any:
        gate.wait(PATIENCE)
        return asyncio.sleep(0, "ran")

    @zerorpc.on_loop
    def cancel_all() -> None:
        """Whatever is made in this turn of the loop is cancelled in it."""

        def make_and_cancel(coroutine: Any, **options: Any) -> Any:
            task = asyncio.Task(coroutine, **options)
            if coroutine.__name__ == "_settle":
                monkeypatch.undo()
                task.cancel()
            return task

        monkeypatch.setattr(
            "zerorpc.service.coroutines.asyncio", types.SimpleNamespace(**{**vars(asyncio), "Task": make_and_cancel})
        )
        gate.set()

    async def main() -> None:
        server = zerorpc.Server({"f": returns_a_coroutine, "cancel_all": cancel_all}, pool_size=2)
        endpoint = server.bind(TCP)[0]
        serving = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            call = asyncio.ensure_future(client.f())
            await client.cancel_all()
            with pytest.raises(zerorpc.RemoteError, match="CancelledError"):
                await call
            assert await client.f() == "ran"
            runners = server._core.runners
            assert runners is not None
            assert runners.running == 0
        server.stop()
        await serving

    run(main())


def test_what_a_plain_function_returned_for_a_caller_that_is_gone_is_closed() -> None:
    begun, gate, closed = threading.Event(), threading.Event(), threading.Event()

    class Watched:
        """Tells when nothing holds it any more."""

        def __del__(self) -> None:
            closed.set()

    async def rest(watched: Watched) -> None:
        raise AssertionError("nobody wants it")

    def returns_a_coroutine() -> Any:
        begun.set()
        gate.wait(PATIENCE)
        return rest(Watched())

    ours = (SocketType.DEALER, {"X-Zerorpc": b"1"})
    with serving({"f": returns_a_coroutine}) as server, RawPeer.to(server.endpoints[0], *ours) as peer:
        peer.send(HEADER, "f", [])
        assert begun.wait(PATIENCE)
        peer.send({"message_id": b"c", "v": 3, "response_to": HEADER["message_id"]}, "_zpc_cancel", [])
        peer.send({"message_id": b"p", "v": 3}, "_zerorpc_ping", [])
        assert peer.next_event().args[0][0] == "pong"  # the server knows
        gate.set()
        assert closed.wait(PATIENCE)


def test_a_coroutine_that_a_plain_function_returned_to_two_callers_is_the_first_ones() -> None:
    """The second has gone when it would be his turn: what has begun isn't closed for that."""
    begun, gate, go_on = threading.Event(), threading.Event(), threading.Event()

    async def rest() -> str:
        begun.set()
        await eventually_async(go_on.is_set)
        return "done"

    shared = rest()

    def first() -> Any:
        return shared

    def second() -> Any:
        gate.wait(PATIENCE)
        return shared

    with serving({"first": first, "second": second}) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            replies: list[Any] = []
            caller = threading.Thread(target=lambda: replies.append(client.first()))
            caller.start()
            assert begun.wait(PATIENCE)
            with pytest.raises(zerorpc.TimeoutExpired):
                client.second(timeout=0.05)
            assert client._zerorpc_ping()[0] == "pong"  # the server knows
            gate.set()
            runners = server._core.runners
            assert runners is not None
            eventually(lambda: runners.running == 1)
            go_on.set()
            caller.join(PATIENCE)
            assert replies == ["done"]


def _old(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    """A task factory as programs wrote them when tasks had no contexts to be given."""
    return asyncio.Task(coroutine, loop=loop)


def _keeping(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    _kept.append(asyncio.Task(coroutine, loop=loop, **options))
    return _kept[-1]


_kept: list[Any] = []
_FACTORIES = [_old, _keeping, *([asyncio.eager_task_factory] if sys.version_info >= (3, 12) else [])]


@pytest.mark.parametrize("factory", _FACTORIES, ids=lambda factory: factory.__name__)
def test_a_loop_with_a_task_factory_of_the_programs(factory: Any) -> None:
    async def items(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def coroutine(count: int) -> Any:
        return iter(range(count))

    async def waits(value: int) -> int:
        await asyncio.sleep(0)
        return value

    def wrapped(method: Any) -> Any:
        """A plain function that returns what another kind returns."""

        def call(value: Any) -> Any:
            return method(value)

        return call

    methods = {
        "items": items,
        "wrapped_items": wrapped(items),
        "coroutine": coroutine,
        "wrapped_coroutine": wrapped(coroutine),
        "waits": waits,
        "wrapped_waits": wrapped(waits),
    }

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        server = zerorpc.Server(methods, pool_size=1)
        endpoint = server.bind(TCP)[0]
        serving = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for name in methods:
                if "waits" in name:
                    assert await client(name, 3) == 3
                else:
                    stream = await client(name, 300)
                    assert [item async for item in stream] == list(range(300)), name
        server.stop()
        await serving

    run(main())
    _kept.clear()


class GivesItself:
    """As clients of databases do, which are connected when they are awaited."""

    def __await__(self) -> Any:
        return self
        yield


@pytest.mark.parametrize("how", ["plain", "on_loop", "coroutine"])
def test_what_gives_itself_when_it_is_awaited_is_awaited_once(how: str) -> None:
    async def coroutine() -> Any:
        return GivesItself()

    @zerorpc.on_loop
    def on_loop() -> Any:
        return GivesItself()

    methods = {"plain": GivesItself, "on_loop": on_loop, "coroutine": coroutine}
    with joined(methods, pool_size=1) as client:
        error = remote_error(client, how)
        assert error.msg == f"the result of {how} can't be sent: a value of type GivesItself can't be sent"
