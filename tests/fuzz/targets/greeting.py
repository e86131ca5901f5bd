"""The greeting, and the first command behind it: in pieces as at once, and by the letter of RFC 37."""

from __future__ import annotations

import functools

from tests.fuzz.security import MECHANISMS, Mechanisms
from tests.fuzz.tape import Tape
from zerorpc.zmtp import Connection, SocketType, State
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.greeting import Greeting


def play(octets: bytes) -> None:
    tape = Tape(octets)
    ours = tape.pick(MECHANISMS)
    splits = Tape(tape.octets(4))
    sent = tape.rest()
    whole, pieces = connection(ours), connection(ours)
    messages = whole.receive_data(sent)
    parts = [message for piece in splits.pieces(sent) for message in pieces.receive_data(piece)]
    assert parts == messages, f"in pieces {parts!s:.200}, at once {messages!s:.200}"
    assert pieces.state is whole.state, f"in pieces {pieces!r}, at once {whole!r}"
    assert type(pieces.error) is type(whole.error), f"in pieces {pieces.error!r}, at once {whole.error!r}"
    assert (whole.error is None) == (whole.state is not State.CLOSED)
    check(ours, sent, whole)


def check(ours: Mechanisms, sent: bytes, connection: Connection) -> None:
    """Whether it took this for a greeting is as it should be."""
    if not is_right(ours, sent):
        assert connection.state is State.CLOSED, f"it took {sent[:64]!r} for a greeting"
    elif len(sent) < 64:
        assert connection.state is State.GREETING, f"it refused {sent!r}: {connection.error}"
    elif len(sent) == 64:
        assert connection.state is State.HANDSHAKE, f"it refused {sent!r}: {connection.error}"
    else:
        assert connection.peer_greeting is not None


def is_right(ours: Mechanisms, sent: bytes) -> bool:
    """Whether it is a greeting that we can answer, as far as it has come."""
    mechanism = ours.ours().name.encode().ljust(20, b"\0")
    rules = (  # position, and whether its octet is right
        (0, sent[:1] == b"\xff"),
        (9, sent[9:10] != b"" and bool(sent[9] & 1)),
        (10, sent[10:11] >= b"\3"),
        (63, sent[12:32] == mechanism and not (ours.ours().as_server and sent[32:33] != b"\0")),
    )
    return all(right or len(sent) <= position for position, right in rules)


def connection(ours: Mechanisms) -> Connection:
    return Connection(SocketType.ROUTER, mechanism=ours.ours)


@functools.cache
def seeds() -> tuple[bytes, ...]:
    ready = Command(b"READY", encode_metadata({"Socket-Type": b"DEALER", "Identity": b""})).encode()
    names = [mechanism.ours().name for mechanism in MECHANISMS]
    return tuple(
        bytes((number, 2, 1, 30, 70)) + Greeting(name, as_server, minor=minor).encode() + ready
        for number, name in enumerate(names)
        for as_server, minor in ((False, 1), (True, 0))
    )
