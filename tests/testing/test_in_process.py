"""A service called in its own process: what a user sees is what a network would show, and no socket carries it."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.service import process_services
from tests.service.running import PATIENCE, eventually, eventually_async, run
from tests.testing.services import Cooler


@pytest.fixture
def cooler() -> Iterator[Cooler]:
    service = Cooler()
    yield service
    service.blocked.set()


@pytest.fixture
def client(cooler: Cooler) -> Iterator[zerorpc.Client]:
    with zerorpc.testing.client(cooler) as made:
        yield made


def test_what_a_call_returns(client: zerorpc.Client) -> None:
    assert client.add(1, 2) == 3
    assert client.chills() == "chilled"
    assert client.pair() == [1, 2]  # as over a network
    assert client("add", 2, 2) == 4


@pytest.mark.parametrize("method", ["count", "acount"])
def test_streams(client: zerorpc.Client, method: str) -> None:
    assert list(client(method, 0)) == []
    assert list(client(method, 3)) == [0, 1, 2]
    assert sum(client(method, 5000)) == sum(range(5000))
    assert list(client(method, 30, slots=1)) == list(range(30))


def test_arguments_stream_too(client: zerorpc.Client) -> None:
    assert client.total(iter(range(1000))) == sum(range(1000))
    assert client.total([1, 2]) == 3
    assert [outcome.value for _, outcome in zerorpc.every(client).total([1, 2])] == [3]


@pytest.mark.parametrize("method", ["count", "acount"])
def test_a_stream_that_is_left_ends_the_method(client: zerorpc.Client, cooler: Cooler, method: str) -> None:
    with client(method, 10**9) as stream:
        assert next(stream) == 0
    eventually(lambda: client.add(1, 1) == 2 and cooler.cancelled == [method])


def test_errors_are_those_of_a_network(client: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.RemoteError) as failed:
        client.fails()
    assert (failed.value.name, failed.value.msg, failed.value.ran) == ("ValueError", "not today", True)
    with pytest.raises(zerorpc.UnknownMethod):
        client.nothing()
    with pytest.raises(zerorpc.WrongArguments):
        client.add(1)
    with pytest.raises(zerorpc.RemoteError, match="can't be sent"):
        client.unsendable()
    with pytest.raises(zerorpc.SerializationError):
        client.echo(object())


def test_large_values_go_both_ways(client: zerorpc.Client) -> None:
    value = bytes(range(256)) * 20_000
    assert client.echo(value) == value
    assert client.echo([value, "x" * 300_000]) == [value, "x" * 300_000]


def test_a_method_that_blocks_for_ever_times_out(client: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.TimeoutExpired):
        client.blocks(timeout=0.01)
    assert client.add(1, 2) == 3


def test_the_end_does_not_wait_for_what_runs(cooler: Cooler) -> None:
    with zerorpc.testing.client(cooler) as client:
        waiting = [client(method, async_=True) for method in ("hangs", "blocks")]
        assert cooler.begun.wait(PATIENCE)
        eventually(lambda: client.add(1, 2) == 3)
    for result in waiting:
        with pytest.raises(zerorpc.LostRemote):
            result.get()
    assert cooler.cancelled == ["hangs"]
    with pytest.raises(zerorpc.Closed):
        client.add(1, 2)


def test_what_a_server_takes_is_served() -> None:
    with zerorpc.testing.client({"add": lambda a, b: a + b}) as client:
        assert client.add(1, 2) == 3
    with zerorpc.testing.client(math) as client:
        assert client.sqrt(9) == 3
    with pytest.raises(TypeError, match="needs an instance"), zerorpc.testing.client(Cooler):
        pass


def test_a_prepared_server_is_served_once() -> None:
    server = zerorpc.Server(Cooler(), name="bar", processes=4)
    server.register(json, "json")
    with zerorpc.testing.client(server) as client:
        assert client.add(1, 2) == 3
        assert client.json.loads("[1]") == [1]
        assert client("_zerorpc_name") == "bar"
        with pytest.raises(zerorpc.Closed), zerorpc.testing.client(server):
            pass
        assert client.add(1, 2) == 3
    with pytest.raises(zerorpc.Closed), zerorpc.testing.client(server):
        pass
    with pytest.raises(zerorpc.Closed):
        server.run()


def test_middleware_sees_calls_on_both_sides() -> None:
    seen: list[Any] = []
    serving, calling = zerorpc.Context(), zerorpc.Context()
    serving.register_middleware({"load_task_context": lambda header: seen.append(header["trace"])})
    calling.register_middleware({"get_task_context": lambda: {"trace": 7}})
    with zerorpc.testing.client(zerorpc.Server(Cooler(), context=serving), context=calling) as client:
        client.add(1, 2)
    assert seen == [7]


def test_two_clients_at_once_have_a_server_each(cooler: Cooler) -> None:
    with zerorpc.testing.client(cooler) as first, zerorpc.testing.client(cooler) as second:
        waits = first.blocks(async_=True)
        assert second.add(1, 2) == 3
        cooler.blocked.set()
        assert waits.get() == "at last"


def test_threads_share_a_client(client: zerorpc.Client) -> None:
    results: list[list[int]] = [[] for _ in range(8)]

    def call(number: int) -> None:
        for turn in range(50):
            results[number].append(client.add(number, turn))
            assert list(client.acount(3)) == [0, 1, 2]
            assert client.chills() == "chilled"

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert results == [[number + turn for turn in range(50)] for number in range(8)]


def test_coroutines_run_in_the_thread_that_waits(client: zerorpc.Client, cooler: Cooler) -> None:
    before = threading.active_count()
    client.chills()
    assert cooler.threads == {threading.get_ident()}
    assert threading.active_count() == before


def test_a_client_may_be_used_inside_of_another_loop(client: zerorpc.Client) -> None:
    async def blocks_its_loop() -> Any:
        return client.add(1, 2), list(client.acount(3)), client.chills()

    assert run(blocks_its_loop()) == (3, [0, 1, 2], "chilled")


def test_a_plain_method_may_call_its_own_service() -> None:
    service = {"add": lambda a, b: a + b, "twice": lambda number: client.add(number, number)}
    with zerorpc.testing.client(service) as client:
        assert client.twice(4) == 8


def test_a_coroutine_that_calls_its_own_service_is_told_at_once() -> None:
    async def waits_for_itself() -> Any:
        return client.add(1, 2)

    with zerorpc.testing.client({"waits": waits_for_itself, "add": lambda a, b: a + b}) as client:
        with pytest.raises(zerorpc.RemoteError, match="its own in-process client"):
            client.waits()
        assert client.add(1, 2) == 3


def test_no_socket_is_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    async def calls() -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socket", refuse)
            patched.setattr(socket, "socketpair", refuse)
            async with zerorpc.testing.async_client(Cooler()) as client:
                return await client.add(1, 2), [number async for number in client.count(3)]

    assert run(calls()) == (3, [0, 1, 2])
    with zerorpc.testing.client(Cooler()) as client, pytest.raises(RuntimeError, match="no endpoints"):
        client.connect("tcp://127.0.0.1:1")


def test_a_server_that_stops_itself_is_lost() -> None:
    server: zerorpc.Server = zerorpc.Server({"add": lambda a, b: a + b, "leave": lambda: server.stop() or "gone"})

    def is_lost() -> bool:
        try:
            return client.add(1, 2, timeout=0.1) != 3
        except (zerorpc.LostRemote, zerorpc.ServerStopping, zerorpc.TimeoutExpired):
            return True

    with zerorpc.testing.client(server) as client:
        client.leave()
        eventually(is_lost)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs alarms")
@pytest.mark.timeout(method="thread")  # an alarm of the test's takes the place of the limit's own
@pytest.mark.parametrize("method", ["blocks", "hangs"])
@pytest.mark.filterwarnings("ignore:.*was never awaited")  # an interrupt may come just after it was made
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_client_goes_on(client: zerorpc.Client, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # it may come before the call on a busy machine
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                client(method)
            assert client.add(1, 2) == 3
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_not_use_it(client: zerorpc.Client) -> None:
    child = os.fork()
    if not child:
        try:
            client.add(1, 2)
        except RuntimeError as error:
            os._exit(0 if "forked child" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert client.add(1, 2) == 3


def test_methods_for_worker_processes() -> None:
    with zerorpc.testing.client(process_services) as client:
        assert client.pid() != os.getpid()


def test_what_the_test_raises_comes_through(cooler: Cooler) -> None:
    with pytest.raises(KeyError), zerorpc.testing.client(cooler) as client:
        raise KeyError(client.add(1, 2))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_that_is_never_closed_leaves_nothing(cooler: Cooler) -> None:
    """``nothing_left_behind`` sees the rest."""
    opened = zerorpc.testing.client(cooler)
    client = opened.__enter__()
    stream = client.acount(10)
    assert next(stream) == 0
    del opened, client, stream
    gc.collect()
    assert cooler.cancelled == ["acount"]


def test_coroutines_have_a_client_of_their_own(cooler: Cooler) -> None:
    async def calls() -> None:
        async with zerorpc.testing.async_client(cooler) as client:
            assert await client.pair() == [1, 2]
            assert await asyncio.gather(*(client.add(number, 1) for number in range(100))) == list(range(1, 101))
            assert [item async for item in client.count(300)] == list(range(300))
            assert [item async for item in client.acount(300)] == list(range(300))
            value = bytes(1_000_000)
            assert await client.echo(value) == value
            with pytest.raises(zerorpc.RemoteError, match="not today"):
                await client.fails()
            with pytest.raises(zerorpc.TimeoutExpired):
                await client.blocks(timeout=0.01)
            hanging = asyncio.create_task(client.hangs())
            await eventually_async(cooler.begun.is_set)
            hanging.cancel()
            await eventually_async(lambda: cooler.cancelled[2:] == ["hangs"])
        with pytest.raises(zerorpc.Closed):
            await client.add(1, 2)

    run(calls())


def test_two_async_clients_call_one_another(cooler: Cooler) -> None:
    async def calls() -> None:
        async def asks() -> Any:
            return await first.add(1, 2)

        async with zerorpc.testing.async_client(cooler) as first:
            async with zerorpc.testing.async_client({"asks": asks}) as second:
                assert await second.asks() == 3

    run(calls())


def test_functions_and_objects_by_reference() -> None:
    class Lab:
        def add(self, left: int, right: int) -> int:
            return left + right

        def calls(self, function: Any) -> Any:
            return function(5)

        def gives(self) -> Any:
            return zerorpc.by_reference(Lab())

        def adder(self, n: int) -> Any:
            return lambda m: n + m

    with zerorpc.testing.client(Lab()) as lab:
        assert lab.calls(lambda n: n * 2) == 10
        assert lab.adder(1)(2) == 3
        assert lab.gives().add(1, 2) == 3
        assert zerorpc.options(lab, async_=True).gives().get().add(1, 2) == 3

    async def main() -> None:
        async with zerorpc.testing.async_client(Lab()) as lab:
            assert await lab.calls(lambda n: n * 2) == 10
            assert await (await lab.gives()).add(1, 2) == 3

    run(main())
