"""Load by AsyncClients, as a program: ``python -m tests.soak.async_load ENDPOINT``. See ``commands``.

Each of the held connections is a client that makes one call after the other, of a kind drawn by lot, with a pause
between. Others come and go on top of that.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable

import zerorpc
from tests.soak.commands import Hold, obey
from tests.soak.ledger import STREAM, Ledger
from zerorpc.runtime.loops import new_event_loop

TIMEOUT = 10.0  # s of most calls
LATE = 0.2  # s of those that end by their timeout
PAUSE = 4.0  # s between a client's calls, at most: half of it on average
COMERS = 10  # clients that come and go at any time
PAGE = 16 * 1024
LARGE = b"x" * 256 * 1024
SMALL = [None, 7, 1.5, "hello world", b"\x00" * 32, [1, "two", None], {"one": 1}]


class Caller:
    """Kinds of calls, made by one client."""

    def __init__(self, client: zerorpc.AsyncClient, ledger: Ledger, lots: random.Random) -> None:
        self._client = client
        self._ledger = ledger
        self._lots = lots

    async def call(self) -> None:
        kinds, weights = zip(*WEIGHTS.items(), strict=True)
        await self._lots.choices(kinds, weights)[0](self)

    async def echo(self) -> None:
        value = self._lots.choice(SMALL)
        with self._ledger.entry("coroutine", TIMEOUT):
            assert await self._client.echo(value) == value

    async def copy(self) -> None:
        value = self._lots.choice(SMALL)
        with self._ledger.entry("plain", TIMEOUT):
            assert await self._client.copy(value) == value

    async def large(self) -> None:
        with self._ledger.entry("large", TIMEOUT):
            assert await self._client(self._lots.choice(["echo", "copy"]), LARGE) == LARGE

    async def at_once(self) -> None:
        """Ten calls in flight on one connection."""
        with self._ledger.entry("ten at once", TIMEOUT):
            assert await asyncio.gather(*(self._client.echo(n) for n in range(10))) == list(range(10))

    async def fail(self) -> None:
        with self._ledger.entry("failing", TIMEOUT):
            await self._client.fail("on purpose")

    async def unknown(self) -> None:
        with self._ledger.entry("unknown", TIMEOUT):
            await self._client.no_such_method()

    async def slow(self) -> None:
        with self._ledger.entry("slow coroutine", TIMEOUT):
            await self._client.nap(self._lots.random())

    async def block(self) -> None:
        with self._ledger.entry("slow plain", TIMEOUT):
            await self._client.block(0.05)

    async def late(self) -> None:
        with self._ledger.entry("late", LATE):
            await self._client.nap(30, timeout=LATE)

    async def late_on_a_thread(self) -> None:
        with self._ledger.entry("late on a thread", LATE):
            await self._client.block(0.5, timeout=LATE)

    async def cancel(self) -> None:
        task = asyncio.ensure_future(self._client.nap(30))
        await asyncio.sleep(0.1)
        task.cancel()
        with self._ledger.entry("cancelled", 0.0):
            await task

    async def count(self) -> None:
        method = self._lots.choice(["count", "count_plainly"])
        with self._ledger.entry("stream", STREAM):
            assert [n async for n in self._client(method, 200)] == list(range(200))

    async def leave(self) -> None:
        with self._ledger.entry("stream left", TIMEOUT):
            async for number in self._client(self._endless(), timeout=TIMEOUT):
                if number == 50:
                    break

    async def drop(self) -> None:
        with self._ledger.entry("stream dropped", TIMEOUT):
            stream = await self._client(self._endless())
            assert await stream.__anext__() == 0
            del stream

    async def claim_not(self) -> None:
        with self._ledger.entry("stream never awaited", TIMEOUT):
            call = self._client(self._endless())
            await asyncio.sleep(0.2)
            del call

    async def read_slowly(self) -> None:
        with self._ledger.entry("stream read slowly", STREAM):
            number = 0
            async for page in self._client.pages(40, PAGE):
                assert page == number.to_bytes(4, "big") * (PAGE // 4)
                number += 1
                await asyncio.sleep(0.05)
            assert number == 40

    async def read_not(self) -> None:
        with self._ledger.entry("stream left unread", TIMEOUT):
            stream = await self._client.pages(10_000, PAGE)
            await asyncio.sleep(3)
            stream.close()

    def _endless(self) -> str:
        return self._lots.choice(["ever", "ever_plainly"])


WEIGHTS: dict[Callable[[Caller], Awaitable[None]], int] = {
    Caller.echo: 30,
    Caller.copy: 20,
    Caller.large: 2,
    Caller.at_once: 3,
    Caller.fail: 4,
    Caller.unknown: 2,
    Caller.slow: 6,
    Caller.block: 6,
    Caller.late: 4,
    Caller.late_on_a_thread: 1,
    Caller.cancel: 4,
    Caller.count: 5,
    Caller.leave: 4,
    Caller.drop: 4,
    Caller.claim_not: 3,
    Caller.read_slowly: 1,
    Caller.read_not: 1,
}


async def hold(endpoint: str, wanted: Hold, ledger: Ledger, wait_for_the_others: Callable[[], None]) -> None:
    """Connect, wait, keep calling for as long as it is wanted, let everything go."""
    lots = random.Random(wanted.seed)
    loop = asyncio.get_running_loop()
    clients = [new_client(endpoint) for _ in range(wanted.connections)]
    for client in clients:
        await client.echo("here")
    wait_for_the_others()  # and let the loop stand still: nothing is under way
    end = loop.time() + wanted.seconds
    callers = [keep_calling(client, ledger, random.Random(lots.random()), end) for client in clients]
    comers = [come_and_go(endpoint, ledger, random.Random(lots.random()), end) for _ in range(COMERS)]
    done, hung = await asyncio.wait(
        [asyncio.ensure_future(work) for work in (*callers, *comers)], timeout=wanted.seconds + STREAM
    )
    for task in hung:
        ledger.hang(repr(task.get_stack(limit=1)))
        task.cancel()
    for task in done:
        task.result()
    await asyncio.gather(*(client.aclose() for client in clients))


async def keep_calling(client: zerorpc.AsyncClient, ledger: Ledger, lots: random.Random, end: float) -> None:
    caller = Caller(client, ledger, lots)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(lots.uniform(0, PAUSE))
    while loop.time() < end:
        await caller.call()
        await asyncio.sleep(lots.uniform(0, PAUSE))


async def come_and_go(endpoint: str, ledger: Ledger, lots: random.Random, end: float) -> None:
    """Clients that make a few calls and end, well or with calls and streams under way."""
    loop = asyncio.get_running_loop()
    while loop.time() < end:
        client = new_client(endpoint)
        for _ in range(lots.randrange(3)):
            await Caller(client, ledger, lots).call()
        if lots.random() < 0.5:
            with ledger.entry("stream", STREAM):
                assert await client.count(3).__aiter__().__anext__() == 0
            await client.aclose()
        else:
            await leave_in_the_middle(client, ledger)
        await asyncio.sleep(lots.uniform(0, 0.5))


async def leave_in_the_middle(client: zerorpc.AsyncClient, ledger: Ledger) -> None:
    stream = None
    with ledger.entry("stream cut off", TIMEOUT):
        stream = await client.ever()
    under_way = asyncio.ensure_future(client.nap(30))
    await asyncio.sleep(0.05)
    client.close()
    with ledger.entry("closed", 1.0):
        await under_way
    del stream


def new_client(endpoint: str) -> zerorpc.AsyncClient:
    return zerorpc.AsyncClient(endpoint, timeout=TIMEOUT)


def main() -> None:
    endpoint = sys.argv[1]
    loop = new_event_loop()

    def perform(wanted: Hold, ledger: Ledger, wait_for_the_others: Callable[[], None]) -> None:
        loop.run_until_complete(hold(endpoint, wanted, ledger, wait_for_the_others))

    obey(perform, loop)
    loop.close()


if __name__ == "__main__":
    main()
