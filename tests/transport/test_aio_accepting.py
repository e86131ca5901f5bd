"""Accepting on an event loop: what listens, who comes, and what may go wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.evil_errors import EVIL
from tests.service.running import (
    PATIENCE,
    TCP,
    RawPeer,
    binds,
    connect,
    eventually,
    on_thread,
    run,
    serving,
    unused_tcp,
)
from tests.service.services import HEADER, Cooler
from tests.transport.owners import Owner, in_a_thread
from tests.transport.proxy_headers import IPV4, IPV4_CALLER, LOCAL, SIGNATURE, header
from zerorpc.errors import LostRemote
from zerorpc.transport.aio import AioHub
from zerorpc.transport.security import UNSECURED
from zerorpc.zmtp.greeting import Greeting

# Listening


def test_bind_and_unbind_while_serving(ipc_endpoint: str) -> None:
    with serving(Cooler()) as server:
        assert server.bind(ipc_endpoint) == [ipc_endpoint]
        with zerorpc.Client(ipc_endpoint) as client:
            assert client.add_42(1) == 43
            server.unbind(ipc_endpoint)
            assert client.add_42(2) == 44  # connections live on
            eventually(lambda: not Path(ipc_endpoint.removeprefix("ipc://")).exists())
            with zerorpc.Client(ipc_endpoint) as late, pytest.raises(zerorpc.TimeoutExpired):
                late.add_42(1, timeout=0.1)


def test_tcp_and_ipc_at_once(ipc_endpoint: str) -> None:
    with serving(Cooler()) as server:
        server.bind([ipc_endpoint, "inproc://cooler"])
        assert len(server.endpoints) == 3
        for endpoint in server.endpoints:
            with zerorpc.Client(endpoint) as client:
                assert client.add_42(1) == 43


def test_out_of_descriptors_it_accepts_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.aio_accepting._PAUSE", 0.01)
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    listener = server._core.hub.listeners[endpoint]
    real, refusals = (
        listener.accept,
        [
            OSError(errno.EMFILE, "Too many open files"),
            OSError(errno.EPROTO, "Protocol error"),
            ConnectionAbortedError(),
        ],
    )

    def accept() -> socket.socket:
        if refusals:
            raise refusals.pop()
        return real()

    monkeypatch.setattr(listener, "accept", accept)
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client.add_42(1) == 43
        assert not refusals


def test_an_address_bound_anew_while_it_was_out_of_descriptors(
    monkeypatch: pytest.MonkeyPatch, ipc_endpoint: str
) -> None:
    monkeypatch.setattr("zerorpc.transport.aio_accepting._PAUSE", 0.05)
    refused = threading.Event()

    def refuse() -> socket.socket:
        refused.set()
        raise OSError(errno.EMFILE, "Too many open files")

    with serving(Cooler()) as server:
        server.bind(ipc_endpoint)
        monkeypatch.setattr(server._core.hub.listeners[ipc_endpoint], "accept", refuse)
        with zerorpc.Client(ipc_endpoint, timeout=PATIENCE) as client:
            assert refused.wait(PATIENCE)
            server.unbind(ipc_endpoint)
            eventually(lambda: binds(server, ipc_endpoint))
            assert client.add_42(1) == 43
        time.sleep(0.1)  # not for a condition: twice the pause, in which the old listener is not to be watched again


def test_a_burst_of_clients_before_it_serves() -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    with contextlib.ExitStack() as stack:
        burst = [stack.enter_context(connect(endpoint)) for _ in range(200)]
        with on_thread(server):
            for sock in burst:
                assert sock.recv(1) == b"\xff"  # a greeting begins


def test_an_address_bound_from_another_thread_just_before_the_end_is_free_afterwards() -> None:
    async def main() -> None:
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        bound: list[str] = []
        in_a_thread(lambda: bound.extend(hub.bind(unused_tcp())))  # the loop has not been told yet
        await hub.aclose(LostRemote("the end"))
        with zerorpc.Server({}) as again:
            assert again.bind(bound) == bound

    run(main())


def test_a_connection_that_no_link_can_be_made_of_is_closed_and_said_to_be_of_no_use(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise RuntimeError("no peer for this one")

    async def main() -> None:
        owner = Owner()
        monkeypatch.setattr(owner, "make_peer", refuse)
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        ours, theirs = socket.socketpair()
        with theirs:
            assert await hub.accepting.adopt(ours, UNSECURED) is False
            assert theirs.recv(1) == b""
        await hub.aclose(LostRemote("the end"))

    run(main())
    assert "a connection couldn't be taken" in caplog.text
    assert "no peer for this one" in caplog.text


# Behind a proxy


class Callers:
    """A middleware that notes the callers of requests; ``serving`` it answers ``who`` with the last one."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def server_before_exec(self, request: Any) -> None:
        self.seen.append(request.caller)

    @contextlib.contextmanager
    def serving(self, **options: Any) -> Iterator[zerorpc.Server]:
        context = zerorpc.Context()
        context.register_middleware(self)
        who = zerorpc.on_loop(lambda: self.seen[-1])
        with serving({"who": who}, context=context, proxy_protocol=True, **options) as server:
            yield server


def caller_seen(sock: socket.socket) -> Any:
    """Shake hands and call, over a connection whose header is sent or not wanted."""
    peer = RawPeer(sock)
    peer.handshake()
    peer.send(HEADER, "who", [])
    return peer.next_event().args[0]


@pytest.mark.parametrize("where", ["tcp", "ipc"])
def test_a_proxys_header_tells_the_caller_and_calls_follow(where: str, ipc_endpoint: str) -> None:
    with Callers().serving(bind=TCP if where == "tcp" else ipc_endpoint) as server:
        with connect(server.endpoints[0]) as sock:
            sock.sendall(header(0x11, IPV4))
            assert caller_seen(sock) == IPV4_CALLER
        with connect(server.endpoints[0]) as sock:
            sock.sendall(header(0x11, IPV4 + bytes(60_000)) + Greeting("NULL").encode())  # all at once
            assert sock.recv(1) == b"\xff"


def test_a_header_may_come_in_pieces() -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in header(0x11, IPV4):
            sock.sendall(bytes((octet,)))
        assert caller_seen(sock) == IPV4_CALLER


def test_a_proxy_that_connects_for_itself_is_the_caller() -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as sock:
        sock.sendall(header(0x00, b"", LOCAL))
        assert caller_seen(sock) == f"tcp://127.0.0.1:{sock.getsockname()[1]}"


def test_connections_that_no_proxy_makes_have_no_header(caplog: pytest.LogCaptureFixture) -> None:
    callers = Callers()
    with zerorpc.Client(timeout=PATIENCE) as client, callers.serving(connect=client.bind(TCP)[0]) as server:
        assert client.who() == client.endpoints[0]
        server.bind("inproc://no-proxy")
        with zerorpc.Client("inproc://no-proxy", timeout=PATIENCE) as neighbour:
            assert neighbour.who() == "a peer on this machine"
    assert not caplog.records


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (Greeting("NULL").encode(), "a client that came past the proxy"),
        (SIGNATURE + b"\x21\x13\x00\x0c", "family 0x13"),
        (b"", "no PROXY protocol header within 0.05 s"),
        (header(0x11, IPV4)[:-1], "no PROXY protocol header within 0.05 s"),
    ],
    ids=["none", "unknown", "silence", "half"],
)
def test_who_sends_no_header_is_refused_in_a_line_and_disturbs_nobody(
    octets: bytes, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as known:
        known.sendall(header(0x11, IPV4))
        peer = RawPeer(known)
        peer.handshake()
        monkeypatch.setattr("zerorpc.transport.proxied.HANDSHAKE_TIMEOUT", 0.05 if "0.05" in why else PATIENCE)
        with connect(server.endpoints[0]) as sock:
            sock.sendall(octets)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
            (line,) = [record.getMessage() for record in caplog.records]
            assert line.startswith(f"refused tcp://127.0.0.1:{sock.getsockname()[1]}: ")
            assert why in line
        peer.send(HEADER, "who", [])
        assert peer.next_event().args == [IPV4_CALLER]
        assert len(server._core.hub.links) == 1


def test_the_log_names_the_caller_and_not_the_proxy(caplog: pytest.LogCaptureFixture) -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as sock:
        sock.sendall(header(0x11, IPV4) + b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"refused {IPV4_CALLER}: ")


@pytest.mark.parametrize("octets", [b"", header(0x11, IPV4)[:-1]], ids=["silent", "half"])
def test_who_leaves_before_its_header_is_whole_is_forgotten(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with Callers().serving() as server:
        hub = server._core.hub
        with connect(server.endpoints[0]) as sock:
            sock.sendall(octets)
            eventually(lambda: hub.loop and hub.accepting.tasks)
        eventually(lambda: not hub.accepting.tasks)
        assert not hub.links
    assert not caplog.records


def test_a_server_that_closes_waits_for_no_header() -> None:
    with contextlib.ExitStack() as stack:
        with Callers().serving() as server:
            sock = stack.enter_context(connect(server.endpoints[0]))
            eventually(lambda: (hub := server._core.hub).loop and hub.accepting.tasks)
        assert sock.recv(1) == b""


# What must not happen, and does


@pytest.mark.parametrize("error", [MemoryError(), ValueError("odd"), OSError(errno.ENETDOWN, "down")], ids=repr)
def test_whatever_accepting_raises_it_accepts_again_without_spinning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zerorpc.transport.aio_accepting._PAUSE", 0.1)
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    listener = server._core.hub.listeners[endpoint]
    real, attempts = listener.accept, []

    def accept() -> socket.socket:
        attempts.append(time.monotonic())
        if len(attempts) <= 3:
            raise error
        return real()

    monkeypatch.setattr(listener, "accept", accept)
    with on_thread(server), zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        assert client.add_42(1) == 43
    assert attempts[3] - attempts[0] > 0.25
    assert len(caplog.records) == (0 if isinstance(error, OSError) else 3)


@pytest.mark.parametrize("error", ["ValueError", "SystemExit", "KeyboardInterrupt", "BadClass"])
def test_a_connection_that_can_t_be_taken_harms_no_other(error: str, caplog: pytest.LogCaptureFixture) -> None:
    """A program's own message ids, of which each connection takes one."""
    failing: list[int] = []

    class Ids(zerorpc.Context):
        def new_msgid(self) -> bytes:
            if failing:
                failing.pop()
                raise ValueError("no id") if error == "ValueError" else EVIL[error]()
            return super().new_msgid()

    with serving(Cooler(), context=Ids()) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.add_42(1) == 43
        failing.append(1)
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as another:
            assert another.add_42(1) == 43  # when it has connected again
        assert not failing
        assert client.add_42(2) == 44
    assert "a connection couldn't be taken" in caplog.text
