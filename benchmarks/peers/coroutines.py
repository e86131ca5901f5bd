"""The measurements with a client that is awaited."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol

from benchmarks.histogram import histogram_of
from benchmarks.peers.harness import ITEMS, PATIENCE, TEXT, Meter, Task, Ticks, octets_of, payload_of

AT_ONCE = 100  # connections that are made side by side

Work = Callable[[float], Awaitable[int]]  # works for so many seconds, and returns how often


class AsyncPeer:
    """One connection to the server. A peer's program fills in what it can do, and says in ``cannot`` what not."""

    cannot: ClassVar[Mapping[str, str]] = {}
    echo: Callable[[str], Awaitable[Any]]  # these return what they are given
    plain: Callable[[str], Awaitable[Any]]  # by a plain function, on a thread if the peer has threads for such
    echo_bytes: Callable[[bytes], Awaitable[Any]]
    items: Callable[[int], AsyncIterator[Any]]  # so many items, each TEXT
    plain_items: Callable[[int], AsyncIterator[Any]]  # by a plain generator
    wait: Callable[[], Awaitable[Any]]  # comes back only when it is cancelled

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    async def connect(self) -> None:
        """Make the connection, and set the methods above."""

    async def close(self) -> None:
        """End the connection."""

    @classmethod
    def perform(cls, endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
        return cls.run(perform(cls, endpoint, task, hold))

    @classmethod
    def run(cls, work: Any) -> Any:
        """Run a coroutine on this peer's event loop."""
        return uvloop_if_there().run_until_complete(work)


@functools.cache
def uvloop_if_there() -> asyncio.AbstractEventLoop:
    """One for the whole process: some peers can't change theirs."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


@functools.cache
def plain_loop() -> asyncio.AbstractEventLoop:
    """asyncio's own."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


async def perform(peer: type[AsyncPeer], endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
    if task.measure == "hold":
        return await hold_open(peer, endpoint, task, hold)
    if task.measure == "connect":
        return await connect(peer, endpoint, task)
    async with connected(peer, endpoint, task.connections) as clients:
        return await MEASURES[task.measure](clients, task)


@contextlib.asynccontextmanager
async def connected(peer: type[AsyncPeer], endpoint: str, count: int) -> AsyncIterator[list[AsyncPeer]]:
    """So many connections, each of which has answered a call."""
    clients: list[AsyncPeer] = []

    async def begin(client: AsyncPeer) -> None:
        await client.connect()
        clients.append(client)
        answer = await client.echo(TEXT)
        if answer != TEXT:
            raise RuntimeError(f"the echo of {TEXT!r} was {answer!r}")

    try:
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(*(begin(peer(endpoint)) for _ in range(start, min(count, start + AT_ONCE))))
        yield clients
    finally:
        for start in range(0, len(clients), AT_ONCE):
            await asyncio.gather(*(client.close() for client in clients[start : start + AT_ONCE]))


async def metered(task: Task, work: Work) -> dict[str, Any]:
    await work(task.warm_up)
    meter = Meter(task)
    return meter.result(await work(task.seconds))


# What is measured


async def alone(clients: list[AsyncPeer], task: Task) -> dict[str, Any]:
    """One call after the other."""
    call = getattr(clients[0], task.method)

    async def work(seconds: float) -> int:
        end = time.perf_counter() + seconds
        calls = 0
        while time.perf_counter() < end:
            await call(TEXT)
            calls += 1
        return calls

    return await metered(task, work)


async def flight(clients: list[AsyncPeer], task: Task) -> dict[str, Any]:
    """Callers that each make one call after the other, over connections of their own if there are enough."""
    used = clients[: task.active or None]
    method = task.method

    async def work(seconds: float) -> int:
        over = False

        def end() -> None:
            nonlocal over
            over = True

        async def caller(number: int) -> int:
            mine = [getattr(client, method) for client in used[number :: task.callers] or [used[number % len(used)]]]
            calls = 0
            while not over:
                for call in mine:
                    await call(TEXT)
                    calls += 1
                    if over:
                        break
            return calls

        asyncio.get_running_loop().call_later(seconds, end)
        return sum(await asyncio.gather(*(caller(number) for number in range(task.callers))))

    return await metered(task, work)


async def payload(clients: list[AsyncPeer], task: Task) -> dict[str, Any]:
    """Octets there and back, one call after the other."""
    call = clients[0].echo_bytes
    data = payload_of(clients[0], task)
    if bytes(await call(data)) != bytes(data):
        raise RuntimeError("the echo of a payload was something else")

    async def work(seconds: float) -> int:
        end = time.perf_counter() + seconds
        calls = 0
        while time.perf_counter() < end:
            if octets_of(await call(data)) != task.size:
                raise RuntimeError("the echo of a payload was cut")
            calls += 1
        return calls

    return await metered(task, work)


async def stream(clients: list[AsyncPeer], task: Task) -> dict[str, Any]:
    """Items of streams, one stream after the other."""
    items = getattr(clients[0], task.method)

    async def work(seconds: float) -> int:
        end = time.perf_counter() + seconds
        total = 0
        while time.perf_counter() < end:
            count = 0
            async for _ in items(ITEMS):
                count += 1
            if count != ITEMS:
                raise RuntimeError(f"a stream of {ITEMS} items had {count}")
            total += count
        return total

    return await metered(task, work)


async def rate(clients: list[AsyncPeer], task: Task) -> dict[str, Any]:
    """Calls at fixed times, whether or not the ones before have been answered; latencies from those times on."""
    call = getattr(clients[0], task.method)
    await at_rate(call, task.rate, task.warm_up)
    meter = Meter(task)
    latencies = await at_rate(call, task.rate, task.seconds)
    return meter.result(len(latencies), histogram=histogram_of(latencies), asked=task.seconds)


async def at_rate(call: Callable[[str], Awaitable[Any]], rate: int, seconds: float) -> list[float]:
    loop = asyncio.get_running_loop()
    ticks = Ticks(rate)
    total = max(1, int(rate * seconds))
    latencies: list[float] = []
    calls: list[asyncio.Task[None]] = []
    all_made = asyncio.Event()

    async def one(due: float) -> None:
        await call(TEXT)
        latencies.append(time.monotonic() - due)

    def tick() -> None:
        for _ in range(min(ticks.read(), total - len(calls))):
            calls.append(loop.create_task(one(ticks.due(len(calls)))))
        if len(calls) == total:
            loop.remove_reader(ticks.descriptor)
            all_made.set()

    loop.add_reader(ticks.descriptor, tick)
    await all_made.wait()
    await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)
    ticks.close()
    return latencies


async def connect(peer: type[AsyncPeer], endpoint: str, task: Task) -> dict[str, Any]:
    """One connection after the other, each with one call."""
    async with connected(peer, endpoint, 1):
        pass
    meter = Meter(task)
    for _ in range(task.count):
        async with connected(peer, endpoint, 1):
            pass
    return meter.result(task.count)


async def hold_open(peer: type[AsyncPeer], endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
    """Idle connections, and calls that get no answer, until the driver has seen what they cost the server."""
    async with connected(peer, endpoint, task.connections) as clients:
        calls = [asyncio.ensure_future(clients[0].wait()) for _ in range(task.count)]
        await clients[0].echo(TEXT)  # what was sent before it has arrived
        await asyncio.get_running_loop().run_in_executor(None, hold)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    return {"released": True}


class Measure(Protocol):
    async def __call__(self, clients: list[AsyncPeer], task: Task) -> dict[str, Any]: ...


MEASURES: dict[str, Measure] = {"alone": alone, "flight": flight, "payload": payload, "stream": stream, "rate": rate}
