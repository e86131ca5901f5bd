"""A proxy before a real server: what it does to connections, a blocking and an async client see."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Iterator

import pytest

import zerorpc
import zerorpc.testing
from tests.service.running import PATIENCE, eventually, run, serving
from tests.testing.services import Cooler


@pytest.fixture
def cooler() -> Iterator[Cooler]:
    service = Cooler()
    yield service
    service.blocked.set()


@pytest.fixture
def heartbeat(request: pytest.FixtureRequest) -> float:
    """Rare, or a busy machine would be taken for a loss; but not where one is to be found by it."""
    beat: float = getattr(request, "param", 30.0)
    return beat


FREQUENT = pytest.mark.parametrize("heartbeat", [1.0], indirect=True)


@pytest.fixture
def endpoint(cooler: Cooler, heartbeat: float) -> Iterator[str]:
    with serving(cooler, heartbeat=heartbeat) as server:
        yield server.endpoints[0]


@pytest.fixture
def link(endpoint: str) -> Iterator[zerorpc.testing.Proxy]:
    with zerorpc.testing.proxy(endpoint) as made:
        yield made


@pytest.fixture
def client(link: zerorpc.testing.Proxy, heartbeat: float) -> Iterator[zerorpc.Client]:
    with zerorpc.Client(link.endpoint, heartbeat=heartbeat, timeout=PATIENCE) as made:
        yield made


def test_at_first_nothing_is_wrong(client: zerorpc.Client) -> None:
    assert client.add(1, 2) == 3
    value = bytes(range(256)) * 4000
    assert client.echo(value) == value
    assert list(client.count(1000)) == list(range(1000))


def test_a_cut_connection_is_lost_at_once_and_comes_back(
    client: zerorpc.Client, cooler: Cooler, link: zerorpc.testing.Proxy
) -> None:
    result = client.hangs(async_=True)
    assert cooler.begun.wait(PATIENCE)
    link.lose()
    with pytest.raises(zerorpc.LostRemote):
        result.get()
    assert client.add(1, 2) == 3
    eventually(lambda: cooler.cancelled == ["hangs"])


@FREQUENT
def test_a_half_open_connection_is_found_by_heartbeats_on_both_sides(
    client: zerorpc.Client, cooler: Cooler, link: zerorpc.testing.Proxy
) -> None:
    result = client.hangs(async_=True)
    assert cooler.begun.wait(PATIENCE)
    link.half_open()
    with pytest.raises(zerorpc.LostRemote, match="heartbeat"):
        result.get()
    eventually(lambda: cooler.cancelled == ["hangs"])
    with pytest.raises(zerorpc.TimeoutExpired):
        client.add(1, 2, timeout=0.05)
    link.heal()
    assert client.add(1, 2) == 3


@FREQUENT
def test_one_direction_alone(client: zerorpc.Client, cooler: Cooler, link: zerorpc.testing.Proxy) -> None:
    assert client.add(1, 2) == 3
    link.half_open("to_client")
    result = client.hangs(async_=True)
    assert cooler.begun.wait(PATIENCE)  # the request came through
    with pytest.raises(zerorpc.LostRemote):
        result.get()


def test_refused_connections(client: zerorpc.Client, link: zerorpc.testing.Proxy) -> None:
    link.refuse()
    with pytest.raises((zerorpc.TimeoutExpired, zerorpc.LostRemote)):
        client.add(1, 2, timeout=0.2)
    link.heal()
    assert client.add(1, 2) == 3


def test_delay(client: zerorpc.Client, link: zerorpc.testing.Proxy) -> None:
    assert client.add(1, 2) == 3
    link.delay(1000)
    with pytest.raises((zerorpc.TimeoutExpired, zerorpc.LostRemote)):
        client.add(1, 2, timeout=0.02)
    link.delay(0)
    assert client.add(1, 2) == 3
    link.delay(0.005)
    assert [client.add(number, 1) for number in range(5)] == [1, 2, 3, 4, 5]


def test_a_slow_reader_holds_a_stream_back() -> None:
    made: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(200):
            made.append(number)
            yield bytes(100_000)

    with serving({"chunks": chunks}) as server, zerorpc.testing.proxy(server.endpoints[0]) as link:
        with zerorpc.Client(link.endpoint, heartbeat=None) as client:
            stream = client.chunks(slots=200)
            assert len(next(stream)) == 100_000
            link.slow(10_000_000, "to_client")
            assert len(next(stream)) == 100_000
            link.slow(1, "to_client")
            before = len(made)
            assert before < 200
            link.heal()
            assert sum(len(chunk) for chunk in stream) == 198 * 100_000


def test_a_client_that_closes_is_seen_by_the_server(cooler: Cooler, link: zerorpc.testing.Proxy) -> None:
    with zerorpc.Client(link.endpoint) as client:
        result = client.hangs(async_=True)
        assert cooler.begun.wait(PATIENCE)
    with pytest.raises(zerorpc.LostRemote):
        result.get()
    eventually(lambda: cooler.cancelled == ["hangs"])


def test_there_may_be_no_server_yet(ipc_endpoint: str, cooler: Cooler) -> None:
    with zerorpc.testing.proxy(ipc_endpoint) as link, zerorpc.Client(link.endpoint) as client:
        result = client.add(1, 2, async_=True)
        with serving(cooler, bind=ipc_endpoint):
            assert result.get() == 3


def test_what_is_no_server_to_go_between() -> None:
    with pytest.raises(zerorpc.EndpointError), zerorpc.testing.proxy("inproc://x"):
        pass
    with pytest.raises(zerorpc.EndpointError), zerorpc.testing.proxy("127.0.0.1:80"):
        pass


def test_it_ends_with_its_block(endpoint: str) -> None:
    with zerorpc.testing.proxy(endpoint) as link:
        with zerorpc.Client(link.endpoint) as client:
            assert client.add(1, 2) == 3
            link.half_open()
    link.close()
    link.lose()
    link.delay(1)
    assert "zerorpc-testing-proxy" not in {thread.name for thread in threading.enumerate()}
    assert repr(link).startswith(f"<Proxy {link.endpoint} ")


def test_coroutines_use_it_as_well(cooler: Cooler, link: zerorpc.testing.Proxy) -> None:
    async def calls() -> None:
        async with zerorpc.AsyncClient(link.endpoint, heartbeat=30.0) as client:
            assert await client.add(1, 2) == 3
            hanging = asyncio.ensure_future(client.hangs())
            await asyncio.to_thread(cooler.begun.wait, PATIENCE)
            link.lose()
            with pytest.raises(zerorpc.LostRemote):
                await hanging
            assert await client.add(1, 2) == 3

    run(calls())


def test_connections_that_come_about_at_its_end_are_closed_too(endpoint: str) -> None:
    for number in range(60):
        with zerorpc.testing.proxy(endpoint) as link:
            address = link.endpoint.removeprefix("tcp://").split(":")
            sockets = [socket.create_connection((address[0], int(address[1]))) for _ in range(number % 4 + 1)]
        for sock in sockets:
            with sock, contextlib.suppress(ConnectionResetError):
                sock.settimeout(PATIENCE)
                while sock.recv(4096):  # the server's greeting, perhaps
                    pass
    gc.collect()  # what was left open would say so
