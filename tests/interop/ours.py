"""Our own side of these tests, in the test's process: a running server or receiver, and both clients under one face.

`BlockingCaller` and `AsyncCaller` offer the same four verbs, so that one test holds for `Client` and `AsyncClient`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import zerorpc
from tests.interop.old_programs.service import TRACE, Service
from tests.interop.programs import PATIENCE


class Runs(Protocol):
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


R = TypeVar("R", bound=Runs)


@contextlib.contextmanager
def serving(server: R) -> Iterator[R]:
    """Runs a server, puller or subscriber on a thread, as programs do, and ends it."""
    thread = threading.Thread(target=server.run, name="server under test", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE)
        server.close()
        assert not thread.is_alive(), f"stop() did not end run() of {server!r}"


@contextlib.contextmanager
def our_server(methods: object, *, bind: str = "", connect: str = "", **options: Any) -> Iterator[zerorpc.Server]:
    server = zerorpc.Server(methods, **options)
    if bind:
        server.bind(bind)
    if connect:
        server.connect(connect)
    with serving(server):
        yield server


class AsyncService(Service):
    """The service with coroutines and async generators in the place of plain functions, where that differs."""

    async def echo(self, value: object) -> object:
        """Return the value as it came."""
        return value

    async def fail(self, message: Any) -> None:
        raise ValueError(message)

    async def unserialisable(self) -> object:
        return object()

    async def slow(self, seconds: float, value: object = None) -> object:
        await asyncio.sleep(seconds)
        return value

    async def meet(self, count: int) -> int:
        self._arrived += 1
        while self._arrived < count:  # noqa: ASYNC110   (the plain service counts the same way)
            await asyncio.sleep(0.01)
        return count

    async def count(self, stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            yield number

    async def fail_after(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        raise KeyError("stream broke")

    async def slow_count(self, stop: int, pause: float) -> AsyncIterator[int]:
        for number in range(stop):
            await asyncio.sleep(pause)
            yield number

    async def endless(self) -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
        finally:
            self._streams_closed += 1

    async def trace(self) -> str:
        return TRACE.get()

    async def traces(self, count: int) -> AsyncIterator[str]:
        for _ in range(count):
            yield TRACE.get()


class Ticking:
    """A service of one endless stream that says when it began and when it was ended from outside."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()

    def tick(self) -> Iterator[int]:
        pause = threading.Event()
        try:
            for number in itertools.count():
                yield number
                self.began.set()
                pause.wait(0.02)
        finally:
            self.ended.set()


class AsyncTicking(Ticking):
    async def tick(self) -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
                self.began.set()
                await asyncio.sleep(0.02)
        finally:
            self.ended.set()


class Notes:
    """What reached a puller or subscriber of ours, in order, with the trace it came with."""

    def __init__(self) -> None:
        self._notes: queue.Queue[tuple[list[Any], str]] = queue.Queue()

    def note(self, *args: Any) -> None:
        self._notes.put((list(args), TRACE.get()))

    def fail(self) -> None:
        raise ValueError("a puller has nobody to tell")

    def next_note(self) -> list[Any]:
        return self.next_traced()[0]

    def next_traced(self) -> tuple[list[Any], str]:
        return self._notes.get(timeout=PATIENCE)


class Pending:
    """A call under way: get() waits for its value, or raises its error."""

    def __init__(self, get: Callable[[], Any]) -> None:
        self.get = get


class BlockingCaller:
    """`zerorpc.Client` under the common face."""

    def __init__(self, connect_to: str | None = None, **options: Any) -> None:
        self.client = zerorpc.Client(connect_to, **options)

    def connect(self, endpoint: str) -> None:
        self.client.connect(endpoint)

    def bind(self, endpoint: str) -> str:
        (bound,) = self.client.bind(endpoint)
        return bound

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self.client(method, *args, **options)

    def items(self, method: str, *args: Any, **options: Any) -> list[Any]:
        return list(self.client(method, *args, **options))

    def each(self, method: str, *args: Any) -> Generator[Any, None, None]:
        """Yields the items of a stream; closing this iterator is what abandons it."""
        stream = self.client(method, *args)
        try:
            yield from stream
        finally:
            stream.close()

    def start(self, method: str, *args: Any, **options: Any) -> Pending:
        answer = self.client(method, *args, async_=True, **options)
        return Pending(lambda: answer.get(timeout=PATIENCE))

    def close(self) -> None:
        self.client.close()


class AsyncCaller:
    """`zerorpc.AsyncClient`, on a loop of its own that runs all the time, under the common face."""

    def __init__(self, connect_to: str | None = None, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop under test", daemon=True)
        self._thread.start()
        self.client: zerorpc.AsyncClient = self._run(self._make(connect_to, options))

    async def _make(self, connect_to: str | None, options: dict[str, Any]) -> zerorpc.AsyncClient:
        return zerorpc.AsyncClient(connect_to, **options)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def connect(self, endpoint: str) -> None:
        async def connect() -> None:
            self.client.connect(endpoint)

        self._run(connect())

    def bind(self, endpoint: str) -> str:
        async def bind() -> list[str]:
            return self.client.bind(endpoint)

        (bound,) = self._run(bind())
        return bound

    async def _call(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return await self.client(method, *args, **options)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self._run(self._call(method, args, options))

    def items(self, method: str, *args: Any, **options: Any) -> list[Any]:
        async def collect() -> list[Any]:
            return [item async for item in self.client(method, *args, **options)]

        return self._run(collect())

    def each(self, method: str, *args: Any) -> Generator[Any, None, None]:
        async def begin() -> AsyncIterator[Any]:
            return aiter(self.client(method, *args))

        stream = self._run(begin())
        try:
            while (item := self._run(anext_or(stream, END))) is not END:
                yield item
        finally:
            self._run(stream.aclose())

    def start(self, method: str, *args: Any, **options: Any) -> Pending:
        future = asyncio.run_coroutine_threadsafe(self._call(method, args, options), self._loop)
        return Pending(lambda: future.result(PATIENCE))

    def close(self) -> None:
        self._run(self.client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


END = object()


async def anext_or(stream: Any, end: object) -> Any:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return end


Caller = BlockingCaller | AsyncCaller
CALLERS: dict[str, Callable[..., Caller]] = {"Client": BlockingCaller, "AsyncClient": AsyncCaller}


def take(stream: Generator[Any, None, None], count: int) -> list[Any]:
    """The first items of a stream, which is then abandoned."""
    with contextlib.closing(stream):
        return [next(stream) for _ in range(count)]


def results_of(futures: dict[str, Future[Any]], patience: float = PATIENCE) -> dict[str, Any]:
    return {name: future.result(patience) for name, future in futures.items()}
