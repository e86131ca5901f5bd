"""The beginning of a connection by itself: ``test_connection.py`` has what it means to one."""

from __future__ import annotations

import pytest

from zerorpc.errors import ProtocolError
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.greeting import Greeting
from zerorpc.zmtp.handshake import TOO_EARLY, Handshake
from zerorpc.zmtp.mechanisms import Null

OURS = encode_metadata({"Socket-Type": b"ROUTER"})
THEIRS = encode_metadata({"Socket-Type": b"DEALER", "Identity": b"me"})


def begun() -> Handshake:
    """The greetings are exchanged."""
    handshake = Handshake(SocketType.ROUTER, Null(), OURS)
    assert handshake.open() == [Greeting("NULL").encode()]
    assert handshake.receive_greeting(Greeting("NULL", minor=0).encode() + b"rest") == b"rest"
    assert handshake.start() == [Command(b"READY", OURS).encode()]
    return handshake


def test_what_it_tells_of_the_peer() -> None:
    handshake = begun()
    assert handshake.greeting == Greeting("NULL", minor=0)
    assert (handshake.properties, handshake.socket_type) == (None, None)
    assert handshake.receive(Command(b"READY", THEIRS)) == []
    assert handshake.properties == {"socket-type": b"DEALER", "identity": b"me"}
    assert handshake.socket_type is SocketType.DEALER


def test_a_greeting_comes_in_any_pieces() -> None:
    handshake = Handshake(SocketType.ROUTER, Null(), OURS)
    octets = Greeting("NULL").encode()
    for octet in octets[:-1]:
        assert handshake.receive_greeting(bytes([octet])) == b""
        assert handshake.greeting is None
    assert handshake.receive_greeting(octets[-1:] + b"rest") == b"rest"
    assert handshake.greeting == Greeting("NULL")


def test_another_mechanism_is_refused() -> None:
    with pytest.raises(ProtocolError, match="the peer wants the security mechanism 'CURVE', here it is 'NULL'"):
        Handshake(SocketType.ROUTER, Null(), OURS).receive_greeting(Greeting("CURVE").encode())


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ([b"a message"], TOO_EARLY),
        (Command.error("go away"), "the peer refused the connection: go away"),
        (Command(b"READY", encode_metadata({"Socket-Type": b"PUB"})), "a ROUTER socket can't talk to a PUB socket"),
        (Command(b"READY", b""), "the peer's socket type is unknown: ''"),
    ],
)
def test_what_ends_it(item: Command, why: str) -> None:
    handshake = begun()
    with pytest.raises(ProtocolError) as caught:
        handshake.receive(item)
    assert str(caught.value) == why
    assert handshake.socket_type is None
