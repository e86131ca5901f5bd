"""The hub on an event loop: listening, connecting, and the end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, RawPeer, eventually, on_thread, serving
from tests.service.services import HEADER, Cooler

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
    monkeypatch.setattr("zerorpc.transport.aio._ACCEPT_PAUSE", 0.01)
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    listener = server._core.hub.listeners[endpoint]
    real, refusals = listener.accept, [OSError(24, "Too many open files"), ConnectionAbortedError()]

    def accept() -> socket.socket:
        if refusals:
            raise refusals.pop()
        return real()

    monkeypatch.setattr(listener, "accept", accept)
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client.add_42(1) == 43
        assert not refusals


# Connecting


def test_connect_and_disconnect_while_serving() -> None:
    with serving(Cooler()) as server, zerorpc.Client() as client:
        endpoint = client.bind(TCP)[0]
        assert server.connect(endpoint) == [endpoint]
        assert client.add_42(1) == 43
        server.disconnect(endpoint)
        eventually(lambda: not answers(client))


def answers(client: zerorpc.Client) -> bool:
    try:
        return bool(client.add_42(1, timeout=0.1))
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
        return False


# The end


def test_a_big_reply_under_way_is_sent_before_the_server_closes() -> None:
    started = threading.Event()
    release = threading.Event()

    def big() -> bytes:
        started.set()
        release.wait(PATIENCE)
        return b"x" * (32 << 20)

    server = zerorpc.Server({"big": big})
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        call = client.big(async_=True)
        assert started.wait(PATIENCE)
        server.stop()
        release.set()
        assert len(call.get(timeout=PATIENCE)) == 32 << 20


def test_a_caller_that_reads_slowly_gets_all_of_its_reply_from_a_server_that_closes() -> None:
    size = 16 << 20
    server = zerorpc.Server({"big": lambda: b"x" * size})
    server.bind(TCP)
    with on_thread(server), RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, "big", [])
        peer.sock.recv(1)
        server.stop()
        received = 1
        while data := peer.sock.recv(size // 64):
            received += len(data)
            time.sleep(0.005)  # not for a condition: that is how slow it is
        assert received > size


def test_a_caller_that_does_not_read_at_all_keeps_no_server() -> None:
    server = zerorpc.Server({"big": lambda: b"x" * (16 << 20)})
    server.bind(TCP)
    with contextlib.ExitStack() as stack:
        with on_thread(server):
            peer = stack.enter_context(RawPeer.to(server.endpoints[0]))
            peer.send(HEADER, "big", [])
            peer.sock.recv(1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 3
