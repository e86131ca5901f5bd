"""Server, as its users see it: what it exposes, how methods run, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    connect,
    eventually,
    joined,
    on_thread,
    run,
    serving,
)
from zerorpc.protocol.events import encode


class Cooler:
    """Various methods to be called."""

    def add_man(self, sentence: str) -> str:
        """End a sentence with ", man!"."""
        return sentence + ", man!"

    def add_42(self, n: int) -> int:
        return n + 42

    def boat(self, sentence: str, times: int = 2) -> str:
        return sentence * times

    def _hidden(self) -> None: ...


def remote_error(call: Callable[..., Any], *args: Any) -> zerorpc.RemoteError:
    with pytest.raises(zerorpc.RemoteError) as caught:
        call(*args)
    return caught.value


# What is exposed


def test_an_object() -> None:
    with joined(Cooler()) as client:
        assert client.add_man("hi") == "hi, man!"
        assert client.add_42(1) == 43
        assert client.boat("x") == "xx"
        assert client.boat("x", 3) == "xxx"
        assert sorted(client._zerorpc_list()) == ["add_42", "add_man", "boat"]
        assert remote_error(client._hidden).name == "NameError"


def test_a_module() -> None:
    with joined(time) as client:
        assert "strftime" in client._zerorpc_list()
        assert client.gmtime(0)[0] == 1970
        assert client._zerorpc_name() == "time"
        error = remote_error(client.sleep, "3")
        assert error.name == "TypeError"


def test_a_dict_of_functions() -> None:
    with joined({"add": lambda a, b: a + b, "_even_this": lambda: 1}) as client:
        assert client.add(1, 2) == 3
        assert client._even_this() == 1
        assert client._zerorpc_list() == ["add"]
        assert client._zerorpc_name() == "dict"


def test_several_objects_with_prefixes() -> None:
    server = zerorpc.Server(Cooler(), name="several")
    server.register({"move": lambda x: ["moved", x]}, prefix="robot")
    server.register(types.SimpleNamespace(stop=lambda: "stopped"), prefix="robot.arm")
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        assert client.robot.move(3) == ["moved", 3]
        assert client.robot.arm.stop() == "stopped"
        assert client("robot.move", 4) == ["moved", 4]
        assert {"robot.move", "robot.arm.stop", "add_man"} <= set(client._zerorpc_list())


def test_registering_a_name_twice_is_refused() -> None:
    server = zerorpc.Server({"f": int})
    with pytest.raises(ValueError, match=r"'f' is exposed already.*prefix"):
        server.register({"f": int})
    server.register({"f": int}, prefix="again")
    server.close()


def test_registering_while_serving() -> None:
    with serving({}) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert remote_error(client.late).name == "NameError"
        server.register({"late": lambda: 1})
        assert client.late() == 1


def test_a_subclass_exposes_its_own_methods_but_not_servers() -> None:
    class Mine(zerorpc.Server):
        def hello(self) -> str:
            return "world"

    server = Mine()
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        assert client.hello() == "world"
        assert client._zerorpc_list() == ["hello"]
        assert client._zerorpc_name() == "Mine"
        assert remote_error(client, "stop").name == "NameError"


def test_a_subclass_may_be_given_methods() -> None:
    class Mine(zerorpc.Server):
        def hidden(self) -> None: ...

    server = Mine({"f": lambda: 1})
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        assert client._zerorpc_list() == ["f"]


def test_names_of_servers_own_methods_are_callable_on_ordinary_objects() -> None:
    names = ["connect", "bind", "run", "stop", "close", "register", "disconnect", "unbind", "serve", "endpoints"]
    with joined({name: functools.partial(str.upper, name) for name in names}) as client:
        assert [client(name) for name in names] == [name.upper() for name in names]


def test_an_empty_server_answers_too() -> None:
    with joined(None) as client:
        assert client._zerorpc_list() == []
        assert client._zerorpc_name() == "Server"


def test_properties_are_neither_exposed_nor_read() -> None:
    class Instrument:
        @property
        def position(self) -> Callable[[], int]:
            raise AssertionError("reading it moves something")

        @functools.cached_property
        def cached(self) -> Callable[[], int]:
            raise AssertionError("reading it moves something")

        def move(self) -> str:
            return "moved"

    with joined(Instrument()) as client:
        assert client._zerorpc_list() == ["move"]
        assert client.move() == "moved"


def test_the_name() -> None:
    with joined(Cooler(), name="the cooler") as client:
        assert client._zerorpc_name() == "the cooler"
        assert client._zerorpc_ping() == ["pong", "the cooler"]
    with joined(Cooler()) as client:
        assert client._zerorpc_name() == "Cooler"


def test_services_are_described() -> None:
    with joined(Cooler()) as client:
        inspected = client._zerorpc_inspect()
        assert inspected["name"] == "Cooler"
        assert inspected["methods"]["add_man"]["doc"] == 'End a sentence with ", man!".'
        assert inspected["methods"]["boat"]["args"] == [
            {"name": "sentence", "type": "str"},
            {"name": "times", "default": 2, "type": "int"},
        ]
        assert client._zerorpc_help("add_man") == 'End a sentence with ", man!".'
        assert client._zerorpc_args("boat") == [["sentence", "times"], None, None, [2]]
        assert remote_error(client._zerorpc_help, "nothing").name == "NameError"


# How methods run


class Ways:
    """One method for each way of being a method."""

    def plain(self, n: int) -> int:
        return n

    async def coroutine(self, n: int) -> int:
        return n

    async def waiting(self, n: int) -> int:
        await asyncio.sleep(0)
        return n

    def wrapper(self, n: int) -> Any:
        return self.waiting(n)

    @zerorpc.on_loop
    def quick(self, n: int) -> int:
        return n

    @zerorpc.rep
    def said(self, n: int) -> int:
        return n

    @zerorpc.rep
    def said_list(self, n: int) -> Iterator[int]:
        yield from range(n)

    @zerorpc.rep
    async def said_async_list(self, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    def generator(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def async_generator(self, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    @zerorpc.stream
    def decorated(self, n: int) -> Iterator[int]:
        yield from range(n)

    @zerorpc.stream
    def decorated_list(self, n: int) -> list[int]:
        return list(range(n))

    @zerorpc.stream
    async def decorated_async(self, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    @zerorpc.on_loop
    def generator_on_loop(self, n: int) -> Iterator[int]:
        yield from range(n)

    def iterator(self, n: int) -> Iterator[int]:
        return iter(range(n))

    def mapped(self, n: int) -> Iterator[int]:
        return map(int, range(n))

    partial = staticmethod(functools.partial(lambda a, n: a + n, 10))

    class _Callable:
        def __call__(self, n: int) -> int:
            return n

    called = _Callable()

    class _AsyncCallable:
        async def __call__(self, n: int) -> int:
            await asyncio.sleep(0)
            return n

    async_called = _AsyncCallable()

    @staticmethod
    def static(n: int) -> int:
        return n

    @classmethod
    def for_class(cls, n: int) -> int:
        return n

    builtin = abs
    kind = int


@pytest.fixture(scope="module")
def ways() -> Iterator[zerorpc.Client]:
    with joined(Ways()) as client:
        yield client


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "coroutine",
        "waiting",
        "wrapper",
        "quick",
        "said",
        "called",
        "async_called",
        "static",
        "for_class",
        "builtin",
        "kind",
    ],
)
def test_one_reply(ways: zerorpc.Client, name: str) -> None:
    assert ways(name, 7) == 7


def test_a_partial(ways: zerorpc.Client) -> None:
    assert ways.partial(7) == 17


@pytest.mark.parametrize(
    "name",
    [
        "generator",
        "async_generator",
        "decorated",
        "decorated_list",
        "decorated_async",
        "iterator",
        "mapped",
        "generator_on_loop",
    ],
)
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_a_stream(ways: zerorpc.Client, name: str, count: int) -> None:
    items = ways(name, count)
    assert not isinstance(items, list)
    assert list(items) == list(range(count))


@pytest.mark.parametrize("name", ["said_list", "said_async_list"])
def test_rep_makes_one_reply_of_a_generator(ways: zerorpc.Client, name: str) -> None:
    assert ways(name, 3) == [0, 1, 2]


def test_plain_methods_run_on_threads_and_coroutines_on_the_loop() -> None:
    async def where_async() -> str:
        return threading.current_thread().name

    methods = {
        "plain": lambda: threading.current_thread().name,
        "quick": zerorpc.on_loop(lambda: threading.current_thread().name),
        "coroutine": where_async,
    }
    with joined(methods) as client:
        assert client.plain().startswith("zerorpc-worker")
        assert client.quick() == client.coroutine() == "under test"


def test_fifty_methods_that_block_run_at_once() -> None:
    barrier = threading.Barrier(50)
    with joined({"meet": lambda: barrier.wait(PATIENCE) >= 0}) as client:
        calls = [client.meet(async_=True) for _ in range(50)]
        assert all(call.get(timeout=PATIENCE) for call in calls)


def test_a_blocking_method_stops_neither_heartbeats_nor_others() -> None:
    release = threading.Event()
    methods = {"block": lambda: release.wait(PATIENCE), "quick": lambda: 1}
    with (
        serving(methods, heartbeat=0.1) as server,
        zerorpc.Client(server.endpoints[0], heartbeat=0.1) as client,
        zerorpc.Client(server.endpoints[0], heartbeat=0.1) as other,
    ):
        blocked = client.block(async_=True)
        begun = time.monotonic()
        while time.monotonic() - begun < 0.5:  # five heartbeats: the call must live through them
            assert other.quick() == 1
        assert not blocked.ready()
        release.set()
        assert blocked.get(timeout=PATIENCE) is True


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
    except asyncio.TimeoutError:
        timed_out = True
    else:
        timed_out = False
    return [first is not None, first is asyncio.current_task(), timed_out]


@pytest.mark.parametrize("before", [True, False])
def test_current_task_and_wait_for_in_a_method(before: bool) -> None:
    with joined({"f": _waits_with_timeout}) as client:
        assert client.f(before) == [True, True, True]
        assert client.f(before) == [True, True, True]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout and TaskGroup came with Python 3.11")
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


# Errors, each with a reply


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class WrongText(Exception):
    def __str__(self) -> str:
        return 1  # type: ignore[return-value]  # noqa: PLE0307


RAISED = {
    "ValueError": ValueError("a bad value"),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "BaseException": BaseException("the root of all"),
    "CancelledError": asyncio.CancelledError(),
    "StopIteration": StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration(),
    "BadText": BadText(),
    "WrongText": WrongText(),
    "UnicodeError": UnicodeError("\ud800"),
    "Empty": Exception(),
}


class Raises:
    def plain(self, name: str) -> None:
        raise RAISED[name]

    @zerorpc.on_loop
    def quick(self, name: str) -> None:
        raise RAISED[name]

    async def coroutine(self, name: str) -> None:
        raise RAISED[name]

    async def waiting(self, name: str) -> None:
        await asyncio.sleep(0)
        raise RAISED[name]

    def wrapper(self, name: str) -> Any:
        return self.waiting(name)

    def generator(self, name: str) -> Iterator[int]:
        raise RAISED[name]
        yield 1

    async def async_generator(self, name: str) -> AsyncIterator[int]:
        raise RAISED[name]
        yield 1


@pytest.fixture(scope="module")
def raises() -> Iterator[zerorpc.Client]:
    with joined(Raises()) as client:
        yield client


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize("how", ["plain", "quick", "coroutine", "waiting", "wrapper", "generator", "async_generator"])
def test_whatever_a_method_raises_the_caller_gets_a_reply(raises: zerorpc.Client, how: str, name: str) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        list(raises(how, name))
    expected = {type(RAISED[name]).__name__}
    if name.startswith("Stop") and how not in ("plain", "quick"):
        expected.add("RuntimeError")  # Python's own translation: PEP 479
    assert caught.value.name in expected


def test_a_remote_error_has_name_message_and_the_methods_own_traceback() -> None:
    with joined(Raises()) as client:
        for how in ("plain", "quick", "coroutine", "waiting"):
            error = remote_error(client, how, "ValueError")
            assert (error.name, error.msg) == ("ValueError", "a bad value")
            assert error.traceback is not None
            assert error.traceback.startswith("Traceback (most recent call last):")
            assert "raise RAISED[name]" in error.traceback
            assert "runners.py" not in error.traceback
            assert "execution.py" not in error.traceback


def test_an_error_in_the_middle_of_a_stream() -> None:
    def plain() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    async def on_the_loop() -> AsyncIterator[int]:
        yield 1
        raise ValueError("no more")

    with joined({"plain": plain, "on_the_loop": on_the_loop}) as client:
        for items in (client.plain(), client.on_the_loop()):
            assert next(items) == 1
            assert remote_error(next, items).msg == "no more"
            with pytest.raises(StopIteration):
                next(items)


def test_unknown_methods_and_wrong_arguments() -> None:
    with joined(Cooler()) as client:
        error = remote_error(client.nothing, 1)
        assert (error.name, error.msg) == ("NameError", "nothing")
        error = remote_error(client.add_man)
        assert error.name == "TypeError"
        assert "add_man" in error.msg
        assert "sentence" in error.msg
        assert client.add_man("still") == "still, man!"


def test_results_that_cant_be_sent_name_the_method() -> None:
    async def coroutine() -> object:
        return object()

    async def async_generator() -> AsyncIterator[object]:
        yield 1
        yield object()

    def generator() -> Iterator[object]:
        yield 1
        yield object()

    cycle: list[Any] = []
    cycle.append(cycle)
    methods = {
        "plain": object,
        "coroutine": coroutine,
        "quick": zerorpc.on_loop(lambda: [object()]),
        "cycle": lambda: cycle,
    }
    with joined({**methods, "generator": generator, "async_generator": async_generator}) as client:
        for name in methods:
            error = remote_error(client, name)
            assert error.name == "SerializationError"
            assert f"the result of {name} can't be sent" in error.msg
        for name in ("generator", "async_generator"):
            items = client(name)
            assert next(items) == 1
            error = remote_error(next, items)
            assert f"the item of {name} can't be sent" in error.msg
        assert client._zerorpc_ping()[0] == "pong"


def test_defaults_that_cant_be_sent_are_described() -> None:
    marker = object()

    def method(a: object = marker) -> None: ...

    with joined({"method": method}) as client:
        assert client._zerorpc_inspect()["methods"]["method"]["args"][0]["default"] == repr(marker)
        assert client._zerorpc_args("method") == [["a"], None, None, [repr(marker)]]


HEADER = {"message_id": b"1" * 32, "v": 3}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encode(HEADER, "echo", []).replace(b"\xa4echo", b"\xc4\x04echo"), "TypeError"),  # a name of bytes
        (encode(HEADER, "echo", {}), "TypeError"),  # arguments that are no array
        (encode(HEADER, "echo", None), "TypeError"),
        (encode(HEADER, "echo", ["x"]).replace(b"\xa1x", b"\xa1\xff"), "TypeError"),  # not UTF-8
        (encode(HEADER, "echo", []).replace(b"\xaamessage_id", b"\xc4\x0amessage_id"), "TypeError"),  # header keys
    ],
)
def test_requests_that_cant_be_understood_get_an_error(data: bytes, name: str) -> None:
    with serving({"echo": lambda *args: list(args)}) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send_data(data)
        reply = peer.next_event()
        assert reply.name == "ERR"
        assert reply.args[0] == name
        assert "echo" in reply.args[1]
        peer.send(HEADER, "echo", [1])
        assert peer.next_event().args == [[1]]


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x01", b"\x93\x01\x01\x01", b"\x93\x80\xa1x\x90", b"\xdd\xff\xff\xff\xff"]
)
def test_what_is_no_event_at_all_disturbs_nobody(data: bytes) -> None:
    with serving({"echo": lambda *args: list(args)}) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send_data(data)
        peer.send(HEADER, "echo", [1])
        assert peer.next_event().args == [[1]]


def test_an_old_peer_of_protocol_one_gets_one_string() -> None:
    with serving(Raises()) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send({"message_id": b"1" * 32}, "plain", ["ValueError"])
        assert peer.next_event().args == ["ValueError('a bad value')"]
        peer.send({"message_id": b"2" * 32}, "plain", ["BadText"])
        assert len(peer.next_event().args) == 1


# Limits


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator"])
def test_pool_size_one_lets_the_others_wait_their_turn(kind: str) -> None:
    running: list[int] = []
    order: list[int] = []

    def enter(n: int) -> None:
        running.append(n)
        order.append(n)
        assert len(running) == 1

    def plain(n: int) -> int:
        enter(n)
        time.sleep(0.005)  # not for a condition: so that they would overlap
        running.remove(n)
        return n

    async def coroutine(n: int) -> int:
        enter(n)
        await asyncio.sleep(0.005)
        running.remove(n)
        return n

    def generator(n: int) -> Iterator[int]:
        yield plain(n)

    async def async_generator(n: int) -> AsyncIterator[int]:
        yield await coroutine(n)

    method = {"plain": plain, "coroutine": coroutine, "generator": generator, "async generator": async_generator}[kind]

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            results = await asyncio.gather(*[_all(client.f(n)) for n in range(20)])
        assert results == [[n] for n in range(20)]

    with serving({"f": method}, pool_size=1) as server:
        run(main(server.endpoints[0]))
    assert order == list(range(20))


async def _all(call: Any) -> list[Any]:
    """A call's items, or its result as the only one."""
    result = await call
    return [item async for item in result] if hasattr(result, "__aiter__") else [result]


def test_heartbeats_go_on_while_requests_wait_for_the_pool() -> None:
    release = threading.Event()
    with (
        serving({"f": lambda: release.wait(PATIENCE)}, pool_size=1, heartbeat=0.1) as server,
        zerorpc.Client(server.endpoints[0], heartbeat=0.1) as client,
        RawPeer.to(server.endpoints[0]) as old,
    ):
        calls = [client.f(async_=True) for _ in range(3)]
        old.send(HEADER, "f", [])
        for _ in range(5):
            assert old.next_event().name == "_zpc_hb"
            old.send({"message_id": b"2" * 32, "v": 3, "response_to": b"1" * 32}, "_zpc_hb", [0])
        assert not any(call.ready() for call in calls)
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3


def test_too_many_waiting_requests_get_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.service.runners._WAITING_MAX", 2)
    release = threading.Event()
    with joined({"f": lambda: release.wait(PATIENCE)}, pool_size=1) as client:
        calls = [client.f(async_=True) for _ in range(3)]
        error = remote_error(client.f)
        assert error.name == "ServerOverloaded"
        assert error.msg == "f: 1 calls are running and 2 waiting"
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3
        assert client.f() is True


def test_a_queued_request_whose_caller_gave_up_is_never_run() -> None:
    release = threading.Event()
    ran: list[str] = []

    def f(name: str) -> None:
        ran.append(name)
        release.wait(PATIENCE)

    with joined({"f": f}, pool_size=1) as client:
        first = client.f("first", async_=True)
        eventually(lambda: ran)
        with pytest.raises(zerorpc.TimeoutExpired):
            client.f("given up", timeout=0.05)
        last = client.f("last", async_=True)
        release.set()
        first.get(timeout=PATIENCE)
        last.get(timeout=PATIENCE)
    assert ran == ["first", "last"]


# The caller gives up


class Endless:
    """Methods that go on until they are ended; ``ended`` is set then."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.started = threading.Event()

    async def coroutine(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            self.ended.set()

    def wrapper(self) -> Any:
        return self.coroutine()

    def generator(self) -> Iterator[int]:
        self.started.set()
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            self.ended.set()

    async def async_generator(self) -> AsyncIterator[int]:
        self.started.set()
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            self.ended.set()

    async def silent_generator(self) -> AsyncIterator[int]:
        self.started.set()
        try:
            await asyncio.sleep(PATIENCE * 10)
            yield 1
        finally:
            self.ended.set()


@pytest.mark.parametrize("method", ["coroutine", "wrapper", "silent_generator"])
def test_a_method_is_cancelled_when_its_caller_gives_up(method: str) -> None:
    service = Endless()
    with joined(service, heartbeat=None) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client(method, timeout=0.1)
        assert service.ended.wait(PATIENCE)
        assert client._zerorpc_ping()[0] == "pong"


@pytest.mark.parametrize("method", ["coroutine", "wrapper", "generator", "async_generator", "silent_generator"])
def test_a_method_is_ended_when_its_caller_is_gone(method: str) -> None:
    service = Endless()
    with serving(service, heartbeat=None) as server:
        with RawPeer.to(server.endpoints[0]) as peer:
            peer.send(HEADER, method, [])
            assert service.started.wait(PATIENCE)
        assert service.ended.wait(PATIENCE)


@pytest.mark.parametrize("method", ["generator", "async_generator"])
def test_a_stream_makes_no_more_items_than_the_caller_granted(method: str) -> None:
    made: list[int] = []

    def generator() -> Iterator[int]:
        for n in range(1000):
            made.append(n)
            yield n

    async def async_generator() -> AsyncIterator[int]:
        for n in generator():
            yield n

    service = {"generator": generator, "async_generator": async_generator}
    with serving(service, heartbeat=None) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, method, [])
        assert peer.next_event().name == "STREAM"
        peer.send({"message_id": b"2" * 32, "v": 3, "response_to": b"1" * 32}, "_zpc_more", [5])
        assert [peer.next_event().args for _ in range(5)] == [1, 2, 3, 4, 5]
        peer.send({"message_id": b"3" * 32, "v": 3}, "_zerorpc_ping", [])
        assert peer.next_event().name == "OK"  # nothing of the stream before it
        assert len(made) <= 7


def test_an_old_peer_that_falls_silent_is_lost() -> None:
    service = Endless()
    with serving(service, heartbeat=0.05) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, "coroutine", [])
        assert service.ended.wait(PATIENCE)


# Flow control


@pytest.mark.parametrize("method", ["generator", "async_generator"])
def test_a_stream_waits_for_a_caller_that_reads_slowly(method: str) -> None:
    made: list[int] = []
    part = b"x" * 100_000

    def generator() -> Iterator[bytes]:
        for n in range(2000):
            made.append(n)
            yield part

    async def async_generator() -> AsyncIterator[bytes]:
        for item in generator():
            yield item

    service = {"generator": generator, "async_generator": async_generator}
    with serving(service, heartbeat=None) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, method, [])
        peer.next_event()
        peer.send({"message_id": b"2" * 32, "v": 3, "response_to": b"1" * 32}, "_zpc_more", [5000])
        stalled = _stalls(lambda: len(made))
        assert stalled < 300  # 200 MB were asked for: what waits is the socket's buffers and 1 MiB
        with zerorpc.Client(server.endpoints[0]) as other:
            assert other._zerorpc_ping()[0] == "pong"
        count = 1
        while peer.next_event().name == "STREAM":
            count += 1
        assert count == len(made) == 2000


def _stalls(count: Callable[[], int]) -> int:
    """Wait until a count has stood still for a while; the count."""
    before, since = -1, time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() < deadline:
        now = count()
        if now != before:
            before, since = now, time.monotonic()
        elif now > 1 and time.monotonic() - since > 0.2:
            return now
        time.sleep(0.005)
    raise AssertionError("never stood still")


def test_the_server_stops_reading_from_a_peer_that_does_not_read() -> None:
    ran: list[int] = []

    @zerorpc.on_loop
    def echo(n: int, data: bytes) -> bytes:
        ran.append(n)
        return data

    with serving({"echo": echo}, heartbeat=None) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.sock.settimeout(0.3)
        part = b"x" * 200_000
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 2000:  # 400 MB
                peer.send({"message_id": b"%032d" % sent, "v": 3}, "echo", [sent, part])
                sent += 1
        assert sent < 2000
        assert len(ran) < 200
        with zerorpc.Client(server.endpoints[0]) as other:
            assert other._zerorpc_ping()[0] == "pong"


def test_64_mebibytes_there_and_back() -> None:
    async def echo(data: bytes) -> bytes:
        return data

    data = bytes(range(256)) * (1 << 18)
    with joined({"plain": lambda data: data, "coroutine": echo}) as client:
        assert client.plain(data) == data
        assert client.coroutine(data) == data


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\xff" * 64, bytes(range(256)) * 40]
)
def test_garbage_ends_its_connection_and_nothing_else(junk: bytes) -> None:
    with joined(Cooler()) as client, serving(Cooler()) as server:
        with connect(server.endpoints[0]) as sock:
            sock.sendall(junk)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
        with zerorpc.Client(server.endpoints[0]) as another:
            assert another.add_42(1) == 43
        assert client.add_42(1) == 43


def test_a_half_open_handshake_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.peer._HANDSHAKE_TIMEOUT", 0.05)
    with serving(Cooler()) as server, connect(server.endpoints[0]) as sock:
        sock.sendall(b"\xff\0\0\0\0")
        while sock.recv(4096):
            pass  # the server's greeting, then the end


# Its life


def test_run_and_stop_from_another_thread() -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    assert repr(server) == f"<Server 'Cooler' not serving ['{endpoint}']>"
    with on_thread(server):
        eventually(lambda: "serving" in repr(server) and "not serving" not in repr(server))
        with zerorpc.Client(endpoint) as client:
            assert client.add_42(1) == 43
    assert repr(server) == "<Server 'Cooler' closed []>"
    with pytest.raises(zerorpc.Closed):
        server.run()
    with pytest.raises(zerorpc.Closed):
        server.bind(TCP)
    with pytest.raises(zerorpc.Closed):
        server.connect("tcp://127.0.0.1:1")


def test_a_method_may_stop_the_server() -> None:
    server = zerorpc.Server({})
    server.register({"stop": server.stop})
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client("stop") is None
        eventually(lambda: "closed" in repr(server))


def test_stop_before_run_makes_it_return_at_once() -> None:
    server = zerorpc.Server(Cooler())
    server.bind(TCP)
    server.stop()
    server.stop()
    server.run()
    assert "closed" in repr(server)


def test_close_without_ever_serving_frees_the_address() -> None:
    with zerorpc.Server(Cooler()) as server:
        endpoint = server.bind(TCP)[0]
        server.connect("tcp://127.0.0.1:1")
        assert server.endpoints == [endpoint]
    server.close()
    assert server.endpoints == []
    with zerorpc.Server(Cooler()) as again:
        assert again.bind(endpoint) == [endpoint]


def test_requests_made_before_it_serves_wait_for_it() -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    with zerorpc.Client(endpoint) as client:
        call = client.add_42(1, async_=True)
        with on_thread(server):
            assert call.get(timeout=PATIENCE) == 43


def test_serve_and_stop() -> None:
    async def main() -> None:
        server = zerorpc.Server(Cooler())
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.add_42(1) == 43
            with pytest.raises(zerorpc.Closed, match="serving already"):
                await server.serve()
        server.stop()
        await task
        assert "closed" in repr(server)
        with pytest.raises(zerorpc.Closed, match="closed"):
            await server.serve()

    run(main())


def test_cancelling_serve_closes_the_server() -> None:
    async def main() -> None:
        server = zerorpc.Server(Cooler())
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.add_42(1) == 43
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "closed" in repr(server)

    run(main())


def test_close_while_serving_on_the_same_loop() -> None:
    async def main() -> None:
        server = zerorpc.Server(Cooler())
        server.bind(TCP)
        task = asyncio.ensure_future(server.serve())
        await asyncio.sleep(0)
        server.close()
        await task

    run(main())


def test_run_inside_a_running_loop_says_what_to_do() -> None:
    async def main() -> None:
        with zerorpc.Server(Cooler()) as server, pytest.raises(RuntimeError, match=r"await server\.serve"):
            server.run()

    run(main())


def test_stop_lets_running_calls_finish_and_refuses_new_ones() -> None:
    release, started = threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        assert release.wait(PATIENCE)
        return "done"

    server = zerorpc.Server({"slow": slow, "quick": lambda: 1}, pool_size=1)
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client:
        running = client.slow(async_=True)
        assert started.wait(PATIENCE)
        waiting = client.quick(async_=True)
        server.stop()
        with pytest.raises(zerorpc.RemoteError, match="shutting down") as caught:
            waiting.get(timeout=PATIENCE)
        assert caught.value.name == "ServerStopping"
        assert remote_error(client.quick).name == "ServerStopping"
        eventually(lambda: not server.endpoints)
        with zerorpc.Client(endpoint) as late, pytest.raises(zerorpc.TimeoutExpired, match="refused"):
            late.quick(timeout=0.1)
        release.set()
        assert running.get(timeout=PATIENCE) == "done"


def test_a_big_reply_under_way_is_sent_before_the_server_closes() -> None:
    started = threading.Event()
    release = threading.Event()

    def big() -> bytes:
        started.set()
        release.wait(PATIENCE)
        return b"x" * (32 << 20)

    server = zerorpc.Server({"big": big})
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        call = client.big(async_=True)
        assert started.wait(PATIENCE)
        server.stop()
        release.set()
        assert len(call.get(timeout=PATIENCE)) == 32 << 20


def test_a_caller_that_reads_slowly_gets_all_of_its_reply_from_a_server_that_closes() -> None:
    size = 16 << 20
    server = zerorpc.Server({"big": lambda: b"x" * size})
    server.bind(TCP)
    with on_thread(server), RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, "big", [])
        peer.sock.recv(1)
        server.stop()
        received = 1
        while data := peer.sock.recv(size // 64):
            received += len(data)
            time.sleep(0.005)  # not for a condition: that is how slow it is
        assert received > size


def test_a_caller_that_does_not_read_at_all_keeps_no_server() -> None:
    server = zerorpc.Server({"big": lambda: b"x" * (16 << 20)})
    server.bind(TCP)
    with contextlib.ExitStack() as stack:
        with on_thread(server):
            peer = stack.enter_context(RawPeer.to(server.endpoints[0]))
            peer.send(HEADER, "big", [])
            peer.sock.recv(1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("method", ["coroutine", "async_generator", "generator", "silent_generator"])
def test_what_still_runs_after_the_grace_is_ended(method: str) -> None:
    service = Endless()
    server = zerorpc.Server(service, grace=0.05)
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0], heartbeat=None) as client:
        call = client(method, async_=True)
        assert service.started.wait(PATIENCE)
        server.stop()
        with pytest.raises((zerorpc.RemoteError, zerorpc.LostRemote)):
            list(call.get(timeout=PATIENCE))
        assert service.ended.wait(PATIENCE)


def test_a_plain_method_that_never_ends_does_not_keep_the_server() -> None:
    release, started = threading.Event(), threading.Event()

    def stuck() -> None:
        started.set()
        release.wait(PATIENCE)

    server = zerorpc.Server({"stuck": stuck}, grace=0.05)
    server.bind(TCP)
    with zerorpc.Client(server.endpoints[0], heartbeat=None) as client:
        with on_thread(server):
            call = client.stuck(async_=True)
            assert started.wait(PATIENCE)
        with pytest.raises(zerorpc.LostRemote):
            call.get(timeout=PATIENCE)
        release.set()


def test_bad_and_taken_addresses_are_errors_at_once() -> None:
    with serving(Cooler()) as server, zerorpc.Server(Cooler()) as second:
        with pytest.raises(zerorpc.AddressInUse, match=server.endpoints[0]):
            second.bind(server.endpoints[0])
        with pytest.raises(zerorpc.EndpointError, match="accepted forms"):
            second.bind("nonsense")
        with pytest.raises(zerorpc.EndpointError):
            second.connect("nonsense")
        with pytest.raises(zerorpc.EndpointError, match="not bound"):
            second.unbind("tcp://127.0.0.1:1")
        with pytest.raises(zerorpc.EndpointError, match="not connected"):
            second.disconnect("tcp://127.0.0.1:1")


def test_bind_and_unbind_while_serving(ipc_endpoint: str) -> None:
    with serving(Cooler()) as server:
        assert server.bind(ipc_endpoint) == [ipc_endpoint]
        with zerorpc.Client(ipc_endpoint) as client:
            assert client.add_42(1) == 43
            server.unbind(ipc_endpoint)
            assert client.add_42(2) == 44  # connections live on
            eventually(lambda: not Path(ipc_endpoint.removeprefix("ipc://")).exists())
            with zerorpc.Client(ipc_endpoint) as late, pytest.raises(zerorpc.TimeoutExpired):
                late.add_42(1, timeout=0.1)


def test_connect_and_disconnect_while_serving() -> None:
    with serving(Cooler()) as server, zerorpc.Client() as client:
        endpoint = client.bind(TCP)[0]
        assert server.connect(endpoint) == [endpoint]
        assert client.add_42(1) == 43
        server.disconnect(endpoint)
        eventually(lambda: not answers(client))


def answers(client: zerorpc.Client) -> bool:
    try:
        return bool(client.add_42(1, timeout=0.1))
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
        return False


def test_tcp_and_ipc_at_once(ipc_endpoint: str) -> None:
    with serving(Cooler()) as server:
        server.bind([ipc_endpoint, "inproc://cooler"])
        assert len(server.endpoints) == 3
        for endpoint in server.endpoints:
            with zerorpc.Client(endpoint) as client:
                assert client.add_42(1) == 43


def test_out_of_descriptors_it_accepts_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.aio._ACCEPT_PAUSE", 0.01)
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    listener = server._service.hub.listeners[endpoint]
    real, refusals = listener.accept, [OSError(24, "Too many open files"), ConnectionAbortedError()]

    def accept() -> socket.socket:
        if refusals:
            raise refusals.pop()
        return real()

    monkeypatch.setattr(listener, "accept", accept)
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client.add_42(1) == 43
        assert not refusals


def test_debug_logs_each_event(caplog: pytest.LogCaptureFixture) -> None:
    server = zerorpc.Server(Cooler())
    assert server.debug is False
    server.debug = True
    server.bind(TCP)
    with caplog.at_level("DEBUG", "zerorpc.events"), on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        client.add_42(1)
    lines = [record.getMessage() for record in caplog.records if record.name == "zerorpc.events"]
    assert any(line.startswith("<-- add_42") for line in lines)
    assert any(line.startswith("--> OK") and "[43]" in line for line in lines)


# In a process of its own

SERVICE = """
import sys, time, threading, zerorpc
release = threading.Event()
class Service:
    def slow(self):
        print("running", flush=True)
        release.wait(10)
        return "done"
    def release(self):
        release.set()
    def quick(self):
        return 1
server = zerorpc.Server(Service())
print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
server.run()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_server(number: int) -> None:
    with Program(SERVICE) as program:
        endpoint = program.line()
        with zerorpc.Client(endpoint) as client:
            running = client.slow(async_=True)
            assert program.line() == "running"
            program.signal(number)
            refused: list[str] = []

            def is_refused() -> bool:
                try:
                    client.quick()
                except zerorpc.RemoteError as error:
                    refused.append(error.name)
                return bool(refused)

            eventually(is_refused)
            assert refused == ["ServerStopping"]
            assert not running.ready()
            program.signal(number)  # the second one
            with pytest.raises(zerorpc.LostRemote):
                running.get(timeout=PATIENCE)
            code, out, err = program.end()
            assert (code, out) == (0, "ended\n"), err


def test_a_running_call_is_answered_before_the_process_ends() -> None:
    text = SERVICE.replace("release.wait(10)", "time.sleep(0.3)")
    with Program(text) as program, zerorpc.Client(program.line()) as client:
        running = client.slow(async_=True)
        assert program.line() == "running"
        program.signal(signal.SIGTERM)
        assert running.get(timeout=PATIENCE) == "done"
        code, out, err = program.end()
        assert (code, out, err) == (0, "ended\n", "")


def test_the_signal_handlers_that_were_there_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = zerorpc.Server(Cooler())
    server.bind(TCP)
    timer = threading.Timer(0.05, server.stop)
    timer.start()
    server.run()  # on the main thread
    timer.join()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_method_may_fork() -> None:
    text = """
    import multiprocessing, os, zerorpc
    def child(pipe):
        pipe.send(os.getpid())
    def with_multiprocessing():
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs,))
        process.start()
        other = ours.recv()
        process.join()
        return [other != os.getpid(), process.exitcode]
    def with_fork():
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    async def on_the_loop():
        return with_fork()
    server = zerorpc.Server({f.__name__: f for f in
                             (with_multiprocessing, with_fork, on_the_loop)})
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    server.run()
    """
    with Program(text) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        for _ in range(3):
            assert client.with_multiprocessing() == [True, 0]
            assert client.with_fork() == 7
            assert client.on_the_loop() == 7
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0
