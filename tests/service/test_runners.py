"""Where methods run, how many at once, how streams of both kinds wait for their callers, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, RawPeer, eventually, joined, on_thread, run, serving
from tests.service.services import HEADER, Endless, remote_error, stalls

# Each way of being a method


class _AsyncIterable:
    """Has ``__aiter__`` and nothing else."""

    def __init__(self, stop: int) -> None:
        self._stop = stop

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self._stop):
            yield number


class _Awaitable:
    def __init__(self, n: int) -> None:
        self._n = n

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return self._n


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

    @zerorpc.rep
    def said_iterator(self, n: int) -> Iterator[int]:
        return iter(range(n))

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

    @zerorpc.stream
    async def coroutine_of_a_list(self, n: int) -> list[int]:
        await asyncio.sleep(0)
        return list(range(n))

    @zerorpc.stream
    async def coroutine_of_an_async_generator(self, n: int) -> AsyncIterator[int]:
        return self.async_generator(n)

    @zerorpc.stream
    async def coroutine_of_an_async_iterable(self, n: int) -> Any:
        return _AsyncIterable(n)

    @zerorpc.on_loop
    def generator_on_loop(self, n: int) -> Iterator[int]:
        yield from range(n)

    def iterator(self, n: int) -> Iterator[int]:
        return iter(range(n))

    def mapped(self, n: int) -> Iterator[int]:
        return map(int, range(n))

    # As decorators make them that know nothing of what they wrap

    @zerorpc.on_loop
    def returns_a_coroutine_on_loop(self, n: int) -> Any:
        return self.waiting(n)

    def returns_an_awaitable(self, n: int) -> Any:
        return _Awaitable(n)

    async def returns_a_task(self, n: int) -> Any:
        return asyncio.ensure_future(self.waiting(n))

    @zerorpc.on_loop
    def returns_a_future_on_loop(self, n: int) -> Any:
        return asyncio.gather(self.waiting(n), self.waiting(n))

    def returns_an_async_generator(self, n: int) -> Any:
        return self.async_generator(n)

    @zerorpc.on_loop
    def returns_an_async_generator_on_loop(self, n: int) -> Any:
        return self.async_generator(n)

    @zerorpc.on_loop
    def returns_a_generator_on_loop(self, n: int) -> Any:
        return self.generator(n)

    async def awaits_and_returns_an_async_generator(self, n: int) -> Any:
        await asyncio.sleep(0)
        return self.async_generator(n)

    async def awaits_and_returns_a_generator(self, n: int) -> Any:
        await asyncio.sleep(0)
        return self.generator(n)

    def returns_a_coroutine_of_an_async_generator(self, n: int) -> Any:
        return self.awaits_and_returns_an_async_generator(n)

    @zerorpc.stream
    def streams_an_async_generator(self, n: int) -> Any:
        return self.async_generator(n)

    @zerorpc.stream
    def streams_an_async_iterable(self, n: int) -> Any:
        return _AsyncIterable(n)

    @zerorpc.stream
    def streams_a_coroutine_of_a_list(self, n: int) -> Any:
        async def listed() -> list[int]:
            await asyncio.sleep(0)
            return list(range(n))

        return listed()

    @zerorpc.stream
    def streams_a_coroutine_of_an_async_generator(self, n: int) -> Any:
        return self.awaits_and_returns_an_async_generator(n)

    @zerorpc.rep
    def lists_an_async_generator(self, n: int) -> Any:
        return self.async_generator(n)

    @zerorpc.rep
    def lists_a_coroutine_of_a_generator(self, n: int) -> Any:
        return self.awaits_and_returns_a_generator(n)

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
        "returns_a_coroutine_on_loop",
        "returns_an_awaitable",
        "returns_a_task",
    ],
)
def test_one_reply(ways: zerorpc.Client, name: str) -> None:
    assert ways(name, 7) == 7


def test_a_future_on_the_loop_is_awaited(ways: zerorpc.Client) -> None:
    assert ways.returns_a_future_on_loop(7) == [7, 7]


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
        "coroutine_of_a_list",
        "coroutine_of_an_async_generator",
        "coroutine_of_an_async_iterable",
        "returns_an_async_generator",
        "returns_an_async_generator_on_loop",
        "returns_a_generator_on_loop",
        "awaits_and_returns_an_async_generator",
        "awaits_and_returns_a_generator",
        "returns_a_coroutine_of_an_async_generator",
        "streams_an_async_generator",
        "streams_an_async_iterable",
        "streams_a_coroutine_of_a_list",
        "streams_a_coroutine_of_an_async_generator",
    ],
)
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_a_stream(ways: zerorpc.Client, name: str, count: int) -> None:
    items = ways(name, count)
    assert not isinstance(items, list)
    assert list(items) == list(range(count))


@pytest.mark.parametrize(
    "name",
    [
        "said_list",
        "said_async_list",
        "said_iterator",
        "lists_an_async_generator",
        "lists_a_coroutine_of_a_generator",
    ],
)
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
        serving({"f": lambda: release.wait(PATIENCE)}, pool_size=1, heartbeat=1.5) as server,
        zerorpc.Client(server.endpoints[0], heartbeat=1.5) as client,
        RawPeer.to(server.endpoints[0]) as old,
    ):
        calls = [client.f(async_=True) for _ in range(3)]
        old.send(HEADER, "f", [])
        for _ in range(3):
            assert old.next_event().name == "_zpc_hb"
            old.send({"message_id": b"2" * 32, "v": 3, "response_to": b"1" * 32}, "_zpc_hb", [0])
        assert not any(call.ready() for call in calls)
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3


def test_too_many_waiting_requests_get_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 2)
    release = threading.Event()
    with joined({"f": lambda: release.wait(PATIENCE)}, pool_size=1) as client:
        calls = [client.f(async_=True) for _ in range(3)]
        error = remote_error(client.f)
        assert error.name == "ServerOverloaded"
        assert error.msg == "f: 1 calls are running and 2 waiting"
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3
        assert client.f() is True


def test_waiting_requests_that_hold_too_much_get_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting_octets", 5000)
    release = threading.Event()
    with joined({"f": lambda _: release.wait(PATIENCE)}, pool_size=1) as client:
        calls = [client.f(b"x" * 3000, async_=True) for _ in range(3)]  # one runs, two wait with more than 5000
        assert remote_error(client.f, b"").name == "ServerOverloaded"
        assert not any(call.ready() for call in calls)
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3
        release.clear()
        calls = [client.f(b"x" * 3000, async_=True) for _ in range(3)]  # what has run is no longer counted
        assert remote_error(client.f, b"").name == "ServerOverloaded"
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3


class Stuck:
    """A server whose only place is taken, with one request that waits already, for 100 s: that makes 10 s a turn."""

    def __init__(self, **options: Any) -> None:
        self.release = threading.Event()
        self._options = options

    def f(self) -> bool:
        return self.release.wait(PATIENCE)

    @contextlib.contextmanager
    def served(self) -> Iterator[zerorpc.Server]:
        with serving({"f": self.f}, pool_size=1, **self._options) as server:
            with zerorpc.Client(server.endpoints[0], timeout=None) as client:
                calls = [client.f(async_=True) for _ in range(2)]
                eventually(lambda: "running=1 waiting=1" in repr(server._core.runners))
                server._core.runners._places._turns._begun -= 100
                yield server
                self.release.set()
                assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 2


def test_a_request_whose_turn_would_come_too_late_for_its_caller_is_refused_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stuck = Stuck()
    with stuck.served() as server, zerorpc.Client(server.endpoints[0], timeout=19) as client:
        for _ in range(3):
            error = remote_error(client.f)
            assert error.name == "ServerOverloaded"
            assert error.msg.startswith("f: 1 calls are running and 1 waiting; its turn would come in 10")
        assert not stuck.release.is_set()
        patient = [client.f(async_=True, timeout=timeout) for timeout in (1000, None)]
        eventually(lambda: "running=1 waiting=3" in repr(server._core.runners))
        stuck.release.set()
        assert [call.get(timeout=PATIENCE) for call in patient] == [True] * 2
        assert client.f() is True
    assert caplog.text.count("overloaded, and refuses calls: f: 1 calls are running") == 1  # not a line for each
    assert "raised" not in caplog.text  # no method did


def test_an_old_caller_is_taken_to_wait_for_30_s() -> None:
    with Stuck().served() as server:
        begun = server._core.runners._places._turns._begun
        with RawPeer.to(server.endpoints[0]) as old:
            old.send(HEADER, "f", [])
            eventually(lambda: "running=1 waiting=2" in repr(server._core.runners))
            server._core.runners._places._turns._begun = begun + 10  # two ahead of the next, each for 9 s
            old.send({"message_id": b"2" * 32, "v": 3}, "f", [])
            event = old.next_event()
            assert (event.name, event.args[0]) == ("ERR", "ServerOverloaded")


def test_a_server_may_be_told_how_long_a_request_may_wait() -> None:
    with Stuck(max_wait=5).served() as server, zerorpc.Client(server.endpoints[0], timeout=None) as client:
        assert remote_error(client.f).name == "ServerOverloaded"


class Clock:
    """A loop on which no time passes but what the test says."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = 1000.0
        self._loop = loop

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def test_that_holds_for_a_burst_too_though_nobody_can_tell_how_long_it_will_wait() -> None:
    places = threading.Semaphore(0)
    ran: list[str] = []

    def f(who: str) -> str:
        ran.append(who)
        places.acquire(timeout=PATIENCE)
        return who

    with serving({"f": f}, pool_size=1, max_wait=0.25) as server:
        with zerorpc.Client(server.endpoints[0], timeout=None) as client:
            client.f("first", async_=True)
            eventually(lambda: ran)
            runners = server._core.runners
            runners._loop = clock = Clock(runners._loop)
            calls = [client.f(who, async_=True) for who in ("second", "third", "fourth")]
            eventually(lambda: "running=1 waiting=3" in repr(runners))
            clock.now += 0.2
            places.release()
            eventually(lambda: ran == ["first", "second"])
            clock.now += 0.1
            places.release()
            assert calls[0].get(timeout=PATIENCE) == "second"
            for call in calls[1:]:
                error = remote_error(call.get)
                assert error.name == "ServerOverloaded"
                assert error.msg.endswith(" waiting; its turn has come too late")
    assert ran == ["first", "second"]


def test_a_turn_that_comes_when_an_old_caller_has_given_up_is_not_taken() -> None:
    release = threading.Event()
    ran: list[str] = []

    def f(who: str) -> None:
        ran.append(who)
        release.wait(PATIENCE)

    with serving({"f": f}, pool_size=1) as server:
        with zerorpc.Client(server.endpoints[0], timeout=None) as client, RawPeer.to(server.endpoints[0]) as old:
            calls = [client.f("ours", async_=True)]
            eventually(lambda: ran)
            runners = server._core.runners
            runners._loop = clock = Clock(runners._loop)
            old.send(HEADER, "f", ["old"])
            eventually(lambda: "waiting=1" in repr(runners))
            calls.append(client.f("ours too", async_=True))
            eventually(lambda: "waiting=2" in repr(runners))
            clock.now += 30.1  # more than what old callers wait
            release.set()
            assert old.next_event().args[0] == "ServerOverloaded"
            for call in calls:
                call.get(timeout=PATIENCE)
    assert ran == ["ours", "ours too"]


def test_more_idle_streams_than_threads_leave_plain_methods_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.service.runners.DEFAULT_THREADS", 3)

    def count() -> Iterator[int]:
        yield from itertools.count()

    with joined({"count": count, "echo": lambda value: value}) as client:
        streams = [client.count() for _ in range(10)]
        assert [next(items) for items in streams] == [0] * 10
        assert client.echo("still") == "still"
        assert [next(items) for items in streams for _ in range(300)] == list(range(1, 301)) * 10
        assert client.echo("still") == "still"
        for items in streams:
            items.close()
        assert client.echo("still") == "still"


def test_what_runs_and_waits_is_shown() -> None:
    release = threading.Event()
    with serving({"f": lambda: release.wait(PATIENCE)}, pool_size=1) as server:
        with zerorpc.Client(server.endpoints[0]) as client:
            calls = [client.f(async_=True) for _ in range(3)]
            eventually(lambda: repr(server._core.runners).startswith("<Runners running=1 waiting=2 <Workers threads=1"))
            release.set()
            assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 3
            eventually(lambda: repr(server._core.runners).startswith("<Runners running=0 waiting=0 "))


def test_a_queued_request_whose_caller_gave_up_is_never_run(caplog: pytest.LogCaptureFixture) -> None:
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
    assert "overloaded" not in caplog.text


# Streams of both kinds


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
        stalled = stalls(lambda: len(made))
        assert stalled < 300  # 200 MB were asked for: what waits is the socket's buffers and 1 MiB
        with zerorpc.Client(server.endpoints[0]) as other:
            assert other._zerorpc_ping()[0] == "pong"
        count = 1
        while peer.next_event().name == "STREAM":
            count += 1
        assert count == len(made) == 2000


# The end


def test_who_waits_and_who_comes_when_it_stops_hears_of_it_and_the_log_needs_no_line_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Event()
    server = zerorpc.Server({"f": lambda: release.wait(PATIENCE)}, pool_size=1, grace=PATIENCE)
    server.bind(TCP)
    with on_thread(server), RawPeer.to(server.endpoints[0]) as old:
        for number in range(3):
            old.send({"message_id": b"%032d" % number, "v": 3}, "f", [])
        eventually(lambda: "running=1 waiting=2" in repr(server._core.runners))
        server.stop()
        refused = [old.next_event() for _ in range(2)]
        old.send(HEADER, "f", [])
        refused.append(old.next_event())
        for event in refused:
            assert event.name == "ERR"
            assert event.args[:2] == ["ServerStopping", "f: the server is shutting down"]
        release.set()
        assert old.next_event().name == "OK"
    assert "raised" not in caplog.text


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
