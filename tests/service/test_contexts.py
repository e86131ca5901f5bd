"""Context variables: every call, of whatever kind, gets a fresh copy of the context in which the server was run."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.process_services import remembers_in_its_context
from tests.service.running import PATIENCE, TCP, run, serving

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")


class Remembers:
    """Each method tells what it finds, and leaves something else behind."""

    def plain(self, name: str) -> list[str]:
        return _swap(name)

    @zerorpc.on_loop
    def quick(self, name: str) -> list[str]:
        return _swap(name)

    async def coroutine(self, name: str) -> list[str]:
        return _swap(name)

    async def waiting(self, name: str) -> list[str]:
        found = _swap(name)
        await asyncio.sleep(0)
        return [found[0], variable.get()]

    def returns_a_coroutine(self, name: str) -> Any:
        found = _swap(name)

        async def rest() -> list[str]:
            await asyncio.sleep(0)
            return [found[0], variable.get()]

        return rest()

    def generator(self, name: str) -> Iterator[str]:
        yield from _swap(name)[:1]
        yield variable.get()

    async def async_generator(self, name: str) -> AsyncIterator[str]:
        yield _swap(name)[0]
        await asyncio.sleep(0)
        yield variable.get()

    def returns_an_async_generator(self, name: str) -> Any:
        return self.async_generator(name)

    async def returns_a_generator(self, name: str) -> Any:
        return self.generator(name)

    @zerorpc.rep
    def listed(self, name: str) -> Iterator[str]:
        yield from self.generator(name)


KINDS = [name for name in vars(Remembers) if not name.startswith("_")]


def _swap(name: str) -> list[str]:
    before = variable.get()
    variable.set(name)
    return [before, variable.get()]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Of a server that is run, on a thread, where the variable is "server"."""
    server = zerorpc.Server(Remembers(), pool_size=2)
    server.bind(TCP)

    def serve() -> None:
        variable.set("server")
        server.run()

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.endpoints[0]
    server.stop()
    thread.join(PATIENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_sees_the_context_of_run_and_nothing_of_other_calls(endpoint: str, kind: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as one, zerorpc.Client(endpoint, timeout=PATIENCE) as other:
        for client, name in [(one, "one"), (other, "other"), (one, "again")]:
            assert list(client(kind, name)) == ["server", name]


def test_calls_that_wait_for_their_turn_see_no_more(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        calls = [(name, client(kind, name, async_=True)) for name in "abc" for kind in KINDS]
        for name, call in calls:
            assert list(call.get()) == ["server", name]


def test_serve_uses_the_context_of_its_caller() -> None:
    async def main() -> None:
        variable.set("caller of serve")
        server = zerorpc.Server(Remembers())
        endpoint = server.bind(TCP)[0]
        serving = asyncio.create_task(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for kind in ("plain", "coroutine", "waiting", "quick"):
                assert await client(kind, "x") == ["caller of serve", "x"]
        server.stop()
        await serving

    run(main())


def test_a_worker_process_sees_nothing_of_the_call_before() -> None:
    with serving({"f": remembers_in_its_context}) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            assert client.f("one") == ["nobody", "one"]
            assert client.f("two") == ["nobody", "two"]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_precision_that_one_call_sets_is_no_others(kind: str) -> None:
    def plain(precision: int) -> int:
        before = decimal.getcontext().prec
        decimal.getcontext().prec = precision
        return before

    async def coroutine(precision: int) -> int:
        return plain(precision)

    methods: dict[str, Callable[..., Any]] = {"plain": plain, "coroutine": coroutine}
    with serving(methods, pool_size=1) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        usual = client(kind, 5)
        assert [client(kind, n) for n in (6, 7, 8)] == [usual] * 3


class Middleware:
    """Sets a variable before the method, as tracing does, and tells what it finds afterwards."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def load_task_context(self, header: dict[str, Any]) -> None:
        self.seen.append(variable.get())
        variable.set("hook")

    def server_after_exec(self, request: Any, reply: Any) -> None:
        self.seen.append(variable.get())


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_and_method_share_a_calls_context(kind: str) -> None:
    context = zerorpc.Context()
    middleware = Middleware()
    context.register_middleware(middleware)
    with serving(Remembers(), context=context) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            for name in ("one", "two"):
                assert list(client(kind, name)) == ["hook", name]
    assert middleware.seen == ["nobody", "one", "nobody", "two"]
