"""TLS on an event loop: much data, peers that don't read or never shake hands, and ends of all kinds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
import ssl
import sys
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import (
    PATIENCE,
    Program,
    RawPeer,
    connect,
    eventually,
    eventually_async,
    on_thread,
    run,
    serving,
)
from tests.transport.owners import Owner
from zerorpc.errors import LostRemote
from zerorpc.protocol.liveness import HANDSHAKE_TIMEOUT
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_tls import AioTls, TlsAioLink
from zerorpc.transport.endpoint_tls import EndpointTls
from zerorpc.zmtp.frames import FrameDecoder, Limits

TLS = "tls+tcp://127.0.0.1:0"
HALF_OPEN = 1000
MOST_EACH = 100_000  # octets: measured, 50,000; what OpenSSL takes for a connection, and both ends' of the loop's


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates().ca)


def hello() -> bytes:
    """A client's first octets."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Loop(asyncio.SelectorEventLoop):
    """One whose time a test can move. By itself it goes slowly: a thousand of anything take a busy machine long."""

    later = 0.0

    def time(self) -> float:
        return super().time() / 10 + self.later


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is looked up in /proc")
def test_a_thousand_that_stop_in_mid_handshake_cost_little_and_are_dropped_in_time() -> None:
    async def main() -> None:
        server = zerorpc.Server({}, tls=certificates().serves)
        port = int(server.bind(TLS)[0].rpartition(":")[2])
        serving = asyncio.create_task(server.serve())
        links = server._core.hub.links
        first = hello()
        before = resident()
        with contextlib.ExitStack() as stuck:
            for count in range(1, HALF_OPEN + 1):
                sock = stuck.enter_context(socket.create_connection(("127.0.0.1", port)))
                sock.send(first if count % 2 else first[:100])
                if count % 100 == 0:
                    await eventually_async(lambda count=count: len(links) == count)
            assert resident() - before < HALF_OPEN * MOST_EACH
            loop.later = HANDSHAKE_TIMEOUT - 5
            await asyncio.sleep(0.01)
            assert len(links) == HALF_OPEN
            loop.later = HANDSHAKE_TIMEOUT + 1
            await eventually_async(lambda: not links)
        server.stop()
        await serving

    loop = Loop()
    with many_descriptors(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


class Link:
    """What AioTls needs of a link; keeps what it is told."""

    def __init__(self) -> None:
        self.peer = SimpleNamespace(connection=SimpleNamespace(decoder=FrameDecoder(Limits())))
        self.taken: list[int] = []
        self.tls: Any = None

    def connection_made(self, transport: AioTls) -> None: ...

    def data_received(self, data: bytes, filled: int = 0) -> None:
        self.taken.append(len(data))


class Transport:
    """The loop's."""

    def __init__(self) -> None:
        self.reads = True
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


@pytest.mark.parametrize("seconds", [3600.0, 0.0])
def test_much_of_one_peer_leaves_a_turn_of_the_loop_for_others(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Octets that arrive in one turn of the loop are taken in several, if they are many, or take long."""
    monkeypatch.setattr("zerorpc.transport.aio_tls._TURN_SECONDS", seconds)
    later: list[Any] = []
    loop: Any = SimpleNamespace(time=lambda: 1.0, call_soon=later.append)  # all of it in one turn
    link: Any = Link()
    transport: Any = Transport()
    client = EndpointTls(certificates().trusts, server_side=False, host="localhost").new_connection()
    protocol = AioTls(loop, link, EndpointTls(certificates().serves, server_side=True).new_connection())
    protocol.connection_made(transport)
    client.open()
    for _ in range(2):
        protocol.data_received(client.take_output())
        client.receive(transport.sent, link.peer.connection.decoder, link.data_received)
        transport.sent = b""
    protocol._in_turn = 0
    protocol.data_received(b"".join(client.seal(bytes(16_384)) for _ in range(40)))
    first = len(link.taken)
    assert first == 40 if seconds else first <= 1
    assert not transport.reads
    protocol.resume_reading()  # its owner may ask for that at any time: it waits for its turn all the same
    assert (len(link.taken), transport.reads, len(later)) == (first, False, 1)
    protocol.pause_reading()
    later.pop()()
    assert (len(link.taken), transport.reads, len(later)) == (first, False, 0)
    protocol.resume_reading()
    while later:
        assert not transport.reads
        later.pop()()
    assert (len(link.taken), transport.reads) == (40, True)


def test_the_server_stops_reading_from_a_peer_that_does_not_read() -> None:
    ran: list[int] = []

    @zerorpc.on_loop
    def echo(n: int, data: bytes) -> bytes:
        ran.append(n)
        return data

    with serving({"echo": echo}, heartbeat=None, bind=TLS, tls=certificates().serves) as server:
        sock = connect(server.endpoints[0])
        with client_context().wrap_socket(sock, server_hostname="localhost") as wrapped, RawPeer(wrapped) as peer:
            peer.handshake()
            peer.sock.settimeout(0.3)
            sent, part = 0, b"x" * 200_000
            with contextlib.suppress(TimeoutError):
                while sent < 2000:  # 400 MB
                    peer.send({"message_id": b"%032d" % sent, "v": 3}, "echo", [sent, part])
                    sent += 1
            assert sent < 2000
            assert len(ran) < 200
            with zerorpc.Client(server.endpoints[0], tls=certificates().trusts, timeout=PATIENCE) as other:
                assert other._zerorpc_ping()[0] == "pong"


def test_a_peer_that_goes_away_in_the_middle_of_the_handshake_is_forgotten() -> None:
    with serving({}, bind=TLS, tls=certificates().serves) as server:
        with connect(server.endpoints[0]) as sock:
            sock.send(hello()[:50])
            eventually(lambda: server._core.hub.links)
        eventually(lambda: not server._core.hub.links)


def test_a_client_is_told_when_the_handshake_ends_early() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            endpoint = f"tls+tcp://127.0.0.1:{listener.getsockname()[1]}"
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, tls=certificates().trusts) as client:
                call = asyncio.ensure_future(client.echo(1))
                loop = asyncio.get_running_loop()
                accepted, _ = await loop.sock_accept(listener)
                await loop.sock_recv(accepted, 1000)
                accepted.close()
                await eventually_async(lambda: "TLS handshake" in client._core.hub.describe())
                call.cancel()

    run(main())


def test_a_peer_that_says_that_it_ends() -> None:
    with serving({"echo": lambda value: value}, bind=TLS, tls=certificates().serves) as server:
        sock = connect(server.endpoints[0])
        with client_context().wrap_socket(sock, server_hostname="localhost") as wrapped, RawPeer(wrapped) as peer:
            peer.handshake()
            assert len(server._core.hub.links) == 1
            with contextlib.suppress(ssl.SSLError, OSError):
                wrapped.unwrap()  # close_notify, and the socket stays open
            eventually(lambda: not server._core.hub.links)


def test_a_server_says_that_it_ends() -> None:
    context = client_context()
    with serving({}, bind=TLS, tls=certificates().serves) as server:
        sock = connect(server.endpoints[0])
        with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as wrapped:
            with RawPeer(wrapped) as peer:
                peer.handshake()
                server.stop()
                while wrapped.recv(1000):  # b"" at the end, and no SSLEOFError
                    pass


def test_a_record_that_was_changed_on_the_way_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    with serving({}, bind=TLS, tls=certificates().serves) as server:
        sock = connect(server.endpoints[0])
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with sock:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
                else:
                    break
            sock.sendall(outgoing.read())
            tls.write(b"x" * 64)
            said = bytearray(outgoing.read())
            said[-1] ^= 1
            sock.sendall(said)
            eventually(lambda: "decryption failed or bad record mac" in caplog.text)


def test_a_link_that_is_lost_takes_every_call_and_leaves_no_circle() -> None:
    async def main(endpoint: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        hub.connect(endpoint, tls=certificates().trusts)
        await eventually_async(lambda: owner.links)
        link = owner.links.pop()
        assert isinstance(link, TlsAioLink)
        transport = link._transport
        assert isinstance(transport, AioTls)
        assert repr(transport) == "<AioTls <TlsConnection client open>>"
        assert link.unsent == 0
        assert transport.get_extra_info("peername")[0] == "127.0.0.1"
        link.pause_reading()
        link.resume_reading()
        hub.disconnect(endpoint)
        await eventually_async(lambda: owner.lost)
        link.pause_reading()
        link.resume_reading()
        link.flush()
        link.close(LostRemote("another reason"))
        link.abort(LostRemote("another reason"))
        assert str(link.reason) == "disconnected here"
        await hub.aclose(LostRemote("the end"))
        owner.lost.clear()
        gone = weakref.ref(transport)
        del transport
        assert (link._transport, link.certificate is None) == (gone(), False)
        link._transport = Any  # as what else keeps it goes
        await asyncio.sleep(0)
        assert gone() is None

    gc.disable()
    try:
        with serving({}, bind=TLS, tls=certificates().serves) as server:
            run(main(server.endpoints[0]))
    finally:
        gc.enable()


def test_what_a_program_pushes_at_its_very_end_arrives() -> None:
    source = """
        import atexit, sys, zerorpc
        pusher = zerorpc.Pusher(tls=zerorpc.Tls(ca=sys.argv[2]))
        pusher.connect(sys.argv[1])
        atexit.register(pusher.take, "at the end")
        pusher.take("first")
    """
    got: list[object] = []
    puller = zerorpc.Puller({"take": got.append}, tls=certificates().serves)
    (endpoint,) = puller.bind(TLS)

    with on_thread(puller), Program(source, endpoint, certificates().ca) as program:
        assert program.end()[0] == 0
        eventually(lambda: got == ["first", "at the end"], f"{got}")
