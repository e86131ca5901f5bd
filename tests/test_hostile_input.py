"""An event whose header has a text that isn't UTF-8, and too many values, ends nothing, whoever gets it and however."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.protocol.test_events import OVERFULL
from tests.service.running import PATIENCE, TCP, RawPeer, eventually, on_thread, run
from zerorpc.zmtp import SocketType


@pytest.fixture(autouse=True)
def debug_shows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "zerorpc.events")


def hooked() -> zerorpc.Context:
    context = zerorpc.Context()
    context.register_middleware({"load_task_context": lambda header: None, "server_before_exec": lambda event: None})
    return context


CONTEXTS = pytest.mark.parametrize("context", [zerorpc.Context, hooked])


@CONTEXTS
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(("kind", "sender"), [("Puller", SocketType.PUSH), ("Subscriber", SocketType.PUB)])
def test_a_puller_and_a_subscriber_go_on(kind: str, sender: SocketType, debug: bool, context: Any) -> None:
    taken: list[int] = []
    puller = getattr(zerorpc, kind)({"add": lambda: taken.append(0), "take": taken.append}, context())
    puller.debug = debug
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), RawPeer.to(endpoint, sender) as peer:
        peer.connection.send_message([OVERFULL])
        peer.connection.send_message([zerorpc.protocol.events.encode({}, "take", [1])])
        peer._flush()
        eventually(lambda: taken == [0, 1])


@CONTEXTS
@pytest.mark.parametrize("debug", [False, True])
def test_a_servers_connection_lives_also_when_requests_wait(debug: bool, context: Any) -> None:
    goes_on = threading.Event()
    server = zerorpc.Server({"hold": goes_on.wait, "add": lambda: 3}, pool_size=1, context=context(), grace=0.1)
    server.debug = debug
    endpoint = server.bind(TCP)[0]
    with on_thread(server), RawPeer.to(endpoint) as peer:
        peer.send({"message_id": b"held", "v": 3}, "hold", [PATIENCE])
        peer.send_data(OVERFULL)
        goes_on.set()
        assert [peer.next_event().args for _ in range(2)] == [[True], [3]]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


def reply_with_nonsense_first(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    with RawPeer(sock, SocketType.ROUTER) as peer:
        peer.handshake()
        request = peer.next_event()
        peer.send_data(OVERFULL)
        peer.send({"message_id": b"r", "v": 3, "response_to": request.header.message_id}, "OK", [7])
        with pytest.raises(EOFError):
            peer.next_event()


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_a_client_that_shows_events_goes_on(listener: socket.socket, kind: str) -> None:
    endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    server = threading.Thread(target=reply_with_nonsense_first, args=(listener,))
    server.start()
    if kind == "Client":
        with zerorpc.Client(heartbeat=None, timeout=PATIENCE) as client:
            client.debug = True
            client.connect(endpoint)
            assert client.echo(7) == 7
    else:

        async def calls() -> None:
            async with zerorpc.AsyncClient(heartbeat=None, timeout=PATIENCE) as client:
                client.debug = True
                client.connect(endpoint)
                assert await client.echo(7) == 7

        run(calls())
    server.join(PATIENCE)
    assert not server.is_alive()
