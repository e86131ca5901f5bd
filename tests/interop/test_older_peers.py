"""What calls have between two of ours, with zerorpc 0.6.3 or Node at the other end: it works, does what that can, or
fails with an error that says so.

| | our client, their server | their client, our server |
|---|---|---|
| keyword arguments | become positions if it tells its parameters, else NotSupported (*) | a TypeError if needed (*) |
| deadlines | end the call at our side (*), and that of a method which calls on | none comes: no limit (*) |
| metadata | NotSupported (*) | none comes, none goes back (*) |
| cancel | at once at our side; theirs goes by heartbeats | a caller that is gone ends the method and what it calls |
| a stream from the client | NotSupported; a list does | a list does |
| latest() | NotSupported, and the stream goes on | there is no such request |
| two readers of a stream | the second one gets an error | as ever |
| retry=, idempotent | only what the caller vouches for is made again | such a method is one like any other |
| idempotency keys | NotSupported | none comes |
| hedge= | there is no second attempt | there is no such call |
| an overloaded server | tells nothing | a RemoteError of that name |
| several servers, every() | theirs are among them | ours are among its servers |
| functions by reference | NotSupported | a result that can't be sent |
| zerorpc.testing | cassettes and proxies work | |

(*) is in test_keywords_and_options.py.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import datetime
import enum
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.client.ways import EACH_WAY, Way
from tests.interop.either_peer import EACH_CLIENT, ERRORS
from tests.interop.ours import our_server
from tests.interop.programs import PATIENCE
from tests.interop.test_keywords_and_options import refused

TCP = "tcp://127.0.0.1:0"
SHORT = 1.0  # s; it begins to run well before


# Deadlines and cancels, also of what a method calls in turn


class PassesOn:
    """Methods that call an older server, which takes long."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._client = zerorpc.Client(endpoint)
        self.begun, self.ended = threading.Event(), threading.Event()
        self.error: BaseException | None = None

    def plain(self) -> None:
        with self._noting():
            call = self._client.slow(PATIENCE, async_=True)
            self.begun.set()
            call.get()

    async def coroutine(self) -> None:
        async with zerorpc.AsyncClient(self._endpoint) as client:
            with self._noting():
                self.begun.set()
                await client.slow(PATIENCE)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def passes_on(older: str) -> Iterator[PassesOn]:
    with contextlib.closing(PassesOn(older)) as service:
        yield service


EITHER_METHOD = pytest.mark.parametrize("method", ["plain", "coroutine"])
ENDED = (zerorpc.TimeoutExpired, zerorpc.Cancelled, asyncio.CancelledError)


@EITHER_METHOD
@EACH_WAY
def test_what_a_method_calls_has_no_more_time_than_it_has(passes_on: PassesOn, method: str, way: Way) -> None:
    with our_server(passes_on, bind=TCP) as server:
        with pytest.raises(zerorpc.TimeoutExpired):
            way(server.endpoints[0], lambda client: client(method), deadline=SHORT)
        assert passes_on.ended.wait(PATIENCE)
    assert isinstance(passes_on.error, ENDED)


@EITHER_METHOD
@EACH_CLIENT
def test_a_caller_that_is_gone_ends_the_method_and_what_it_calls(
    passes_on: PassesOn, start_client: Any, method: str
) -> None:
    with our_server(passes_on, bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        client.start(method)
        assert passes_on.begun.wait(PATIENCE)
        client.kill()
        assert passes_on.ended.wait(PATIENCE)
    assert isinstance(passes_on.error, ENDED)


@EITHER_METHOD
def test_so_does_a_caller_that_cancels(passes_on: PassesOn, method: str) -> None:
    with our_server(passes_on, bind=TCP) as server, zerorpc.Client(server.endpoints[0]) as client:
        call = client(method, async_=True)
        assert passes_on.begun.wait(PATIENCE)
        assert call.cancel()
        assert passes_on.ended.wait(PATIENCE)
    assert isinstance(passes_on.error, ENDED)


def test_cancelled_calls_are_over_at_once_and_cost_no_threads(older: str) -> None:
    with zerorpc.Client(older, timeout=PATIENCE) as client:
        other = client.slow(1, "undisturbed", async_=True)
        threads = threading.active_count()
        calls = [client.slow(PATIENCE, None, async_=True) for _ in range(100)]
        assert threading.active_count() <= threads + 2
        assert all(call.cancel() for call in calls)
        done, pending = concurrent.futures.wait(calls, timeout=PATIENCE)
        assert (len(done), len(pending)) == (100, 0)
        assert client.echo("here") == "here"
        assert next(iter(concurrent.futures.as_completed([other], PATIENCE))).result() == "undisturbed"


def test_a_cancelled_task_is_over_at_once(older: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(older, timeout=PATIENCE) as client:
            other = asyncio.ensure_future(client.slow(1, "undisturbed"))
            task = asyncio.ensure_future(client.slow(PATIENCE, None))
            assert await client.echo("both are sent") == "both are sent"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.echo("here") == "here"
            assert await other == "undisturbed"

    asyncio.run(main())


# Streams


@EACH_WAY
def test_a_stream_from_the_client_is_refused_and_a_list_is_sent(older: str, way: Way) -> None:
    for use in (lambda client: client.move(iter([1])), lambda client: client.move(x=iter([1]))):
        assert "no streams from the client" in str(refused(way, older, use))
    assert way(older, lambda client: client.move([1], 2, None)) == [[1], 2, None]


def test_so_is_an_async_one(older: str) -> None:
    async def items() -> AsyncIterator[int]:
        raise AssertionError("nobody may ask for one")
        yield 1

    async def main() -> None:
        async with zerorpc.AsyncClient(older) as client:
            with pytest.raises(zerorpc.NotSupported, match="no streams from the client"):
                await client.move(items())

    asyncio.run(main())


class TakesStreams:
    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    async def atotal(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def chat(self, words: AsyncIterator[str]) -> AsyncIterator[str]:
        async for word in words:
            yield word.upper()


@EACH_CLIENT
def test_their_list_is_a_stream_to_our_method(start_client: Any) -> None:
    with our_server(TakesStreams(), bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        assert client.call("total", [1, 2, 3]) == client.call("atotal", [1, 2, 3]) == 6
        assert client.call("chat", ["a", "b"]) == ["A", "B"]


class Axis(enum.Enum):
    X = "x"
    Y = "y"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Typed:
    def step(self, axis: Axis, n: int) -> str:
        return f"{n} of {axis.name}"

    async def path(self, points: list[Point], begin: datetime.date) -> list[Any]:
        return [[point.x, point.y] for point in points] + [begin.year]


@EACH_CLIENT
def test_annotations_are_heeded_for_them_too(start_client: Any) -> None:
    with our_server(Typed(), bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        assert client.call("step", "y", 3) == "3 of Y"
        assert client.call("path", [{"x": 1}, {"x": 2.5, "y": 3}], "2026-11-27") == [[1, 0], [2.5, 3], 2026]
        for args, why in (
            (("z", 3), "step(): axis: expected Axis ('x', 'y'), got 'z'"),
            (("x", "3"), "step(): n: expected int, got str"),
        ):
            with pytest.raises(ERRORS) as caught:
                client.call("step", *args)
            assert "TypeError" in str(caught.value)
            assert caught.value.message == why


def test_the_newest_item_only_is_refused_and_the_stream_goes_on(older: str) -> None:
    with zerorpc.Client(older) as client:
        stream = client.count(300)
        with pytest.raises(zerorpc.NotSupported, match="older protocol, which can't leave out items"):
            stream.latest()
        assert list(stream) == list(range(300))

    async def main() -> None:
        async with zerorpc.AsyncClient(older) as client:
            stream = await client.count(300)
            with pytest.raises(zerorpc.NotSupported, match="older protocol, which can't leave out items"):
                stream.latest()
            assert [item async for item in stream] == list(range(300))

    asyncio.run(main())


def test_a_second_reader_of_a_stream_gets_an_error_at_once(older: str) -> None:
    with zerorpc.Client(older) as client, concurrent.futures.ThreadPoolExecutor(2) as pool:
        stream = client.slow_count(3, 0.5)
        taken: list[int] = []

        def read_all() -> None:
            for item in stream:
                taken.append(item)  # noqa: PERF402 - what one of them has taken before it is refused counts too

        readers = [pool.submit(read_all) for _ in range(2)]
        done, (other,) = concurrent.futures.wait(readers, PATIENCE, concurrent.futures.FIRST_COMPLETED)
        with pytest.raises(RuntimeError):
            done.pop().result()
        other.result(PATIENCE)
        assert sorted(taken) == [0, 1, 2]

    async def main() -> None:
        async with zerorpc.AsyncClient(older) as client:
            stream = await client.slow_count(3, 0.5)

            taken: list[int] = []

            async def read() -> None:
                async for item in stream:
                    taken.append(item)  # noqa: PERF401 - as above

            outcomes = await asyncio.gather(read(), read(), return_exceptions=True)
            assert sorted(taken) == [0, 1, 2]
            assert any(isinstance(outcome, RuntimeError) for outcome in outcomes)

    asyncio.run(main())
