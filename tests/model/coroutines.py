"""What tasks do with the asyncio client, all on one loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
from typing import Any

import zerorpc
from tests.model.blocking import STEPS, Bomb, depth, dive, whole
from tests.model.book import named
from tests.model.world import TIMEOUT, Actor, World

CANCELLED = {"CancelledError"}


class Task(Actor):
    """A task."""

    async def run(self) -> None:
        acts = [
            *[self.echo] * 6,
            *[self.slow] * 2,
            *[self.several] * 2,
            *[self.cancel] * 4,
            *[self.read] * 3,
            *[self.leave] * 2,
            *[self.drop] * 2,
            self.close_elsewhere,
            self.two_readers,
            self.cancel_reading,
            self.too_late,
            self.never_awaited,
            self.flap_dead,
            self.own_client,
            self.deep,
            self.garbage,
        ]
        while not self.book.over.is_set():
            act = self.choose(acts)
            await (act() if act else asyncio.sleep(0.1))

    async def _awaited(self, what: str, method: Any, *args: Any, client: Any, **options: Any) -> None:
        call_id = self.new_id()
        with self.call(what, call_id, client, **options) as found:
            found.append(await method(call_id, *args))

    async def echo(self) -> None:
        client = self.world.async_client
        method = self.random.choice([client.echo, client.plain])
        await self._awaited("echo", method, client=client)

    async def slow(self) -> None:
        client = self.world.async_client
        await self._awaited("slow", client.slow, self.random.uniform(0, 0.03), client=client)

    async def several(self) -> None:
        await asyncio.gather(*(self.echo() for _ in range(self.random.randint(2, 10))))

    async def too_late(self) -> None:
        client, timeout, call_id = self.world.async_client, self.random.uniform(0.005, 0.03), self.new_id()
        what = "slow, with too short a timeout"
        with self.call(what, call_id, client, timeout=timeout, may={"TimeoutExpired"}) as found:
            found.append(await client.slow(call_id, timeout, timeout=timeout))

    async def _cancelled_soon(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        for _ in range(self.random.randint(0, 3)):
            await asyncio.sleep(0)
        await asyncio.sleep(self.random.choice([0.0, self.random.uniform(0, 0.005)]))
        task.cancel()
        await asyncio.wait([task])

    async def cancel(self) -> None:
        client = self.world.async_client
        seconds = self.random.choice([0.0, self.random.uniform(0, 0.005)])
        await self._cancelled_soon(self._awaited("cancelled", client.slow, seconds, client=client, may=CANCELLED))

    async def never_awaited(self) -> None:
        self.world.async_client.echo(self.new_id())

    # Streams

    def _stream(self, client: Any, call_id: int) -> tuple[Any, int]:
        count = self.random.randint(1, 300)
        method = self.random.choice(["items", "plain_items"])
        return client(method, call_id, count, self.random.choice([0.0, 0.0003])), count

    async def read(self) -> None:
        client, call_id = self.world.async_client, self.new_id()
        with self.call("stream, read to its end", call_id, client, timeout=2 * TIMEOUT) as found:
            stream, count = self._stream(client, call_id)
            found.append(whole(call_id, [item async for item in stream], count))

    async def cancel_reading(self) -> None:
        client, call_id = self.world.async_client, self.new_id()

        async def read() -> None:
            with self.call("stream, cancelled", call_id, client, may=CANCELLED) as found:
                items = [item async for item in client.items(call_id, 50, 0.001)]
                found.append(whole(call_id, items, 50))

        await self._cancelled_soon(read())

    async def leave(self) -> None:
        client, call_id = self.world.async_client, self.new_id()
        with self.call("stream, closed early", call_id, client) as found:
            call, count = self._stream(client, call_id)
            async with contextlib.aclosing(await call) as stream:
                items = [await anext(stream) for _ in range(self.random.randint(1, count))]
            found.append(whole(call_id, items, len(items)))

    async def drop(self) -> None:
        client, call_id = self.world.async_client, self.new_id()
        with self.call("stream, dropped", call_id, client) as found:
            stream = await self._stream(client, call_id)[0]
            found.append(await anext(stream))
            del stream

    async def close_elsewhere(self) -> None:
        """Another task closes it while this one waits for an item."""
        client, call_id = self.world.async_client, self.new_id()
        with self.call("stream, closed by another", call_id, client) as found:
            stream = await client.items(call_id, 100_000, 0.001)
            asyncio.get_running_loop().call_later(self.random.uniform(0, 0.02), stream.close)
            items = [item async for item in stream]
            found.append(whole(call_id, items, len(items)))

    async def two_readers(self) -> None:
        """Each item goes to one of them; the second may be refused."""
        client, call_id = self.world.async_client, self.new_id()
        both: list[int] = []

        async def read(stream: Any) -> None:
            try:
                async for item in stream:
                    both.append(item)  # noqa: PERF401 - what came before an error has come
            except RuntimeError as error:
                if named(error)[0] != "RuntimeError":
                    raise

        with self.call("stream, read by two", call_id, client, timeout=2 * TIMEOUT) as found:
            call, count = self._stream(client, call_id)
            stream = await call
            ends = await asyncio.gather(read(stream), read(stream), return_exceptions=True)
            for end in ends:
                if end is not None:
                    raise end
            found.append(whole(call_id, sorted(both), count))

    # The client and what is around it

    async def flap_dead(self) -> None:
        client = self.world.async_client
        try:
            client.connect(self.dead)
            await self.echo()
            client.disconnect(self.dead)
        except zerorpc.Closed:
            self.book.note(self.name, "closed meanwhile")

    async def own_client(self) -> None:
        client = zerorpc.AsyncClient(self.world.first, timeout=TIMEOUT)
        await self._awaited("echo of a client of its own", client.echo, client=client)
        if self.random.random() < 0.5:
            await client.aclose()

    async def deep(self) -> None:
        """Near the end of the stack, where it may fail at any step."""
        client, call_id = self.world.async_client, self.new_id()
        with self.call("deep", call_id, client, may={"RecursionError"}) as found:
            call = dive(sys.getrecursionlimit() - depth() - self.random.randint(1, STEPS), client, call_id)
            found.append(await call)

    async def garbage(self) -> None:
        Bomb(self)


class Reopener(Actor):
    """Closes the asyncio client now and then, and makes another."""

    async def run(self) -> None:
        while not self.book.over.is_set():
            await asyncio.sleep(self.random.uniform(1.0, 4.0))
            old = self.world.async_client
            self.book.note(self.name, "close the AsyncClient, and make another")
            self.book.reason("closed", "LostRemote", "Closed", client=old)
            self.world.async_client = zerorpc.AsyncClient(self.world.first, timeout=TIMEOUT)
            await old.aclose()


class Loop:
    """The thread in which all tasks run."""

    def __init__(self, world: World, tasks: int) -> None:
        self._world = world
        self._actors: list[Any] = [Task(world, f"task {n}", 100 + n) for n in range(tasks)]
        self._actors.append(Reopener(world, "reopener", 99))
        self.thread = threading.Thread(target=asyncio.run, args=(self._run(),), name="loop")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._complain(context))
        world = self._world
        world.async_client.connect(world.first)  # it has been made outside of the loop
        await asyncio.gather(*(actor.run() for actor in self._actors))
        self._fresh = Task(world, "afterwards", 98)
        await self._fresh.echo()
        await world.async_client.aclose()
        await asyncio.sleep(0)

    def _complain(self, context: dict[str, Any]) -> None:
        task = context.get("task")
        if task is None or inspect.getcoroutinestate(task.get_coro()) != inspect.CORO_CREATED:
            self._world.book.complain(f"asyncio complains: {context}")
        # else there was no room on the stack to begin it
