"""Deadlines that travel: what bounds a call, a stream and what a method calls in turn; and that the end reaches all."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.client.ways import EACH_WAY, Way
from tests.service.process_services import asks_in_process, pid, waits_in_process
from tests.service.running import PATIENCE, RawPeer, eventually, eventually_async, run, serving
from zerorpc.protocol.peer import EXTENSION_LEVEL
from zerorpc.zmtp import SocketType

SHORT = 0.2  # s
OURS = {"X-Zerorpc": str(EXTENSION_LEVEL).encode()}


class Last:
    """The server at the end: notes what it is told, when a call of it ended, and how many go on."""

    def __init__(self) -> None:
        self.running = 0
        self._lock = threading.Lock()
        self.remaining: list[float | None] = []
        self.entered = threading.Event()
        self.ended = threading.Event()
        self.go_on = threading.Event()

    def tell(self) -> float | None:
        self.remaining.append(zerorpc.current_call().remaining())
        return self.remaining[-1]

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        with self._lock:
            self.running += 1
        self.entered.set()
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1
            self.ended.set()

    async def wait(self) -> None:
        with self._noted():
            await asyncio.sleep(PATIENCE)

    def wait_on_thread(self) -> None:
        with self._noted():
            call = zerorpc.current_call()
            while not self.go_on.wait(0.005):
                call.raise_if_cancelled()

    def count(self, pause: float = 0.001) -> Iterator[int]:
        number = 0
        with self._noted():
            while True:
                yield number
                number += 1
                time.sleep(pause)

    async def acount(self, pause: float = 0.001) -> AsyncIterator[int]:
        number = 0
        with self._noted():
            while True:
                yield number
                number += 1
                await asyncio.sleep(pause)

    wait_in_process = staticmethod(waits_in_process)


class Middle:
    """Calls the last one from within its methods, each in its own way."""

    def __init__(self, last: str) -> None:
        self.last = last
        self.outcomes: list[BaseException] = []

    def plain(self, method: str, *args: Any) -> Any:
        with zerorpc.Client(self.last, timeout=PATIENCE) as client:
            return self._noting(lambda: _all(client(method, *args)))

    def detached(self, method: str, *args: Any) -> Any:
        with zerorpc.Client(self.last, timeout=PATIENCE) as client:
            return zerorpc.options(client, detached=True)(method, *args)

    async def coroutine(self, method: str, *args: Any) -> Any:
        async with zerorpc.AsyncClient(self.last, timeout=PATIENCE) as client:
            result = await client(method, *args)
            return [item async for item in result] if hasattr(result, "__anext__") else result

    async def in_a_task(self, method: str, *args: Any) -> Any:
        return await asyncio.create_task(self.coroutine(method, *args))

    async def in_to_thread(self, method: str, *args: Any) -> Any:
        return await asyncio.to_thread(self.plain, method, *args)

    def generator(self, method: str, *args: Any) -> Iterator[Any]:
        yield self.plain(method, *args)

    async def async_generator(self, method: str, *args: Any) -> AsyncIterator[Any]:
        yield await self.coroutine(method, *args)

    def _noting(self, act: Any) -> Any:
        try:
            return act()
        except BaseException as error:
            self.outcomes.append(error)
            raise


def _all(result: Any) -> Any:
    return list(result) if type(result).__name__ == "Stream" else result


NESTED = ["plain", "coroutine", "in_a_task", "in_to_thread", "generator", "async_generator"]


@pytest.fixture
def last() -> Iterator[Last]:
    service = Last()
    yield service
    service.go_on.set()


@pytest.fixture
def middle(last: Last) -> Iterator[tuple[Middle, str]]:
    with serving(last) as server:
        service = Middle(server.endpoints[0])
        with serving(service) as there:
            yield service, there.endpoints[0]


# What a method is told


@EACH_WAY
def test_the_time_that_is_left_goes_along(last: Last, way: Way) -> None:
    with serving(last) as server:
        endpoint = server.endpoints[0]
        assert 10 < way(endpoint, lambda client: client.tell(), timeout=20) <= 20
        assert 0 < way(endpoint, lambda client: client.tell(), timeout=20, deadline=10) <= 10
        assert 20 < way(endpoint, lambda client: client.tell()) <= 30
        assert way(endpoint, lambda client: client.tell(), timeout=None) is None


def test_a_call_that_waited_for_a_server_has_less_of_it(last: Last, ipc_endpoint: str) -> None:
    with zerorpc.Client(ipc_endpoint, timeout=PATIENCE) as client:
        call = client.tell(async_=True)
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + SHORT)
        with serving(last, bind=ipc_endpoint):
            assert call.get() <= PATIENCE - SHORT


@pytest.mark.parametrize("method", NESTED)
def test_a_method_that_calls_on_uses_what_is_left_of_its_own(
    last: Last, middle: tuple[Middle, str], method: str
) -> None:
    with zerorpc.Client(middle[1]) as client:
        _all(zerorpc.options(client, timeout=9)(method, "tell"))
    (remaining,) = last.remaining
    assert remaining is not None
    assert 0 < remaining <= 9


def test_one_in_a_worker_process_too(last: Last) -> None:
    with (
        serving(last) as server,
        serving({"asks": asks_in_process}) as there,
        zerorpc.Client(there.endpoints[0]) as client,
    ):
        view = zerorpc.options(client, timeout=25, metadata={"a": "b"})
        own, remaining, method, metadata = view.asks(server.endpoints[0])
    assert 0 < remaining <= own <= 25
    assert (method, metadata) == ("asks", {"a": "b"})


def test_opting_out(last: Last, middle: tuple[Middle, str]) -> None:
    with zerorpc.Client(middle[1]) as client:
        assert zerorpc.options(client, timeout=9).detached("tell") > 9


def test_a_task_that_outlives_its_method_is_not_bound_by_it(last: Last) -> None:
    done: list[Any] = []

    class Starter:
        async def start(self, endpoint: str) -> None:
            self.released = asyncio.Event()
            self.task = asyncio.create_task(self.work(endpoint))

        async def work(self, endpoint: str) -> None:
            await self.released.wait()
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
                done.append(await client.tell())

        async def release(self) -> None:
            self.released.set()
            await self.task

    with serving(last) as server, serving(Starter()) as there, zerorpc.Client(there.endpoints[0]) as client:
        client.start(server.endpoints[0], timeout=5)
        client.release(timeout=PATIENCE)
    assert done[0] > 5


# The end of the time, at the server: though its client says nothing


@pytest.mark.parametrize("key", ["_zpc_timeout", "_zpc_call"])
@pytest.mark.parametrize("method", ["wait", "wait_on_thread", "count", "acount"])
@pytest.mark.parametrize("properties", [OURS, {}])
def test_the_server_ends_what_is_too_late_by_itself(
    last: Last, method: str, key: str, properties: dict[str, bytes]
) -> None:
    header = {"message_id": b"1", "v": 3, key: SHORT if key == "_zpc_timeout" else {"deadline": SHORT}}
    streams = method in ("count", "acount")
    with serving(last) as server, RawPeer.to(server.endpoints[0], SocketType.DEALER, properties) as peer:
        peer.send(header, method, [])
        if streams:
            assert peer.next_event().name == "STREAM"
            if key == "_zpc_timeout":  # it was for the first reply
                peer.send({"message_id": b"2", "v": 3, "response_to": b"1"}, "_zpc_more", [200])
                while peer.next_event().args < 200:
                    pass
                assert not last.ended.is_set()
                return
        assert last.ended.wait(PATIENCE)


def test_one_in_a_worker_process_is_ended(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    with serving({"wait": waits_in_process, "tell": pid}) as server:
        with RawPeer.to(server.endpoints[0], SocketType.DEALER, OURS) as peer:
            peer.send({"message_id": b"0", "v": 3}, "tell", [])
            assert peer.next_event().name == "OK"  # there is a process now: it may take long to start
            peer.send({"message_id": b"1", "v": 3, "_zpc_timeout": 2.0}, "wait", [str(ended)])
            eventually(ended.exists)


def test_without_a_word_one_of_ours_waits_as_long_as_every_client(last: Last) -> None:
    with serving(last) as server:
        with RawPeer.to(server.endpoints[0], SocketType.DEALER, OURS) as peer:
            peer.send({"message_id": b"1", "v": 3}, "tell", [])
            (remaining,) = peer.next_event().args
            assert 20 < remaining <= 30
        with RawPeer.to(server.endpoints[0]) as peer:  # an old one may wait for any time
            peer.send({"message_id": b"1", "v": 3}, "tell", [])
            assert peer.next_event().args == [None]


@pytest.mark.parametrize("time_told", [{"_zpc_timeout": math.nan}, {"_zpc_call": {"deadline": math.nan}}])
@pytest.mark.parametrize("heartbeat", [None, 30.0])
def test_a_time_that_is_no_number_is_the_usual_one(last: Last, heartbeat: float | None, time_told: Any) -> None:
    with serving(last, heartbeat=heartbeat) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send({"message_id": b"1", "v": 3, **time_told}, "tell", [])
        (remaining,) = peer.next_event().args
        assert 20 < remaining <= 30
        peer.send({"message_id": b"2", "v": 3, "_zpc_timeout": SHORT}, "wait", [])  # timers still ring
        assert last.ended.wait(PATIENCE)


@EACH_WAY
def test_at_the_end_of_the_time_the_method_is_cancelled(last: Last, way: Way) -> None:
    with serving(last) as server:
        for method in ("wait", "wait_on_thread"):
            seconds = SHORT
            while not last.entered.is_set():  # within so short a time a busy machine may not reach the server
                with pytest.raises(zerorpc.TimeoutExpired, match=rf"when calling remote method {method}"):
                    way(server.endpoints[0], lambda client, method=method: client(method), timeout=seconds)
                seconds *= 2
            assert last.ended.wait(PATIENCE)
            eventually(lambda: not last.running)
            last.entered.clear()
            last.ended.clear()


# A stream


@EACH_WAY
@pytest.mark.parametrize("method", ["count", "acount"])
def test_the_deadline_of_a_whole_stream(last: Last, method: str, way: Way) -> None:
    with serving(last) as server:
        seconds = SHORT
        while True:  # within so short a time a busy machine may not reach the server
            with pytest.raises(zerorpc.TimeoutExpired, match=rf"after {seconds}s, when") as caught:
                way(server.endpoints[0], lambda client: client(method), deadline=seconds)
            if "calling" not in str(caught.value):
                break
            seconds *= 2
        assert f"when reading all of {method}" in str(caught.value)
        assert caught.value.ran is True
        assert last.ended.wait(PATIENCE)
        eventually(lambda: not last.running)


@EACH_WAY
@pytest.mark.parametrize("method", ["count", "acount"])
def test_the_deadline_between_two_items(last: Last, method: str, way: Way) -> None:
    with serving(last) as server:
        with pytest.raises(zerorpc.TimeoutExpired, match=rf"after {SHORT}s, when waiting for an item of {method}"):
            way(server.endpoints[0], lambda client: client(method, 1.0), item_timeout=SHORT)
        assert last.ended.wait(PATIENCE)


def test_a_slow_reader_is_not_what_it_is_for(last: Last) -> None:
    with serving(last) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        stream = zerorpc.options(client, item_timeout=SHORT).count(0)
        assert next(stream) == 0
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + 2 * SHORT)
        client.tell()  # so that it is looked after
        assert next(stream) == 1
        stream.close()


# ``with zerorpc.deadline(…)``


def test_all_calls_inside_share_it(last: Last) -> None:
    with serving(last) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        with zerorpc.deadline(20) as bound:
            first = client.tell()
            assert 0 < first <= 20
            assert 0 < client.tell() <= 20
            assert 0 < (bound.remaining() or 0) <= 20
            with zerorpc.deadline(60), zerorpc.deadline(None):
                assert client.tell() <= 20
            with zerorpc.deadline(8):
                assert client.tell() <= 8
            assert zerorpc.options(client, detached=True).tell() > 20
            assert client.tell() > 8
        assert client.tell() > 20
        with zerorpc.deadline(0), pytest.raises(zerorpc.TimeoutExpired, match="no time was left to begin it") as caught:
            client.tell()
        assert (caught.value.ran, caught.value.method) == (False, "tell")
        with zerorpc.deadline(SHORT), pytest.raises(zerorpc.TimeoutExpired):
            _all(client.count())
        assert last.ended.wait(PATIENCE)


def test_tasks_and_threads_have_their_own(last: Last) -> None:
    async def one(client: zerorpc.AsyncClient, seconds: float) -> float:
        with zerorpc.deadline(seconds):
            await asyncio.sleep(0)
            remaining: float = await client.tell()
            assert seconds - 20 < remaining <= seconds
            return remaining

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=100) as client:
            await asyncio.gather(*(one(client, seconds) for seconds in [*range(20, 100, 20)] * 4))
            assert await client.tell() > 80

    with serving(last) as server:
        run(main(server.endpoints[0]))


def test_a_deadline_is_for_one_with() -> None:
    bound = zerorpc.deadline(5)
    with bound, pytest.raises(RuntimeError, match="make another"), bound:
        pass
    for junk in ("5", object()):
        with pytest.raises(TypeError, match="timeout has to be a number of seconds"):
            zerorpc.deadline(junk)  # type: ignore[arg-type]
    assert zerorpc.deadline(None).remaining() is None


# The end goes through all calls


@pytest.mark.parametrize("how", ["timeout", "cancelled", "closed"])
@pytest.mark.parametrize("method", NESTED)
@pytest.mark.parametrize("work", ["wait", "wait_on_thread", "count"])
def test_who_gives_up_ends_what_is_done_for_it(
    last: Last, middle: tuple[Middle, str], method: str, work: str, how: str
) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(middle[1], timeout=PATIENCE) as client:
            view = zerorpc.options(client, timeout=1.5 if how == "timeout" else PATIENCE)
            call = asyncio.ensure_future(view(method, work))
            await eventually_async(last.entered.is_set)
            if how == "cancelled":
                call.cancel()
            elif how == "closed":
                client.close()
            with pytest.raises((asyncio.CancelledError, zerorpc.TimeoutExpired, zerorpc.LostRemote)):
                await call

    run(main())
    assert last.ended.wait(PATIENCE)
    if method in ("plain", "in_to_thread", "generator"):
        eventually(lambda: middle[0].outcomes)
        assert isinstance(middle[0].outcomes[0], (zerorpc.Cancelled, zerorpc.TimeoutExpired))


def test_a_plain_function_that_goes_on_may_make_no_further_call(last: Last) -> None:
    outcomes: list[Any] = []
    entered, go_on = threading.Event(), threading.Event()

    class Stubborn:
        def work(self, endpoint: str) -> None:
            with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
                client.tell()
                entered.set()
                call = zerorpc.current_call()
                assert go_on.wait(PATIENCE)
                eventually(lambda: call.cancelled)
                for act in (client.tell, lambda: client.tell(async_=True), call.raise_if_cancelled):
                    with pytest.raises(zerorpc.Cancelled) as caught:
                        act()
                    outcomes.append(caught.value.ran)
                outcomes.append(zerorpc.options(client, detached=True).tell() > 0)

    with serving(last) as server, serving(Stubborn()) as there:
        with zerorpc.Client(there.endpoints[0], timeout=PATIENCE) as client:
            client.work(server.endpoints[0], async_=True)
            assert entered.wait(PATIENCE)
        go_on.set()
        eventually(lambda: len(outcomes) == 4)
    assert outcomes == [False, False, None, True]


def test_a_lot_of_calls_end_with_the_one_that_made_them(last: Last) -> None:
    """In several threads and tasks at once, some of which are just being made."""
    gone = threading.Event()

    class Fan:
        def fan(self, endpoint: str) -> None:
            with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
                calls = []
                try:
                    while True:
                        calls.append(client.wait(async_=True))
                except zerorpc.Cancelled:
                    for call in calls:
                        with pytest.raises(zerorpc.Cancelled):
                            call.get()
                    gone.set()

    with serving(last) as server, serving(Fan()) as there:
        with zerorpc.Client(there.endpoints[0], timeout=PATIENCE) as client:
            client.fan(server.endpoints[0], async_=True)
            assert last.entered.wait(PATIENCE)
        assert gone.wait(PATIENCE)
