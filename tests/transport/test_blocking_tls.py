"""A blocking link with TLS: partial sends, peers that don't read or never shake hands, and interrupts."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, RawPeer, eventually, serving, timed_out
from tests.service.services import answer, reply
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.transport.blocking_tls import TlsBlockingLink
from zerorpc.transport.endpoint_tls import EndpointTls
from zerorpc.transport.polling import Polling
from zerorpc.transport.tls import TlsConnection
from zerorpc.zmtp import SocketType


@contextlib.contextmanager
def by_hand(**options: Any) -> Iterator[tuple[zerorpc.Client, RawPeer]]:
    """A client, and its server by hand, with Python's own TLS, after the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server, certificates().server_key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        endpoint = f"tls+tcp://127.0.0.1:{listener.getsockname()[1]}"
        options = {"timeout": PATIENCE, "tls": certificates().trusts, **options}
        with zerorpc.Client(endpoint, heartbeat=None, **options) as client:
            hello = client.hello(async_=True)
            wrapped = context.wrap_socket(listener.accept()[0], server_side=True, suppress_ragged_eofs=False)
            with RawPeer(wrapped, SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                server.handshake()
                answer(server)
                hello.get(timeout=PATIENCE)
                yield client, server


def link_of(client: zerorpc.Client) -> TlsBlockingLink:
    (link,) = client._core.hub.links.values()
    assert isinstance(link, TlsBlockingLink)
    return link


def test_what_is_sent_while_something_is_unsent_follows_it_whole() -> None:
    with by_hand() as (client, server):
        parts = [bytes([number]) * 900_000 for number in range(4)]
        link = link_of(client)
        calls = []
        while not link.unsent:
            calls.append(client.echo(b"x" * 900_000, async_=True))
        assert link._to_send
        taken, unsent = link.output_progress()
        assert taken > 0
        assert unsent > link.unsent
        calls += [client.echo(part, async_=True) for part in parts]
        received = []
        for _ in calls:
            request = server.next_event()
            received.append(request.args[0])
            reply(server, request)
        assert received[-len(parts) :] == parts
        for call in calls:
            call.get(timeout=PATIENCE)
        assert link.unsent == 0
        assert not link._to_send


def test_a_server_that_breaks_the_protocol_while_it_reads_nothing() -> None:
    with by_hand() as (client, server):
        link = link_of(client)
        calls = []
        while not link.unsent:
            calls.append(client.echo(b"x" * 900_000, async_=True))
        server.sock.sendall(b"\x08\x08")
        for call in calls:
            with pytest.raises(zerorpc.LostRemote, match="flag"):
                call.get(timeout=PATIENCE)


def test_a_server_that_does_not_read_makes_calls_wait_and_holds_little() -> None:
    with by_hand(timeout=1.5) as (client, _):
        calls = [client.echo(b"x" * 4_000_000, async_=True) for _ in range(8)]
        for call in calls:
            with pytest.raises(zerorpc.TimeoutExpired):
                call.get(timeout=PATIENCE)
        assert sum(link.unsent for link in client._core.hub.links.values()) < 10_000_000


def test_a_server_that_says_that_it_ends() -> None:
    with by_hand() as (client, server):
        call = client.echo(1, async_=True)
        server.next_event()
        with contextlib.suppress(ssl.SSLError, OSError):
            server.sock.unwrap()  # type: ignore[attr-defined]  # close_notify, and the socket stays open
        with pytest.raises(zerorpc.LostRemote, match="was closed"):
            call.get(timeout=PATIENCE)


def test_a_client_says_that_it_ends() -> None:
    with by_hand() as (client, server):
        client.close()
        assert server.sock.recv(100) == b""  # and no SSLEOFError


def test_a_reset_in_the_middle_of_a_call() -> None:
    with by_hand() as (client, server):
        call = client.echo(1, async_=True)
        server.next_event()
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.sock.close()
        with pytest.raises(zerorpc.LostRemote, match="Connection reset by peer"):
            call.get(timeout=PATIENCE)


@pytest.mark.parametrize("answers", [b"", b"\x16\x03\x03\x40\x00half a record"])
def test_waiting_for_a_handshake_costs_no_processor_time(answers: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The greeting waits to be sent meanwhile, and the socket takes it: that is no reason to poll for writing."""
    polls: list[object] = []
    poll = Polling.poll
    monkeypatch.setattr(Polling, "poll", lambda polling, timeout: (polls.append(1), poll(polling, timeout))[1])
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"tls+tcp://127.0.0.1:{deaf.getsockname()[1]}"
        with zerorpc.Client(endpoint, timeout=0.3, tls=certificates().trusts) as client:
            call = client.echo(1, async_=True)
            accepted, _ = deaf.accept()
            with accepted:
                accepted.send(answers)
                with pytest.raises(zerorpc.TimeoutExpired, match="no server was reached"):
                    call.get()
    assert len(polls) < 50


def test_a_server_that_closes_in_the_middle_of_the_handshake_is_named_in_the_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"tls+tcp://127.0.0.1:{other.getsockname()[1]}"
        other.settimeout(0.01)

        def call(timeout: float) -> object:
            with zerorpc.Client(endpoint, timeout=timeout, tls=certificates().trusts) as client:
                waiting = client.echo(1, async_=True)
                until = time.monotonic() + timeout
                while time.monotonic() < until:
                    with contextlib.suppress(TimeoutError):
                        accepted, _ = other.accept()
                        accepted.recv(100)
                        accepted.close()
                return waiting.get()

        timed_out(call, f"{endpoint}: the connection to {endpoint} was closed")


class Hub:
    """What a link needs of its hub."""

    def __init__(self) -> None:
        self.polling: Any = self
        self.owner: Any = self
        self.watching: list[bool] = []

    def watch(self, link: TlsBlockingLink, for_writing: bool) -> None:
        self.watching.append(for_writing)


def test_a_word_of_tls_itself_waits_for_a_full_socket() -> None:
    """An answer to a new key, while there is nothing of ours to send."""
    hub = Hub()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        tls = EndpointTls(certificates().serves, server_side=True).new_connection()
        link = TlsBlockingLink(hub, ours, ClientPeer(None, lambda: b"", False), None, tls)
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += ours.send(bytes(4096))
        tls._outgoing.write(b"a new key")
        link.write()
        link.write()
        assert (link.watched, hub.watching) == (True, [True])
        while filled:
            filled -= len(theirs.recv(filled))
        link.write()
        assert theirs.recv(100) == b"a new key"
        assert (link.watched, hub.watching) == (False, [True, False])


@pytest.mark.parametrize("step", ["seal", "receive", "take_output"])
def test_ctrl_c_in_the_middle_of_the_work_costs_the_connection_and_mixes_no_octets(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sealed before and after would be out of order: the peer's TLS would notice, and say so in its log."""
    interrupted: list[object] = []
    original = getattr(TlsConnection, step)

    def interrupt(tls: TlsConnection, *args: Any) -> Any:
        result = original(tls, *args)
        if armed and not tls._server_side and not interrupted:
            interrupted.append(tls)
            raise KeyboardInterrupt
        return result

    armed: list[object] = []
    with serving({"echo": lambda value: value}, bind="tls+tcp://127.0.0.1:0", tls=certificates().serves) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, tls=certificates().trusts) as client:
            assert client.echo(1) == 1
            monkeypatch.setattr(TlsConnection, step, interrupt)
            armed.append(1)
            before = link_of(client)
            if step == "take_output":
                with pytest.raises(KeyboardInterrupt):
                    client.close()
                return
            with pytest.raises(KeyboardInterrupt):
                client.echo("x" * 1000)
            assert client.echo(2) == 2
            eventually(lambda: link_of(client) is not before)
            assert before.closed
