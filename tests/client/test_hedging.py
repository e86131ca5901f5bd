"""A slow call of an idempotent method is tried at another server too, and the first answer counts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, eventually_async, run, serving


class Service:
    """Answers when it is released; an attempt above the first at once."""

    def __init__(self, first_begun: threading.Event | None = None) -> None:
        self.first_begun = first_begun  # at whichever server: later attempts wait for it
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self.attempts: list[int] = []

    async def _wait(self) -> None:
        attempt = zerorpc.current_call().attempt
        self.attempts.append(attempt)
        self.begun.set()
        try:
            if attempt == 1:
                if self.first_begun is not None:
                    self.first_begun.set()
                await asyncio.sleep(PATIENCE)
            if self.first_begun is not None:
                await eventually_async(self.first_begun.is_set)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    @zerorpc.idempotent
    async def price(self) -> str:
        await self._wait()
        return "a price"

    @zerorpc.idempotent
    async def prices(self) -> AsyncIterator[int]:
        await self._wait()
        for n in range(300):
            yield n

    @zerorpc.idempotent
    async def fails(self) -> None:
        await self._wait()
        raise ValueError("the method's own")

    async def order(self) -> str:
        self.attempts.append(zerorpc.current_call().attempt)
        await asyncio.sleep(0.3)
        return "ordered"

    @zerorpc.idempotent
    async def quick(self) -> str:
        self.attempts.append(zerorpc.current_call().attempt)
        return "quick"


Use = Callable[[Any], Any]


def blocking(endpoints: list[str], use: Use, **options: Any) -> Any:
    with zerorpc.Client(endpoints, timeout=PATIENCE) as client:
        eventually(lambda: len(client._core.calls.peers) == len(endpoints))
        result = use(zerorpc.options(client, **options))
        return list(result) if isinstance(result, zerorpc.client.stream.Stream) else result


def background(endpoints: list[str], use: Use, **options: Any) -> Any:
    with zerorpc.Client(endpoints, timeout=PATIENCE) as client:
        eventually(lambda: len(client._core.calls.peers) == len(endpoints))
        result = use(zerorpc.options(client, async_=True, **options)).get()
        return list(result) if isinstance(result, zerorpc.client.stream.Stream) else result


def on_loop(endpoints: list[str], use: Use, **options: Any) -> Any:
    async def main() -> Any:
        async with zerorpc.AsyncClient(endpoints, timeout=PATIENCE) as client:
            await asyncio.to_thread(eventually, lambda: len(client._core.calls.peers) == len(endpoints))
            result = await use(zerorpc.options(client, **options))
            found = [item async for item in result] if hasattr(result, "__aiter__") else result
            await asyncio.sleep(0)
            return found

    return run(main())


EACH = pytest.mark.parametrize("way", [blocking, background, on_loop])


@EACH
@pytest.mark.parametrize(("method", "answer"), [("price", "a price"), ("prices", list(range(300)))])
def test_the_first_answer_counts_and_the_loser_is_cancelled(way: Any, method: str, answer: Any) -> None:
    first_begun = threading.Event()
    first, second = Service(first_begun), Service(first_begun)
    with serving(first) as one, serving(second) as other:
        endpoints = [one.endpoints[0], other.endpoints[0]]
        assert way(endpoints, lambda client: client(method), hedge=0.02) == answer
        slow, quick = (first, second) if first.attempts == [1] else (second, first)
        assert (slow.attempts, quick.attempts) == ([1], [2])
        assert slow.cancelled.wait(PATIENCE)


@EACH
def test_what_the_second_attempt_raises_is_the_outcome(way: Any) -> None:
    with serving(Service()) as one, serving(Service()) as other, pytest.raises(zerorpc.RemoteError) as caught:
        way([one.endpoints[0], other.endpoints[0]], lambda client: client.fails(), hedge=0.02)
    assert caught.value.name == "ValueError"


@EACH
@pytest.mark.parametrize("options", [{"hedge": 0.02}, {"hedge": True}, {"hedge": 0.02, "key": "k"}])
def test_what_is_not_idempotent_is_not_hedged(way: Any, options: dict[str, Any]) -> None:
    service = Service()
    with serving(service) as one, serving(service) as other:
        assert way([one.endpoints[0], other.endpoints[0]], lambda client: client.order(), **options) == "ordered"
    assert service.attempts == [1]


@EACH
def test_without_another_server_or_budget_there_is_no_second_attempt(way: Any) -> None:
    service = Service()
    with serving(service) as one, serving(service) as other:
        broke = zerorpc.Retry(share=0, per_second=0)
        for endpoints in ([one.endpoints[0]], [one.endpoints[0], other.endpoints[0]]):
            with pytest.raises(zerorpc.TimeoutExpired):
                way(endpoints, lambda client: client.price(), hedge=0.02, timeout=1.5, retry=broke)
    assert service.attempts == [1, 1]


class Held(Service):
    """All attempts wait until they are released, and say whose server they are at."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.released = threading.Event()

    @zerorpc.idempotent
    def where(self) -> str:
        self.attempts.append(zerorpc.current_call().attempt)
        self.released.wait(PATIENCE)
        return self.name


@EACH
@pytest.mark.parametrize("retry", [None, zerorpc.Retry()])
@pytest.mark.parametrize("lost", [1, 2])
def test_when_the_server_of_one_attempt_is_lost_the_other_goes_on(way: Any, retry: Any, lost: int) -> None:
    """Nobody has to begin a third."""
    held = [Held("one"), Held("other")]
    with serving(held[0]) as one, serving(held[1]) as other, ThreadPoolExecutor(1) as pool:
        endpoints = [one.endpoints[0], other.endpoints[0]]
        call = pool.submit(way, endpoints, lambda client: client.where(), hedge=0.02, retry=retry)
        eventually(lambda: held[0].attempts and held[1].attempts)
        ends = 0 if held[0].attempts == [lost] else 1
        hub = (one, other)[ends]._core.hub
        links = list(hub.links)
        hub.loop.call_soon_threadsafe(lambda: [link._transport.abort() for link in links])
        eventually(lambda: not set(links) & set(hub.links))
        held[1 - ends].released.set()
        assert call.result() == held[1 - ends].name
        held[ends].released.set()
    assert sorted(held[0].attempts + held[1].attempts) == [1, 2]


@EACH
def test_when_both_are_lost_there_may_be_further_attempts(way: Any) -> None:
    held = [Held("one"), Held("other")]
    with serving(held[0]) as one, serving(held[1]) as other, ThreadPoolExecutor(1) as pool:
        endpoints = [one.endpoints[0], other.endpoints[0]]
        call = pool.submit(way, endpoints, lambda client: client.where(), hedge=0.02, retry=zerorpc.Retry())
        eventually(lambda: held[0].attempts and held[1].attempts)
        for server in (one, other):
            hub = server._core.hub
            links = list(hub.links)
            hub.loop.call_soon_threadsafe(lambda links=links: [link._transport.abort() for link in links])
        eventually(lambda: len(held[0].attempts + held[1].attempts) == 3)
        held[0].released.set()
        held[1].released.set()
        assert call.result() in ("one", "other")


def test_a_call_that_is_given_up_ends_both_attempts() -> None:
    class Slow:
        def __init__(self) -> None:
            self.running = 0

        @zerorpc.idempotent
        async def price(self) -> None:
            self.running += 1
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                self.running -= 1

    one_of_them, other_of_them = Slow(), Slow()
    with serving(one_of_them) as one, serving(other_of_them) as other:
        with zerorpc.Client([one.endpoints[0], other.endpoints[0]], timeout=PATIENCE) as client:
            eventually(lambda: len(client._core.calls.peers) == 2)
            call = zerorpc.options(client, hedge=0.02, async_=True).price()
            eventually(lambda: (one_of_them.running, other_of_them.running) == (1, 1))
            call.cancel()
            eventually(lambda: (one_of_them.running, other_of_them.running) == (0, 0))


def test_slow_is_measured_by_the_calls_that_are_made_so() -> None:
    service = Service()
    with serving(service) as one, serving(service) as other:
        with zerorpc.Client([one.endpoints[0], other.endpoints[0]], timeout=PATIENCE) as client:
            eventually(lambda: len(client._core.calls.peers) == 2)
            hedged = zerorpc.options(client, hedge=True)
            for _ in range(30):
                client.quick()
            assert client._core.calls.hedges._slow_after("quick") is None
            for _ in range(30):
                hedged.quick()
            slow_after = client._core.calls.hedges._slow_after("quick")
            assert slow_after is not None
            assert 0 < slow_after < PATIENCE
    with pytest.raises(ValueError, match="hedge has to be a number of seconds above 0, or True or False, not 0"):
        zerorpc.options(client, hedge=0)
