"""What keeps a client alive, and what the garbage collector may take away while others call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, eventually_async, joined, run, serving
from tests.service.services import Blocking, open_calls
from zerorpc.protocol.channel import ClientChannel
from zerorpc.runtime.loops import new_event_loop

HEARTBEAT = 2.0  # s; the keeper looks in twice as often
DROPPED = 40  # streams, by each thread or task that drops some
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


# An AsyncClient that is dropped


def test_a_dropped_async_client_closes_and_warns(service: Blocking) -> None:
    async def main(server: zerorpc.Server) -> None:
        client = zerorpc.AsyncClient([server.endpoints[0], NOBODY], timeout=PATIENCE)
        assert await client.echo(1) == 1
        before = asyncio.all_tasks()
        with pytest.warns(ResourceWarning, match=rf"unclosed AsyncClient: <AioHub .*{server.endpoints[0]}"):
            del client
        await eventually_async(lambda: not server._core.hub.links, "the connection is closed")
        await eventually_async(lambda: asyncio.all_tasks() < before, "its tasks are ended")

    with serving(service) as server:
        run(main(server))


def test_what_is_left_of_an_async_client_keeps_it(service: Blocking) -> None:
    async def main(server: zerorpc.Server) -> None:
        echo = new_async_client(server).echo
        assert [await echo(n) for n in range(3)] == [0, 1, 2]
        result = await new_async_client(server).echo(3)  # not within assert: pytest would give the client a name
        assert result == 3
        items = await new_async_client(server).count(500)
        gc.collect()
        assert [n async for n in items] == list(range(500))
        call = new_async_client(server).block()
        await eventually_async(service.started.is_set)
        gc.collect()
        service.release.set()
        assert await call == "released"
        del echo, items, call
        await eventually_async(lambda: not server._core.hub.links, "the connections are closed")

    with serving(service) as server, pytest.warns(ResourceWarning, match="unclosed AsyncClient"):
        run(main(server))


def test_a_call_that_nobody_keeps_is_still_answered_before_its_client_goes(service: Blocking) -> None:
    async def main(server: zerorpc.Server) -> None:
        new_async_client(server).block()
        gc.collect()
        await eventually_async(service.started.is_set)
        service.release.set()
        await eventually_async(lambda: not server._core.hub.links, "the connection is closed")

    with serving(service) as server, pytest.warns(ResourceWarning, match="unclosed AsyncClient"):
        run(main(server))


def test_an_async_client_whose_calls_and_streams_failed_is_kept_by_no_circle(service: Blocking) -> None:
    async def fails(error: type[BaseException], call: Any) -> bool:
        try:
            await call
        except error:
            return True
        return False

    async def fail(server: zerorpc.Server) -> None:
        client = new_async_client(server)
        assert await client.echo(1) == 1
        assert await fails(zerorpc.RemoteError, client.fail("why"))
        call = client("block", timeout=0.01)
        assert await fails(zerorpc.TimeoutExpired, call)
        assert await fails(zerorpc.TimeoutExpired, call)
        waiting = asyncio.ensure_future(fails(asyncio.CancelledError, client.block()))
        await asyncio.sleep(0.01)
        waiting.cancel()
        assert await waiting
        items = await client.block_after(1)
        assert await items.__anext__() == 0
        waiting = asyncio.ensure_future(fails(zerorpc.LostRemote, items.__anext__()))
        await asyncio.sleep(0.01)
        client.disconnect(server.endpoints[0])
        assert await waiting
        assert await fails(StopAsyncIteration, items.__anext__())
        client.connect(server.endpoints[0])
        assert await client.echo(2) == 2

    async def main(server: zerorpc.Server) -> None:
        with not_collecting():
            await fail(server)
            await eventually_async(lambda: not server._core.hub.links, "the connection is closed")

    with serving(service) as server, pytest.warns(ResourceWarning, match="unclosed AsyncClient"):
        run(main(server))


def test_an_async_client_dropped_in_another_thread(service: Blocking) -> None:
    async def main(server: zerorpc.Server) -> None:
        kept = [new_async_client(server)]
        assert await kept[0].echo(1) == 1
        await asyncio.to_thread(kept.clear)
        await eventually_async(lambda: not server._core.hub.links, "the connection is closed")

    with serving(service) as server, pytest.warns(ResourceWarning, match="unclosed AsyncClient"):
        run(main(server))


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.filterwarnings("ignore:unclosed (transport|resource):ResourceWarning")  # the loop's own
def test_an_async_client_dropped_after_its_loop_was_closed(
    service: Blocking, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with serving(service) as server:
        loop = new_loop()
        client = loop.run_until_complete(called(server))
        loop.close()
        with pytest.warns(ResourceWarning, match="unclosed AsyncClient"):
            del client
        eventually(lambda: not server._core.hub.links, "the connection is closed")
        del loop
        gc.collect()


async def called(server: zerorpc.Server) -> zerorpc.AsyncClient:
    """A client with a connection, and a server that it looks for."""
    client = zerorpc.AsyncClient([server.endpoints[0], NOBODY], timeout=PATIENCE)
    assert await client.echo(1) == 1
    return client


def test_an_async_client_that_needs_no_closing_warns_of_nothing(server: zerorpc.Server, ipc_endpoint: str) -> None:
    async def main() -> None:
        zerorpc.AsyncClient(server.endpoints[0])
        await zerorpc.AsyncClient().__aenter__()
        closed = new_async_client(server)
        await closed.echo(1)
        await closed.aclose()
        del closed
        closing = new_async_client(server)
        await closing.echo(1)
        closing.close()
        del closing
        await asyncio.sleep(0.05)  # it closes in the background

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        zerorpc.AsyncClient(server.endpoints[0])
        run(main())
        gc.collect()
    assert not [str(warning.message) for warning in caught]
    with pytest.warns(ResourceWarning, match=f"unclosed AsyncClient: .*{ipc_endpoint}"):
        zerorpc.AsyncClient().bind(ipc_endpoint)
    with zerorpc.Server({}) as again:
        again.bind(ipc_endpoint)


NOBODY = "inproc://nobody listens here"


def new_async_client(server: zerorpc.Server) -> zerorpc.AsyncClient:
    return zerorpc.AsyncClient(server.endpoints[0], timeout=PATIENCE)


# The collector at work in the middle of calls


def test_streams_that_are_collected_while_others_call(service: Blocking) -> None:
    """In cycles, so that whichever thread allocates the next object collects them, with the client's lock or not."""
    problems: list[BaseException] = []
    with joined(service) as client:

        def litter() -> None:
            for _ in range(DROPPED):
                drop_in_a_cycle(client.count(10**6))

        def call() -> None:
            for n in range(80):
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

    def spy(channel: ClientChannel, error: Exception | None = None) -> None:
        where.append(threading.current_thread())
        abandon(channel, error)

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
