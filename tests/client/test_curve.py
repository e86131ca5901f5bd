"""Calls over CURVE between our own sockets, and clients that are refused: each knows why, and at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.interop.ours import CALLERS
from tests.service.running import PATIENCE, TCP, on_thread, run, serving, unused_tcp
from zerorpc.keys import KeyPair

SERVER, CLIENT, OTHER = (KeyPair.generate() for _ in range(3))
AS_SERVER = zerorpc.Curve(SERVER.secret)
AS_CLIENT = zerorpc.Curve(CLIENT.secret, SERVER.public)
EACH_CALLER = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)


class Service:
    def echo(self, value: Any) -> Any:
        return value

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    def apply(self, function: Any, value: int) -> Any:
        return function(value)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Service(), curve=AS_SERVER) as server:
        yield server.endpoints[0]


@EACH_CALLER
@pytest.mark.parametrize("curve", [AS_CLIENT, zerorpc.Curve(server_key=SERVER.public)], ids=["a key", "a new key"])
def test_calls_streams_and_large_values(endpoint: str, make_caller: Any, curve: zerorpc.Curve) -> None:
    caller = make_caller(endpoint, timeout=PATIENCE, curve=curve)
    try:
        assert caller.call("echo", "hi") == "hi"
        assert caller.items("count", 300) == list(range(300))
        large = bytes(range(256)) * 20_000
        assert caller.call("echo", large) == large
        with pytest.raises(zerorpc.UnknownMethod):
            caller.call("nothing")
    finally:
        caller.close()


def test_what_goes_the_other_way_and_many_at_once(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE, curve=AS_CLIENT) as client:
        assert client.total(iter(range(500))) == sum(range(500))
        assert client.apply(lambda value: value + 1, 1) == 2
        results = [client.echo(number, async_=True) for number in range(200)]
        assert [result.get() for result in results] == list(range(200))

    async def calls() -> list[Any]:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, curve=AS_CLIENT) as client:
            return list(await asyncio.gather(*(client.echo(number) for number in range(200))))

    assert run(calls()) == list(range(200))


def test_an_endpoint_may_have_other_settings_than_the_socket(tmp_path: Path) -> None:
    """One server at a CURVE port, at one with another key, and at an open ipc path."""
    server = zerorpc.Server(Service(), curve=AS_SERVER, grace=0.1)
    [own] = server.bind(TCP)
    [others] = server.bind(TCP, curve=zerorpc.Curve(OTHER.secret))
    [plain] = server.bind(f"ipc://{tmp_path}/plain", curve=None)
    ways = {own: AS_CLIENT, others: zerorpc.Curve(server_key=OTHER.public), plain: None}
    with on_thread(server):
        for endpoint, curve in ways.items():
            with zerorpc.Client(timeout=PATIENCE) as client:
                client.connect(endpoint, curve=curve)
                assert client.echo(endpoint) == endpoint
        with zerorpc.Client(curve=AS_CLIENT, timeout=PATIENCE) as client:
            for endpoint, curve in ways.items():
                client.connect(endpoint, curve=curve)
            client.connect(own)  # as before
            with pytest.raises(zerorpc.EndpointError, match="connected already, with another curve="):
                client.connect(plain)
            assert {client.echo(number) for number in range(6)} == set(range(6))


def test_one_way_sockets() -> None:
    came = threading.Event()
    for receiving, sending, role in (
        (zerorpc.Puller, zerorpc.Pusher, AS_SERVER),
        (zerorpc.Puller, zerorpc.Pusher, AS_CLIENT),
        (zerorpc.Subscriber, zerorpc.Publisher, AS_SERVER),
        (zerorpc.Subscriber, zerorpc.Publisher, AS_CLIENT),
    ):
        came.clear()
        other = AS_CLIENT if role is AS_SERVER else AS_SERVER
        receiver = receiving({"take": came.set}, curve=role)
        receiver.bind(TCP)
        with on_thread(receiver), sending(curve=other) as sender:
            sender.connect(receiver.endpoints[0])
            for _ in range(500):  # what is published before it has subscribed is lost
                sender.take()
                if came.wait(0.02):
                    break
            assert came.is_set()


def test_a_server_that_connects_may_be_the_client() -> None:
    """A worker behind a client that binds, and has the key that workers know."""
    with zerorpc.Client(timeout=PATIENCE, curve=AS_SERVER) as client:
        [endpoint] = client.bind(TCP)
        with serving(Service(), connect=endpoint, curve=AS_CLIENT):
            assert client.echo("hi") == "hi"


def test_several_processes_know_where_a_connection_came(tmp_path: Path) -> None:
    server = zerorpc.Server(Service(), curve=AS_SERVER, processes=2)
    hub = server._core.hub
    server.bind(TCP)
    server.bind(f"ipc://{tmp_path}/plain", curve=None)
    try:
        assert [listener.security.curve for listener in hub.listeners.values()] == [AS_SERVER, None]
    finally:
        server.close()


# Refused

CASES: dict[str, tuple[Any, zerorpc.Curve | None, str]] = {
    "another server's key": (
        AS_SERVER,
        zerorpc.Curve(CLIENT.secret, OTHER.public),
        "the peer refused the connection: this server has another key than the one that the client was given",
    ),
    "no curve": (AS_SERVER, None, r"wants the security mechanism 'CURVE', here it is 'NULL': .*\(curve= with the keys"),
    "curve for a plain server": (None, AS_CLIENT, r"wants the security mechanism 'NULL', here it is 'CURVE': .*curve="),
    "two servers": (AS_SERVER, zerorpc.Curve(OTHER.secret), "both sides have the server's role in CURVE"),
    "two clients": (AS_CLIENT, AS_CLIENT, "both sides have the client's role in CURVE"),
}


@EACH_CALLER
@pytest.mark.parametrize("case", CASES)
def test_a_client_that_comes_together_with_no_server_is_told_at_once(case: str, make_caller: Any) -> None:
    servers, clients, why = CASES[case]
    with serving(Service(), curve=servers) as server:
        [endpoint] = server.endpoints
        caller = make_caller(endpoint, timeout=10 * PATIENCE, curve=clients)
        try:
            for _ in range(2):  # the second finds it known already
                with pytest.raises(zerorpc.HandshakeFailed, match=why) as caught:
                    caller.call("echo", "hi")
                assert str(caught.value).startswith(f"calling remote method echo: {endpoint}: ")
                assert (caught.value.ran, caught.value.endpoint) == (False, endpoint)
        finally:
            caller.close()


@EACH_CALLER
def test_with_another_server_to_be_had_calls_go_there(endpoint: str, make_caller: Any) -> None:
    with serving(Service(), curve=zerorpc.Curve(OTHER.secret)) as wrong:
        caller = make_caller(wrong.endpoints[0], timeout=PATIENCE, curve=AS_CLIENT)
        try:
            with pytest.raises(zerorpc.HandshakeFailed):
                caller.call("echo", "hi")
            caller.connect(endpoint)
            assert caller.call("echo", "hi") == "hi"
        finally:
            caller.close()


@EACH_CALLER
def test_a_client_is_let_in_by_the_server_that_comes_later(make_caller: Any) -> None:
    """It goes on trying, less and less often."""
    with serving(Service(), bind=unused_tcp(), curve=zerorpc.Curve(OTHER.secret)) as wrong:
        [endpoint] = wrong.endpoints
        caller = make_caller(endpoint, timeout=PATIENCE, curve=AS_CLIENT)
        with pytest.raises(zerorpc.HandshakeFailed):
            caller.call("echo", "hi")
    try:
        with serving(Service(), bind=endpoint, curve=AS_SERVER):
            for _ in range(100):
                try:
                    assert caller.call("echo", "hi") == "hi"
                except zerorpc.HandshakeFailed:
                    threading.Event().wait(0.1)
                else:
                    return
            pytest.fail("it was never let in")
    finally:
        caller.close()
