"""A handshake that waits for somebody to decide who the peer is: its last word is held back until then."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.zmtp.links import commands, encoded, exchange, octets
from zerorpc.errors import HandshakeFailed
from zerorpc.keys import KeyPair
from zerorpc.zmtp import Connection, SocketType, State
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.mechanisms import Mechanism, Null
from zerorpc.zmtp.mechanisms.base import Credentials
from zerorpc.zmtp.mechanisms.curve import CookieKey, CurveClient, CurveServer
from zerorpc.zmtp.mechanisms.plain import PlainClient, PlainServer

SERVER, CLIENT = KeyPair.generate(), KeyPair.generate()
COOKIE_KEY = CookieKey()

# Of each mechanism who doesn't ask, who does, and what is shown
CASES: dict[str, tuple[Callable[[], Mechanism], Callable[[], Mechanism], Credentials]] = {
    "NULL": (Null, functools.partial(Null, asks=True), Credentials("NULL")),
    "PLAIN": (functools.partial(PlainClient, b"me", b"pw"), PlainServer, Credentials("PLAIN", b"", b"me", b"pw")),
    "PLAIN, the client asks": (
        functools.partial(PlainServer, lambda user, password: True),
        functools.partial(PlainClient, b"me", b"pw", asks=True),
        Credentials("PLAIN"),
    ),
    "CURVE": (
        functools.partial(CurveClient, *CLIENT, SERVER.public),
        functools.partial(CurveServer, *SERVER, COOKIE_KEY, asks=True),
        Credentials("CURVE", CLIENT.public),
    ),
    "CURVE, the client asks": (
        functools.partial(CurveServer, *SERVER, COOKIE_KEY),
        functools.partial(CurveClient, *CLIENT, SERVER.public, asks=True),
        Credentials("CURVE", SERVER.public),
    ),
}
EACH = pytest.mark.parametrize("case", CASES)


def asked(case: str) -> tuple[Connection, Connection]:
    """The peer, and who asks, when it has come to that."""
    theirs, ours, shown = CASES[case]
    peer = Connection(SocketType.DEALER, mechanism=theirs, identity=b"peer")
    asks = Connection(SocketType.ROUTER, mechanism=ours)
    assert asks.credentials is None
    assert exchange(peer, asks) == ([], [])
    assert asks.asking
    assert asks.news
    assert asks.credentials == shown
    assert asks.state is State.HANDSHAKE
    return peer, asks


@EACH
def test_who_is_admitted_goes_on(case: str) -> None:
    peer, asks = asked(case)
    asks.admit()
    assert not asks.asking
    exchange(peer, asks)
    assert [end.state for end in (peer, asks)] == [State.TRAFFIC] * 2
    assert asks.peer_identity == b"peer"
    peer.send_delimited(b"hi")
    assert exchange(peer, asks) == ([], [[b"", b"hi"]])
    asks.refuse()  # too late, and so without effect
    asks.admit()
    assert asks.state is State.TRAFFIC


@pytest.mark.parametrize("case", ["NULL", "PLAIN", "CURVE"])
def test_who_is_refused_is_told_why(case: str) -> None:
    peer, asks = asked(case)
    before = peer.state
    asks.refuse("nobody knows that key")
    assert asks.state is State.CLOSED
    assert str(asks.error) == "refused: nobody knows that key"
    assert commands(asks) == [Command.error("nobody knows that key")]
    assert before in (State.HANDSHAKE, State.TRAFFIC)
    asks.admit()
    assert asks.state is State.CLOSED
    peer.receive_data(Command.error("nobody knows that key").encode())
    assert isinstance(peer.error, HandshakeFailed)
    assert str(peer.error) == "the peer refused the connection: nobody knows that key"


@pytest.mark.parametrize("case", ["PLAIN, the client asks", "CURVE, the client asks"])
def test_a_client_refuses_without_a_word(case: str) -> None:
    _, asks = asked(case)
    asks.refuse()
    assert str(asks.error) == "refused: not allowed"
    assert octets(asks) == b""


@EACH
@pytest.mark.parametrize(
    "sent", [encoded([b"hi"]), Command(b"READY", b"").encode(), Command(b"PING", b"\0\0").encode()]
)
def test_a_peer_that_does_not_wait_is_refused(case: str, sent: bytes) -> None:
    _, asks = asked(case)
    asks.receive_data(sent)
    assert asks.state is State.CLOSED
    assert str(asks.error) == "the peer sent a message before the handshake was over"
    assert not asks.asking


def shown(case: str, also: bytes, at: int) -> tuple[Connection, int]:
    """Who asks, when the peer has said all that it says; with ``also`` behind what it says the ``at``-th time; and how
    often it said something.
    """
    theirs, ours, _ = CASES[case]
    peer, asks = Connection(SocketType.DEALER, mechanism=theirs), Connection(SocketType.ROUTER, mechanism=ours)
    times = 0
    while not asks.asking and asks.error is None:
        times += 1
        asks.receive_data(octets(peer) + (also if times == at else b""))
        peer.receive_data(octets(asks))
    return asks, times


LARGE = encoded([b"", bytes(1_000_000)])


@EACH
@pytest.mark.parametrize("count", [1, 2, 3, 100, len(LARGE)])
def test_the_start_of_a_message_behind_what_is_shown_is_refused_at_once(case: str, count: int) -> None:
    """It would be collected, and served once the peer is let in."""
    asks, _ = shown(case, LARGE[:count], shown(case, b"", 0)[1])
    assert asks.state is State.CLOSED
    assert str(asks.error) == "the peer sent a message before the handshake was over"
    assert not asks.asking
    assert asks.decoder.body is None or len(asks.decoder.body) <= 20_000


def test_the_start_of_a_message_behind_the_greeting_is_refused_at_once() -> None:
    for mechanism in (Null, functools.partial(Null, asks=True)):
        connection = Connection(SocketType.ROUTER, mechanism=mechanism)
        connection.receive_data(octets(Connection(SocketType.DEALER))[:64] + LARGE[:100])
        assert str(connection.error) == "the peer sent a message before the handshake was over"


def test_who_does_not_ask_takes_the_start_of_a_message_with_the_end_of_the_handshake() -> None:
    """As libzmq may send it: its handshake is over with our READY."""
    ours, peer = Connection(SocketType.ROUTER), Connection(SocketType.DEALER)
    ours.receive_data(octets(peer))
    peer.receive_data(octets(ours))
    ours.receive_data(octets(peer) + LARGE[:100])
    assert ours.state is State.TRAFFIC
    assert ours.receive_data(LARGE[100:]) == [[b"", bytes(1_000_000)]]


def test_a_peer_that_none_of_our_sockets_can_talk_to_is_not_asked_about() -> None:
    for theirs, ours, _ in CASES.values():
        ends = Connection(SocketType.PUB, mechanism=theirs), Connection(SocketType.ROUTER, mechanism=ours)
        exchange(*ends)
        if ends[1].asking:  # PLAIN asks first
            ends[1].admit()
            exchange(*ends)
        assert not ends[1].asking
        assert "socket can't talk to a " in str(ends[1].error)


def test_who_does_not_ask_waits_for_nobody() -> None:
    for theirs, ours, _ in CASES.values():
        if ours is PlainServer:
            continue
        mechanism: Any = functools.partial(ours)
        mechanism.keywords.pop("asks")
        ends = Connection(SocketType.DEALER, mechanism=theirs), Connection(SocketType.ROUTER, mechanism=mechanism)
        exchange(*ends)
        assert [end.state for end in ends] == [State.TRAFFIC] * 2
