"""One connection on an event loop: much data, peers that don't read, and peers that make no sense."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable

import pytest

import zerorpc
from tests.service.running import RawPeer, connect, eventually_async, joined, run, serving
from tests.service.services import Cooler
from tests.transport.owners import Owner
from zerorpc.errors import LostRemote
from zerorpc.logs import Sparing
from zerorpc.protocol.peer import Peer
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.zmtp import Connection, SocketType
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


class Transport:
    """Takes what a link does with its transport."""

    def __init__(self) -> None:
        self.reads = True
        self.written: list[bytes] = []
        self.unsent = 0
        self.aborted = False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def set_write_buffer_limits(self, high: int) -> None: ...

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Loop:
    """Turns when it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> None: ...

    def call_soon(self, act: Callable[[], None]) -> None:
        self.soon.append(act)

    def call_at(self, when: float, act: Callable[[], None]) -> None: ...

    def turn(self) -> None:
        self.now += 1.0
        soon, self.soon = self.soon, []
        for act in soon:
            act()


class Counting(Owner):
    """Counts the messages that its link brings."""

    def __init__(self) -> None:
        super().__init__()
        self.stale = False
        self.admission = None
        self.refused = Sparing()
        self.owner = self
        self.arrived = 0
        self.on_arrival: Callable[[], None] = lambda: None

    def received(self, link: AioLink, touched: list[object]) -> None:
        self.arrived += len(touched)
        self.on_arrival()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Loop, Counting, AioLink, Transport]:
    """A link after its handshake, each of whose turns has time for one slice."""
    now = itertools.count(0.0, 0.003)
    monkeypatch.setattr("zerorpc.transport.aio_reading.monotonic", lambda: next(now))
    loop, owner, transport = Loop(), Counting(), Transport()
    link = AioLink(loop, owner, Peer(SocketType.PULL), None, "there")  # type: ignore[arg-type]
    owner.links = set()  # type: ignore[assignment]
    owner.peer_ready = lambda link: None  # type: ignore[method-assign]
    link.connection_made(transport)  # type: ignore[arg-type]
    other = Connection(SocketType.PUSH)
    link.data_received(b"".join(other.take_output()))
    other.receive_data(b"".join(transport.written))
    link.data_received(b"".join(other.take_output()))
    assert link.peer.ready
    return loop, owner, link, transport


SIX = b"\0\4abcd"  # a message
ONE_READ = SIX * 42_000  # 252,000 octets, as uvloop reads at once
IN_A_SLICE = 4096 // 6


def test_of_much_that_comes_each_turn_takes_a_little(counted: tuple[Loop, Counting, AioLink, Transport]) -> None:
    loop, owner, link, transport = counted
    loop.turn()
    link.data_received(ONE_READ)
    turns = 0
    while not transport.reads:
        assert owner.arrived <= (turns + 1) * (IN_A_SLICE + 1)
        loop.turn()
        turns += 1
    assert owner.arrived == 42_000
    assert turns >= 252_000 // 4096


def test_many_small_reads_in_one_turn_are_much_too(counted: tuple[Loop, Counting, AioLink, Transport]) -> None:
    loop, owner, link, transport = counted
    loop.turn()
    reads = 0
    while transport.reads:
        link.data_received(SIX * 100)
        reads += 1
    assert reads == 65 * 1024 // 600 + 1
    loop.turn()
    assert transport.reads
    assert owner.arrived == reads * 100


def test_an_owner_that_has_enough_gets_no_more_of_what_came(counted: tuple[Loop, Counting, AioLink, Transport]) -> None:
    loop, owner, link, transport = counted
    loop.turn()
    owner.on_arrival = link.pause_reading
    link.data_received(ONE_READ)
    arrived = owner.arrived
    loop.turn()
    assert owner.arrived == arrived
    assert not transport.reads
    owner.on_arrival = lambda: None
    link.resume_reading()
    while not transport.reads:
        loop.turn()
    assert owner.arrived == 42_000


def test_an_owner_that_pauses_and_goes_on_in_the_middle_gets_each_message_once(
    counted: tuple[Loop, Counting, AioLink, Transport],
) -> None:
    loop, owner, link, transport = counted
    loop.turn()
    owner.on_arrival = lambda: (link.pause_reading(), link.resume_reading())  # type: ignore[assignment,return-value]
    link.data_received(ONE_READ)
    while not transport.reads:
        loop.turn()
    assert owner.arrived == 42_000


def test_nothing_is_taken_of_a_peer_that_does_not_read(counted: tuple[Loop, Counting, AioLink, Transport]) -> None:
    loop, owner, link, transport = counted
    link.peer.pauses_reading = True
    loop.turn()
    owner.on_arrival = link.pause_writing
    link.data_received(ONE_READ)
    arrived = owner.arrived
    loop.turn()
    assert owner.arrived == arrived
    owner.on_arrival = lambda: None
    link.resume_writing()
    while not transport.reads:
        loop.turn()
    assert owner.arrived == 42_000


@pytest.mark.parametrize("turns", [0, 3])
def test_what_raises_ends_the_connection_in_a_later_turn_too(
    counted: tuple[Loop, Counting, AioLink, Transport], turns: int
) -> None:
    """The loop does so only for what is read just now; else nothing more would be read of it, for ever."""
    loop, owner, link, transport = counted

    def fail() -> None:
        raise MemoryError

    def begin() -> None:
        link.data_received(ONE_READ)
        for _ in range(turns - 1):
            loop.turn()
        owner.on_arrival = fail
        loop.turn()

    loop.turn()
    if turns == 0:
        owner.on_arrival = fail
    with pytest.raises(MemoryError):
        begin()
    assert transport.aborted


def test_a_peer_for_which_too_much_waits_is_given_up(
    counted: tuple[Loop, Counting, AioLink, Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.unsent", 1000)
    _, _, link, transport = counted
    transport.unsent = 1000
    link.pause_writing()
    link.peer.connection.send_message([b"answer"])
    link.flush()
    assert not transport.aborted
    transport.unsent = 1001
    link.peer.connection.send_message([b"answer"])
    link.flush()
    assert transport.aborted
    assert "does not read" in str(link.reason)


def test_nothing_is_taken_after_the_end(counted: tuple[Loop, Counting, AioLink, Transport]) -> None:
    loop, owner, link, _ = counted
    loop.turn()
    link.data_received(ONE_READ)
    arrived = owner.arrived
    link.connection_lost(None)
    loop.turn()
    assert owner.arrived == arrived


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
