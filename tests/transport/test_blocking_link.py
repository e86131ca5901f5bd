"""One connection over a plain socket: partial sends, servers that don't read, and servers that make no sense."""

from __future__ import annotations

import socket
import threading
import time

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually
from tests.service.services import answer, reply
from zerorpc.zmtp import SocketType


@pytest.mark.parametrize("size", [600_000, 8_000_000])
def test_waiting_costs_no_processor_time_after_sending_much(ipc_endpoint: str, size: int) -> None:
    """The socket was full for a while: it must not be watched for writing for ever after."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(ipc_endpoint.removeprefix("ipc://"))
        listener.listen()
        with zerorpc.Client(ipc_endpoint, heartbeat=None, timeout=PATIENCE) as client:
            used: list[float] = []

            def call() -> None:
                client.echo(b"x" * size)
                begun = time.thread_time()
                client.echo(1)
                used.append(time.thread_time() - begun)

            thread = threading.Thread(target=call)
            thread.start()
            with RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                server.handshake()
                eventually(lambda: any(link._unsent_size for link in client._core.hub.links.values()))
                answer(server)
                request = server.next_event()
                time.sleep(0.3)  # not for a condition: the time that is waited
                reply(server, request)
                thread.join(PATIENCE)
            assert used[0] < 0.1


def test_a_server_that_does_not_read_makes_calls_wait_until_their_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=None, timeout=0.3) as client:
            first = client.echo(1, async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER) as server:
                server.handshake()
                answer(server)
                first.get(timeout=PATIENCE)
                calls = [client.echo(b"x" * 4_000_000, async_=True) for _ in range(8)]
                for call in calls:
                    with pytest.raises(zerorpc.TimeoutExpired):
                        call.get(timeout=PATIENCE)
                assert sum(link._unsent_size for link in client._core.hub.links.values()) < 10_000_000


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
        with zerorpc.Client(endpoint, timeout=0.2) as client, pytest.raises(zerorpc.TimeoutExpired) as caught:
            client.echo(1)
        other.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "ZMTP" in str(caught.value)
