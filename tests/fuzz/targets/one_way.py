"""The peers of pushers, pullers, publishers and subscribers, which anybody may connect to."""

from __future__ import annotations

import functools

from tests.fuzz import sources
from tests.fuzz.holds import check_peer, receive_after_the_end
from tests.fuzz.tape import Tape
from tests.zmtp.links import PARTNERS, encoded, handshake
from tests.zmtp.links import octets as output_of
from zerorpc.protocol.events import WireEvent, encode
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.zmtp import Limits, SocketType
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.connection import Connection

KINDS = (SocketType.PUB, SocketType.PULL, SocketType.SUB, SocketType.PUSH)
SIZES = (0, 1, 3, 200)
LIMITS = Limits(message=10_000, frames=4, command=1024, subscriptions=2048)
EVENT = encode({"message_id": b"m", "v": 3}, "take", [1])


def play(octets: bytes) -> None:
    tape = Tape(octets)
    kind = tape.pick(KINDS)
    peer = OneWayPeer(kind)
    peer.connection = Connection(kind, limits=LIMITS)
    peer.opened(0.0)
    greets = not tape.chance(8)
    if greets:
        peer.receive_data(handshake(PARTNERS[kind].value, minor=tape.number(2)), 0.0)
        assert peer.ready
    while not tape.over:
        data = step(tape)
        if peer.connection.error is not None:
            receive_after_the_end(peer, data, 1.0)
            break
        for piece in tape.pieces(data):
            for event, packed in peer.receive_data(piece, 1.0):
                assert isinstance(event, WireEvent)
                assert packed
        check(peer)
        if peer.ready and kind in (SocketType.PUB, SocketType.PUSH) and peer.connection.error is None:
            send(peer)


def step(tape: Tape) -> bytes:
    match tape.number(6):
        case 0:
            return tape.octets(tape.number(256))
        case 1:
            name = tape.pick((b"SUBSCRIBE", b"CANCEL", b"PING", b"x"))
            return Command(name, tape.octets(tape.pick(SIZES))).encode()
        case 2:
            return encoded([tape.pick((b"\0", b"\1")) + tape.octets(tape.pick(SIZES))])
        case 3:
            return encoded([EVENT[: tape.number(len(EVENT) + 1)] + tape.some(3)])
        case 4:
            return encoded([EVENT] * (1 + tape.number(3)))
    return Command(b"SUBSCRIBE", EVENT[: tape.number(8)]).encode()


def send(peer: OneWayPeer) -> None:
    """A subscriber gets what it asked for, and nothing else; what has been sent can be decoded."""
    output_of(peer.connection)
    sent = peer.send(EVENT)
    assert bool(output_of(peer.connection)) == sent
    if peer.connection.publishes:
        wanted = any(EVENT.startswith(prefix) for prefix in peer.connection.subscriptions._counts)
        assert sent == wanted


def check(peer: OneWayPeer) -> None:
    check_peer(peer)
    subscriptions = peer.connection.subscriptions
    size = sum(len(prefix) + 64 for prefix in subscriptions._counts)
    assert size == subscriptions._size
    assert size <= LIMITS.subscriptions or peer.connection.error is not None
    assert all(count > 0 for count in subscriptions._counts.values())


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Short runs of each kind: most of what can happen needs few octets."""
    events = sources.events()[::20]
    runs = [bytes((n % 4, 0, 1, *((n * i * 7) % 256 for i in range(120)))) for n in range(64)]
    return tuple(runs) + tuple(bytes((1, 0, 1, 0, len(event) % 256)) + event + b"\0" for event in events)
