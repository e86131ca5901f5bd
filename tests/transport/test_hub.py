"""What both shells share: endpoints bound and connected, and when a connection is tried again."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, binds, eventually, run, serving, timed_out, unused_port
from zerorpc.errors import HandshakeFailed, LostRemote
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import parse
from zerorpc.transport.hub import Hub

# Backoff


def test_delays_double_up_to_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    dialer = Dialer(parse("tcp://host:1"))
    assert [dialer.failed("refused") for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    dialer.succeeded()
    assert dialer.failed("lost") == 0.05


def test_what_an_attempt_took_is_not_waited_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    dialer = Dialer(parse("tcp://host:1"))
    delays = [dialer.failed("no answer", took) for took in (0.01, 0.01, 3.0, 3.0)]
    assert delays == pytest.approx([0.04, 0.09, 0, 0])


def test_jitter_keeps_clients_out_of_step() -> None:
    delays = {Dialer(parse("tcp://host:1")).failed("refused") for _ in range(100)}
    assert len(delays) > 90
    assert all(0.025 <= delay <= 0.075 for delay in delays)


def test_a_dialer_shows_how_it_went() -> None:
    dialer = Dialer(parse("tcp://host:1"))
    assert repr(dialer) == "<Dialer tcp://host:1 not tried yet>"
    dialer.failed(ConnectionRefusedError("refused"))
    assert dialer.status == "refused"
    dialer.failed(TimeoutError())
    assert dialer.status == "TimeoutError"
    dialer.succeeded()
    assert dialer.status == "connected"


# Servers that no client gets in to


CLOSED = LostRemote("the connection was closed")


def test_a_refused_client_tries_again_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    dialer = Dialer(parse("tcp://host:1"))
    dialer.handshake_ended(HandshakeFailed("no"), secured=False)
    assert str(dialer.refusal) == "tcp://host:1: no"
    assert dialer.refusal is not None
    assert dialer.refusal.endpoint == "tcp://host:1"
    assert [dialer.failed("no") for _ in range(12)][6:] == [3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    dialer.succeeded()
    assert dialer.refusal is None


def test_a_connection_that_is_closed_in_the_handshake_is_a_refusal_at_the_third_time() -> None:
    dialer = Dialer(parse("tcp://host:1"))
    for secured in (True, True, False, True, True):  # NULL in between: a server that restarts, perhaps
        dialer.handshake_ended(CLOSED, secured)
        assert dialer.refusal is None
    dialer.handshake_ended(CLOSED, secured=True)
    assert "the server closed the connection in the handshake, 3 times" in str(dialer.refusal)


def test_calls_are_hopeless_only_if_each_endpoint_refuses() -> None:
    hub = Hub(lambda endpoint: endpoint)
    hub.start_dialer = hub.start_listener = hub.stop_listener = lambda _: None  # type: ignore[method-assign]
    assert hub.refusal is None
    for port in (1, 2):
        hub.connect(f"tcp://127.0.0.1:{port}")
    first, second = hub.dialers.values()
    first.handshake_ended(HandshakeFailed("first"), secured=True)
    assert hub.refusal is None
    second.handshake_ended(HandshakeFailed("second"), secured=True)
    assert hub.refusal is first.refusal
    hub.bind(TCP)  # somebody may come
    assert hub.refusal is None
    for listener in hub.listeners.values():
        listener.close()


# Names with several addresses


class Names:
    """getaddrinfo with one more name, ``service``: its first address refuses, the second is the server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = socket.getaddrinfo
        self.addresses: list[tuple[str, int]] = []
        monkeypatch.setattr(socket, "getaddrinfo", self._find)

    def _find(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "service":
            return self._real(host, port, *args, **kwargs)
        if not self.addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@contextlib.contextmanager
def any_client(kind: str, endpoint: str) -> Iterator[Any]:
    """A blocking client, or an async one used as if it were: ``call(method, *args)``."""
    if kind == "blocking":
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            yield client
        return

    def call(method: str, *args: Any, **options: Any) -> Any:
        async def main() -> Any:
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
                return await client(method, *args, **options)

        return run(main())

    yield call


KINDS = pytest.mark.parametrize("kind", ["blocking", "asyncio"])


def address_of(server: zerorpc.Server) -> tuple[str, int]:
    host, _, port = server.endpoints[0].removeprefix("tcp://").partition(":")
    return host, int(port)


@KINDS
def test_all_addresses_of_a_name_are_tried(kind: str, names: Names) -> None:
    with serving({"echo": lambda value: value}) as server:
        names.addresses = [("127.0.0.1", unused_port()), address_of(server)]
        with any_client(kind, "tcp://service:4242") as call:
            assert call("echo", 1) == 1


@KINDS
def test_a_name_that_becomes_known_later(kind: str, names: Names) -> None:
    with serving({"echo": lambda value: value}) as server:
        timer = threading.Timer(0.1, lambda: names.addresses.append(address_of(server)))
        timer.start()
        with any_client(kind, "tcp://service:4242") as call:
            assert call("echo", 1) == 1
        timer.join()


@KINDS
def test_an_unknown_name_is_in_the_error(kind: str, names: Names) -> None:
    with any_client(kind, "tcp://service:4242") as call:
        text = "the name 'service' can't be resolved: Name or service not known"
        timed_out(lambda timeout: call("echo", 1, timeout=timeout), text)


@KINDS
def test_a_look_up_that_breaks_is_logged_and_tried_again(
    kind: str, names: Names, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find, broken = socket.getaddrinfo, [RuntimeError("the resolver is broken")]

    def maybe_find(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "service" and broken:
            raise broken.pop()
        return find(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", maybe_find)
    with serving({"echo": lambda value: value}) as server:
        names.addresses = [address_of(server)]
        with any_client(kind, "tcp://service:4242") as call:
            assert call("echo", 1) == 1
    assert "connecting to tcp://service:4242 failed; it will be tried again" in caplog.text
    assert "the resolver is broken" in caplog.text


@KINDS
def test_a_name_without_addresses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [])
    with any_client(kind, "tcp://service:4242") as call:
        timed_out(lambda timeout: call("echo", 1, timeout=timeout), "tcp://service:4242 has no address")


@KINDS
def test_an_address_that_never_answers_does_not_keep_the_next_from_being_tried(
    kind: str, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener whose backlog is full swallows connection attempts."""
    monkeypatch.setattr("zerorpc.transport.aio_dialing.CONNECT_TIMEOUT", 0.05)
    monkeypatch.setattr("zerorpc.transport.sockets.CONNECT_TIMEOUT", 0.05)
    with socket.socket() as silent, contextlib.ExitStack() as stack, serving({"echo": lambda v: v}) as server:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        names.addresses = [silent.getsockname()]
        with any_client(kind, "tcp://service:4242") as call:
            timed_out(lambda timeout: call("echo", 1, timeout=timeout), "no answer within 0.05 s")
        names.addresses.append(address_of(server))
        with any_client(kind, "tcp://service:4242") as call:
            assert call("echo", 1) == 1


@KINDS
def test_a_server_on_all_interfaces_is_reached_by_0_and_star(kind: str) -> None:
    with serving({"echo": lambda value: value}, bind="tcp://0:0") as server:
        port = server.endpoints[0].rpartition(":")[2]
        for host in ("0", "*", "0.0.0.0", "127.0.0.1", "localhost"):
            with any_client(kind, f"tcp://{host}:{port}") as call:
                assert call("echo", host) == host


# Binding several


def test_binding_a_list_reports_each() -> None:
    with zerorpc.Server({}) as server:
        endpoints = server.bind([TCP, "inproc://hub-list", [TCP]])
        assert endpoints == server.endpoints
        assert len(set(endpoints)) == 3
        for endpoint in endpoints:
            server.unbind(endpoint)
        assert server.endpoints == []
        with pytest.raises(zerorpc.EndpointError, match="not bound to it"):
            server.unbind(endpoints[0])


def test_when_one_of_several_addresses_is_taken_none_stays_bound() -> None:
    with zerorpc.Server({}) as first, zerorpc.Server({}) as second:
        taken = first.bind(TCP)[0]
        with pytest.raises(zerorpc.AddressInUse):
            second.bind(["inproc://hub-partial", taken])
        assert second.endpoints == []
        first.bind("inproc://hub-partial")


def test_disconnecting_before_it_ever_connected() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client(endpoint) as client:
        client.disconnect(endpoint)
        with pytest.raises(zerorpc.TimeoutExpired, match="neither bound nor connected"):
            client.echo(1, timeout=0.01)

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint) as async_client:
            async_client.disconnect(endpoint)
            with pytest.raises(zerorpc.TimeoutExpired, match="neither bound nor connected"):
                await async_client.echo(1, timeout=0.01)

    run(main())


def test_a_server_worker_comes_back_to_a_client_that_binds_again() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with serving({"echo": lambda value: value}, connect=endpoint):
        for n in range(3):
            with zerorpc.Client(timeout=PATIENCE) as client:
                eventually(lambda client=client: binds(client, endpoint))
                assert client.echo(n) == n


# Out of descriptors


def test_a_connect_that_failed_may_be_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with serving({"ping": lambda: "pong"}) as server, zerorpc.Client(timeout=PATIENCE) as client:
        with monkeypatch.context() as patch:
            patch.setattr("zerorpc.transport.polling.Bell", refuse)
            with pytest.raises(OSError, match="Too many open files"):
                client.connect(server.endpoints[0])
        client.connect(server.endpoints[0])
        assert client.ping() == "pong"


# Several threads


@KINDS
def test_endpoints_may_be_changed_while_others_look_at_them(kind: str) -> None:
    """Who iterates never meets a change: calls that say what was tried, repr, endpoints, the keeper."""
    problems: list[BaseException] = []
    over = threading.Event()
    hub_of: dict[str, Any] = {"blocking": zerorpc.Client, "asyncio": zerorpc.AsyncClient}
    client = hub_of[kind](heartbeat=0.02)

    def change(number: int) -> None:
        try:
            for n in range(12):
                client.connect([f"inproc://changed-{number}-{n}-{k}" for k in range(3)])
                client.bind(f"inproc://bound-{number}-{n}")
                client.disconnect([f"inproc://changed-{number}-{n}-{k}" for k in range(3)])
                client.unbind(f"inproc://bound-{number}-{n}")
        except BaseException as error:
            problems.append(error)

    def look() -> None:
        try:
            while not over.is_set():
                client._core.hub.describe()
                repr(client)
                list(client.endpoints)
        except BaseException as error:
            problems.append(error)

    changers = [threading.Thread(target=change, args=(n,)) for n in range(3)]
    lookers = [threading.Thread(target=look) for _ in range(2)]
    for thread in (*lookers, *changers):
        thread.start()
    for thread in changers:
        thread.join(2 * PATIENCE)
    over.set()
    for thread in lookers:
        thread.join(PATIENCE)
    assert problems == []
    assert client.endpoints == []
    assert client._core.hub.dialers == {}
    if kind == "blocking":
        assert client._core.hub._keeper.is_alive()
        client.close()


@KINDS
def test_threads_that_connect_and_disconnect_the_same_endpoint(kind: str) -> None:
    hub_of: dict[str, Any] = {"blocking": zerorpc.Client, "asyncio": zerorpc.AsyncClient}
    client = hub_of[kind]()
    problems: list[BaseException] = []

    def change() -> None:
        for _ in range(100):
            try:
                client.connect("inproc://changed-by-all")
                client.disconnect("inproc://changed-by-all")
            except zerorpc.EndpointError:
                pass  # another thread was quicker
            except BaseException as error:
                problems.append(error)

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
    assert problems == []
    if client._core.hub.dialers:
        client.disconnect("inproc://changed-by-all")
    if kind == "blocking":
        eventually(lambda: not client._core.hub.dialing.threads)
        client.close()


def test_a_listener_that_can_not_be_started_is_not_left_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client() as client, zerorpc.Client() as other:
        with monkeypatch.context() as patch:
            patch.setattr("zerorpc.transport.polling.Bell", refuse)
            with pytest.raises(OSError, match="Too many open files"):
                client.bind(endpoint)
        assert client.endpoints == []
        other.bind(endpoint)
