"""One connection over a plain socket: partial sends, servers that don't read, and servers that make no sense."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually, timed_out
from tests.service.services import answer, reply
from zerorpc.transport.poller import WRITABLE
from zerorpc.transport.polling import Polling
from zerorpc.zmtp import SocketType


@pytest.mark.parametrize("size", [600_000, 8_000_000])
def test_waiting_costs_no_processor_time_after_sending_much(
    ipc_endpoint: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket was full for a while: it must not be watched for writing for ever after, or no poll would wait."""
    polled: list[int] = []
    poll = Polling.poll

    def noted(polling: Polling, timeout: int) -> list[tuple[int, int]]:
        events = poll(polling, timeout)
        polled.extend(event for _, event in events)
        return events

    monkeypatch.setattr(Polling, "poll", noted)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(ipc_endpoint.removeprefix("ipc://"))
        listener.listen()
        with zerorpc.Client(ipc_endpoint, heartbeat=None, timeout=PATIENCE) as client:

            def call() -> None:
                client.echo(b"x" * size)
                assert any(event & WRITABLE for event in polled)
                polled.clear()
                client.echo(1)

            thread = threading.Thread(target=call)
            thread.start()
            with RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                server.handshake()
                eventually(lambda: any(link.unsent for link in client._core.hub.links.values()))
                answer(server)
                answer(server)
                thread.join(PATIENCE)
            assert polled
            assert not any(event & WRITABLE for event in polled)


def test_a_server_that_does_not_read_makes_calls_wait_until_their_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=None, timeout=1.5) as client:
            first = client.echo(1, async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER) as server:
                server.handshake()
                answer(server)
                first.get(timeout=PATIENCE)
                calls = [client.echo(b"x" * 4_000_000, async_=True) for _ in range(8)]
                for call in calls:
                    with pytest.raises(zerorpc.TimeoutExpired):
                        call.get(timeout=PATIENCE)
                assert sum(link.unsent for link in client._core.hub.links.values()) < 10_000_000


@contextlib.contextmanager
def by_hand(**options: Any) -> Iterator[tuple[zerorpc.Client, RawPeer]]:
    """A client, and its server by hand after the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=None, timeout=PATIENCE, **options) as client:
            hello = client.hello(async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                server.handshake()
                answer(server)
                hello.get(timeout=PATIENCE)
                yield client, server


def test_what_is_sent_while_something_is_unsent_follows_it_whole() -> None:
    with by_hand() as (client, server):
        parts = [bytes([number]) * 900_000 for number in range(8)]
        first = client.echo(b"x" * 900_000, async_=True)
        (link,) = client._core.hub.links.values()
        calls = [first]
        while not link.unsent:
            calls.append(client.echo(b"x" * 900_000, async_=True))
        with client._core.hub.lock:  # nothing is read or written in between
            assert link.peer.writable or link.unsent > 0
        calls += [client.echo(part, async_=True) for part in parts]
        received = []
        for _ in calls:
            request = server.next_event()
            received.append(request.args[0])
            reply(server, request)
        assert received[-len(parts) :] == parts
        for call in calls:
            call.get(timeout=PATIENCE)


def test_a_connection_that_is_reset_is_lost_with_its_reason() -> None:
    with by_hand() as (client, server):
        call = client.echo(1, async_=True)
        server.next_event()
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.sock.close()
        with pytest.raises(zerorpc.LostRemote, match=r"calling remote method echo: .*Connection reset by peer"):
            call.get(timeout=PATIENCE)


def test_a_server_that_breaks_the_protocol_while_it_reads_nothing() -> None:
    """What waits to be sent to it doesn't keep the calls from ending."""
    with by_hand() as (client, server):
        (link,) = client._core.hub.links.values()
        calls = []
        while not link.unsent:
            calls.append(client.echo(b"x" * 900_000, async_=True))
        assert repr(link).startswith("<BlockingLink <ClientPeer ")
        server.sock.sendall(b"\x08\x08")
        for call in calls:
            with pytest.raises(zerorpc.LostRemote, match="flag"):
                call.get(timeout=PATIENCE)
        assert repr(link).endswith(" closed>")


def test_a_server_that_never_ends_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        with zerorpc.Client(endpoint, timeout=0.1) as client, pytest.raises(zerorpc.TimeoutExpired, match=endpoint):
            client.echo(1)


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"])
def test_a_server_that_is_something_else_is_named_in_the_error(junk: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"tcp://127.0.0.1:{other.getsockname()[1]}"

        def answer() -> None:
            while True:
                try:
                    sock = other.accept()[0]
                except OSError:
                    return
                with sock:
                    sock.sendall(junk)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with zerorpc.Client(endpoint) as client:
                timed_out(lambda timeout: client.echo(1, timeout=timeout), "ZMTP")
        finally:
            other.shutdown(socket.SHUT_RDWR)
            thread.join()
