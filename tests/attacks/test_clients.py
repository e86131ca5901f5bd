"""A hostile server: its client keeps its descriptors and its memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.attacks.ground import OURS
from tests.client.ways import EITHER_CLIENT, Way, blocking
from tests.service.running import PATIENCE, RawPeer, eventually, eventually_async
from zerorpc.zmtp import SocketType


@contextlib.contextmanager
def hostile(act: Callable[[RawPeer], None]) -> Iterator[str]:
    """The endpoint of a server that does with each connection what ``act`` says, in a thread of its own."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            peer = RawPeer(sock, SocketType.ROUTER, OURS)
            peer.handshake()
            act(peer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sockets.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=(sockets[-1],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(PATIENCE)
            for sock in sockets:
                sock.close()


def ends(peer: RawPeer) -> None:
    """Wait until the client has ended the connection."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            peer.next_data()


@EITHER_CLIENT
def test_a_server_that_leaves_again_and_again_and_keeps_its_connections_open(way: Way) -> None:
    left: list[int] = []
    closed: list[int] = []

    def leave(peer: RawPeer) -> None:
        if len(left) < 10:
            left.append(1)
            peer.send({"message_id": b"g", "v": 3}, "_zpc_goaway", [])
            ends(peer)
            closed.append(1)
        else:
            request = peer.next_event()
            peer.send({"message_id": b"r", "v": 3, "response_to": request.header.message_id}, "OK", [len(closed)])

    async def main(endpoint: str) -> int:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            await eventually_async(lambda: len(closed) == 10)
            return int(await client.anything())

    with hostile(leave) as endpoint:
        if way is blocking:
            with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=0.3) as client:  # so often its keeper looks in
                eventually(lambda: len(closed) == 10)
                assert client.anything() == 10
        else:
            assert asyncio.run(main(endpoint)) == 10


@EITHER_CLIENT
def test_a_stream_of_items_that_are_large_when_nobody_expects_it(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.flow._KEPT_MAX", 1_000_000)
    taken = threading.Event()

    def send(peer: RawPeer) -> None:
        header = {"message_id": b"r", "v": 3, "response_to": peer.next_event().header.message_id}
        peer.send(header, "STREAM", 0)
        assert peer.next_event().name == "_zpc_more"
        for _ in range(20):
            peer.send(header, "STREAM", bytes(100_000))
        taken.set()
        request = peer.next_event()
        while request.name != "another":
            request = peer.next_event()
        peer.send({**header, "response_to": request.header.message_id}, "OK", ["alive"])

    def use(client: Any) -> Any:
        return client.stream()

    with hostile(send) as endpoint, pytest.raises(zerorpc.ProtocolError, match="more of stream than it was granted"):
        slowly(way, endpoint, use, taken)


def slowly(way: Way, endpoint: str, use: Any, taken: threading.Event) -> None:
    """Read a stream whose reader does something else after the first item."""
    if way is blocking:
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            read_slowly(client, use(client), taken)
    else:
        asyncio.run(aread_slowly(endpoint, use, taken))


def read_slowly(client: Any, stream: Any, taken: threading.Event) -> None:
    next(stream)
    taken.wait(PATIENCE)
    assert client.another() == "alive"
    list(stream)


async def aread_slowly(endpoint: str, use: Any, taken: threading.Event) -> None:
    async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
        stream = await use(client)
        await anext(stream)
        await asyncio.to_thread(taken.wait, PATIENCE)
        assert await client.another() == "alive"
        async for _ in stream:
            pass
