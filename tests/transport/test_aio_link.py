"""One connection on an event loop: much data, peers that don't read, and peers that make no sense."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

import zerorpc
from tests.service.running import RawPeer, connect, eventually_async, joined, run, serving
from tests.service.services import Cooler
from tests.transport.owners import Owner
from zerorpc.errors import LostRemote
from zerorpc.protocol.peer import Peer
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.greeting import Greeting


def test_a_link_that_is_lost_takes_every_call_and_does_nothing() -> None:
    async def main(endpoint: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        hub.connect(endpoint)
        await eventually_async(lambda: owner.links)
        (link,) = owner.links
        assert repr(link) == f"<AioLink {link.peer!r}>"
        hub.disconnect(endpoint)
        await eventually_async(lambda: owner.lost)
        link.pause_reading()
        link.resume_reading()
        link.flush()
        link.flush_soon()
        link.flush_soon()
        link.close(LostRemote("another reason"))
        link.abort(LostRemote("another reason"))
        await asyncio.sleep(0)
        assert str(link.reason) == "disconnected here"
        assert owner.lost == [link]
        assert repr(link) == f"<AioLink {link.peer!r} closed>"
        await hub.aclose(LostRemote("the end"))

    with serving(Cooler()) as server:
        run(main(server.endpoints[0]))


def test_64_mebibytes_there_and_back() -> None:
    async def echo(data: bytes) -> bytes:
        return data

    data = bytes(range(256)) * (1 << 18)
    with joined({"plain": lambda data: data, "coroutine": echo}) as client:
        assert client.plain(data) == data
        assert client.coroutine(data) == data


def test_the_server_stops_reading_from_a_peer_that_does_not_read() -> None:
    ran: list[int] = []

    @zerorpc.on_loop
    def echo(n: int, data: bytes) -> bytes:
        ran.append(n)
        return data

    with serving({"echo": echo}, heartbeat=None) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.sock.settimeout(0.3)
        part = b"x" * 200_000
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 2000:  # 400 MB
                peer.send({"message_id": b"%032d" % sent, "v": 3}, "echo", [sent, part])
                sent += 1
        assert sent < 2000
        assert len(ran) < 200
        with zerorpc.Client(server.endpoints[0]) as other:
            assert other._zerorpc_ping()[0] == "pong"


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\xff" * 64, bytes(range(256)) * 40]
)
def test_garbage_ends_its_connection_and_nothing_else(junk: bytes) -> None:
    with joined(Cooler()) as client, serving(Cooler()) as server:
        with connect(server.endpoints[0]) as sock:
            sock.sendall(junk)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
        with zerorpc.Client(server.endpoints[0]) as another:
            assert another.add_42(1) == 43
        assert client.add_42(1) == 43


def test_a_half_open_handshake_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.liveness.HANDSHAKE_TIMEOUT", 0.05)
    with serving(Cooler()) as server, connect(server.endpoints[0]) as sock:
        sock.sendall(b"\xff\0\0\0\0")
        while sock.recv(4096):
            pass  # the server's greeting, then the end


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "HTTP"),
        (b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x05\x00\x00", "ZMTP 2.0"),
        (Greeting("PLAIN").encode(), "PLAIN"),
    ],
    ids=["HTTP", "ZMTP 2", "PLAIN"],
)
def test_a_server_logs_whom_it_refused_and_why(octets: bytes, why: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(Cooler()) as server, caplog.at_level("WARNING", "zerorpc.transport"):
        with connect(server.endpoints[0]) as sock:
            who = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
            sock.sendall(octets)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(4096):
                    pass
            refused = [record for record in caplog.records if record.name == "zerorpc.transport"]
        with zerorpc.Client(server.endpoints[0]) as client:  # of whom nothing is logged
            assert client.add_42(1) == 43
    assert [record.levelname for record in refused] == ["WARNING"]
    assert who in refused[0].getMessage()
    assert why in refused[0].getMessage()
    assert [record for record in caplog.records if record.name == "zerorpc.transport"] == refused


def test_a_peer_that_has_closed_is_lost_although_much_waits_for_it() -> None:
    """Its system may take nothing any more, and say nothing either, if the network in between fails."""

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        hub.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        sock, _ = await asyncio.get_running_loop().run_in_executor(None, listener.accept)
        with listener, sock, RawPeer(sock, SocketType.ROUTER) as peer:
            await asyncio.get_running_loop().run_in_executor(None, peer.handshake)
            await eventually_async(lambda: owner.links)
            (link,) = owner.links
            link.peer.connection.send_delimited(b"x" * (64 << 20))
            link.flush()
            assert link.unsent
            sock.shutdown(socket.SHUT_WR)
            await eventually_async(lambda: owner.lost)
        await hub.aclose(LostRemote("the end"))

    run(main())


def test_nothing_large_is_written_to_a_connection_that_is_ending() -> None:
    """asyncio's writelines() fails there, since Python 3.12: after an EOF, and for the next one with the descriptor."""

    class Ending:
        def is_closing(self) -> bool:
            return True

        def writelines(self, _: object) -> None:
            raise AssertionError("written")

    async def main(endpoint: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        hub.connect(endpoint)
        await eventually_async(lambda: owner.links)
        (link,) = owner.links
        transport, link._transport = link._transport, Ending()
        link.peer.connection.send_delimited(bytes(200_000))
        link.flush()
        assert link.peer.connection.output == []
        link._transport = transport
        await hub.aclose(LostRemote("the end"))

    with serving(Cooler()) as server:
        run(main(server.endpoints[0]))


def test_what_is_sent_in_the_middle_of_a_write_goes_after_it() -> None:
    """As a finalizer or a signal handler may, at any moment."""

    async def main() -> None:
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        link = AioLink(asyncio.get_running_loop(), hub, Peer(SocketType.DEALER), None, "a test")
        link._transport = transport = Interrupted(link)  # type: ignore[assignment]
        connection = link.peer.connection
        connection.output = [b"one", b"two"]
        link.flush()
        link.flush()
        assert transport.written == [b"onetwo", b"three", b"four"]
        assert connection.output == []

    run(main())


class Interrupted:
    """A transport in the middle of whose writing something else is sent: before the octets are out, and once more."""

    def __init__(self, link: AioLink) -> None:
        self.link = link
        self.written: list[bytes] = []
        self.further = [b"three", b"four"]

    def write(self, data: bytes) -> None:
        if self.further:
            self.link.peer.connection.output.append(self.further.pop(0))
            self.link.flush()
        self.written.append(data)
