"""What keeps a client alive, and what the garbage collector may take away while others call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, eventually_async, joined, run, serving
from tests.service.services import Blocking, open_calls
from zerorpc.protocol.channel import ClientChannel

HEARTBEAT = 1.0  # s; the keeper looks in twice as often
DROPPED = 100  # streams, by each thread or task that drops some
COLLECT_AFTER = 40  # allocations until the collector runs: so in the middle of everything


@pytest.fixture
def service() -> Iterator[Blocking]:
    service = Blocking()
    yield service
    service.release.set()


@pytest.fixture
def server(service: Blocking) -> Iterator[zerorpc.Server]:
    with serving(service) as server:
        yield server


@pytest.fixture
def client(server: zerorpc.Server) -> Iterator[zerorpc.Client]:
    with new_client(server) as client:
        yield client


# What outlives the client's last name


def test_a_call_of_a_client_without_a_name(server: zerorpc.Server) -> None:
    result = new_client(server).echo(1)  # not within assert: pytest would give the client a name
    assert result == 1
    result = new_client(server)("echo", 2)
    assert result == 2
    eventually(lambda: not server._core.hub.links, "the connections are closed")


def test_a_method_keeps_its_client_alive_and_the_last_one_takes_it_along(server: zerorpc.Server) -> None:
    echo, who = methods_of(new_client(server))
    assert echo(1) == 1
    del echo
    assert who() == ""
    assert len(server._core.hub.links) == 1
    del who
    eventually(lambda: not server._core.hub.links, "the connection is closed")


def test_a_method_outlives_its_client_in_a_reference_cycle(server: zerorpc.Server) -> None:
    client = new_client(server)
    echo = client.echo
    client.__dict__["itself"] = client
    del client
    gc.collect()
    assert [echo(n) for n in range(3)] == [0, 1, 2]
    del echo
    eventually(lambda: not server._core.hub.links, "the connection is closed")


def test_a_stream_keeps_its_client_alive(server: zerorpc.Server, service: Blocking) -> None:
    items = new_client(server).count(500)
    assert list(items) == list(range(500))
    items = new_client(server).count(10**9)
    assert [next(items) for _ in range(300)] == list(range(300))
    service.ended.clear()  # set by the first one
    del items
    eventually(lambda: not server._core.hub.links, "the connections are closed")
    assert service.ended.wait(PATIENCE)  # the server was told, or saw the connection go


def test_an_async_result_keeps_its_client_alive(server: zerorpc.Server, service: Blocking) -> None:
    result = new_client(server).block(async_=True)
    assert service.started.wait(PATIENCE)
    gc.collect()
    assert len(server._core.hub.links) == 1
    service.release.set()
    assert result.get(timeout=PATIENCE) == "released"
    del result
    eventually(lambda: not server._core.hub.links, "the connection is closed")


def new_client(server: zerorpc.Server) -> zerorpc.Client:
    return zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=HEARTBEAT)


def methods_of(client: zerorpc.Client) -> tuple[Any, Any]:
    return client.echo, client.who


# The collector at work in the middle of calls


def test_streams_that_are_collected_while_others_call(service: Blocking) -> None:
    """In cycles, so that whichever thread allocates the next object collects them, with the client's lock or not."""
    problems: list[BaseException] = []
    with joined(service) as client:

        def litter() -> None:
            for _ in range(DROPPED):
                drop_in_a_cycle(client.count(10**6))

        def call() -> None:
            for n in range(200):
                assert client.echo([n, [[k] for k in range(20)]]) == [n, [[k] for k in range(20)]]

        with collecting_often():
            together([litter, litter, call, call], problems)
        gc.collect()
        assert not problems
        assert client.echo("still") == "still"
        eventually(lambda: open_calls(client) == 0, "all dropped streams are given up")


def test_a_stream_that_is_collected_while_the_calls_are_walked_is_given_up_later(client: zerorpc.Client) -> None:
    with not_collecting():
        drop_in_a_cycle(client.count(10**9))
        live = client.count(10**9)
        with client._core.hub.lock:
            for peer in client._core.calls.peers:
                for _ in peer.channels.values():
                    gc.collect()  # as the collector may, by itself
    assert next(live) == 0
    eventually(lambda: client.echo(1) == 1 and open_calls(client) == 1, "only the dropped one is given up")
    live.close()


def test_a_stream_that_is_collected_while_another_thread_holds_the_lock_waits_for_nobody(
    client: zerorpc.Client, service: Blocking
) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with client._core.hub.lock:
            held.set()
            assert let_go.wait(PATIENCE)

    items = client.count(10**9)
    assert next(items) == 0
    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(PATIENCE)
    dropping = threading.Timer(PATIENCE / 2, let_go.set)  # so that it ends if it does wait
    dropping.start()
    del items
    assert not let_go.is_set()
    let_go.set()
    dropping.cancel()
    other.join(PATIENCE)
    assert client.echo(1) == 1
    assert service.ended.wait(PATIENCE)


def test_an_async_stream_that_another_thread_collects_is_given_up_on_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[threading.Thread] = []
    abandon = ClientChannel.abandon

    def spy(channel: ClientChannel) -> None:
        where.append(threading.current_thread())
        abandon(channel)

    monkeypatch.setattr(ClientChannel, "abandon", spy)
    service = Blocking()

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            cycle: list[Any] = [await client.count(10**9)]
            cycle.append(cycle)
            del cycle
            await asyncio.to_thread(gc.collect)
            await eventually_async(service.ended.is_set)

    with serving(service) as server, not_collecting():
        run(main(server.endpoints[0]))
    assert where
    assert set(where) == {threading.current_thread()}


def drop_in_a_cycle(stream: Any) -> None:
    assert next(stream) == 0
    cycle = [stream]
    cycle.append(cycle)


@contextlib.contextmanager
def not_collecting() -> Iterator[None]:
    """The collector runs only when it is told to."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def collecting_often() -> Iterator[None]:
    """The collector runs every few allocations, in whichever thread makes them, and in one of its own."""
    done = threading.Event()

    def collect() -> None:
        while not done.wait(0.001):
            gc.collect()

    before = gc.get_threshold()
    collector = threading.Thread(target=collect)
    collector.start()
    gc.set_threshold(COLLECT_AFTER, 2, 2)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        done.set()
        collector.join(PATIENCE)


def together(works: list[Callable[[], None]], problems: list[BaseException]) -> None:
    """Each in a thread of its own; what they raise."""

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive(), "a call never ended"
