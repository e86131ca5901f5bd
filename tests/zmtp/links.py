"""Connections joined by a link that lives in memory, the bytes that a plain peer would send, and chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from zerorpc.zmtp import Connection, Message, SocketType, State
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.frames import Frame, encode_message
from zerorpc.zmtp.greeting import Greeting

PARTNERS = {
    SocketType.ROUTER: SocketType.DEALER,
    SocketType.DEALER: SocketType.ROUTER,
    SocketType.PUB: SocketType.SUB,
    SocketType.SUB: SocketType.PUB,
    SocketType.PULL: SocketType.PUSH,
    SocketType.PUSH: SocketType.PULL,
}


def octets(connection: Connection) -> bytes:
    """All that the connection has to send."""
    return b"".join(connection.take_output())


def commands(connection: Connection) -> list[Command]:
    """The commands it has to send, of those that are short."""
    data, found = octets(connection), []
    while data:
        assert data[0] == 0x04
        found.append(Command.decode(data[2 : 2 + data[1]]))
        data = data[2 + data[1] :]
    return found


def exchange(left: Connection, right: Connection) -> tuple[list[Message], list[Message]]:
    """Carry bytes both ways until there are none: what each side received."""
    at_left: list[Message] = []
    at_right: list[Message] = []
    while True:
        there, back = octets(left), octets(right)
        if not there and not back:
            return at_left, at_right
        at_right += right.receive_data(there)
        at_left += left.receive_data(back)


def pair(left: SocketType = SocketType.DEALER, **options: object) -> tuple[Connection, Connection]:
    """Two connections after their handshake; ``options`` are the left one's."""
    ends = Connection(left, **options), Connection(PARTNERS[left])  # type: ignore[arg-type]
    assert exchange(*ends) == ([], [])
    assert [end.state for end in ends] == [State.TRAFFIC] * 2
    return ends


def handshake(socket_type: str = "DEALER", minor: int = 1, **properties: bytes) -> bytes:
    """What a plain peer of this type sends first."""
    metadata = encode_metadata({"Socket-Type": socket_type.encode(), **properties})
    return Greeting("NULL", minor=minor).encode() + Command(b"READY", metadata).encode()


def after_handshake(socket_type: SocketType = SocketType.ROUTER, **options: object) -> Connection:
    """A connection that a plain peer has shaken hands with; its own output is taken."""
    connection = Connection(socket_type, **options)  # type: ignore[arg-type]
    assert connection.receive_data(handshake(PARTNERS[socket_type].value)) == []
    assert connection.state is State.TRAFFIC
    connection.take_output()
    return connection


def encoded(parts: Sequence[Frame]) -> bytes:
    out: list[Frame] = []
    encode_message(parts, out)
    return b"".join(out)


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The same bytes in chunks, cut at these positions."""
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


short_bodies = st.binary(max_size=20)
bodies = st.one_of(
    short_bodies,
    st.builds(
        lambda octet, size: octet * size, st.binary(min_size=1, max_size=1), st.sampled_from([254, 255, 256, 700])
    ),
)
messages = st.lists(bodies, min_size=1, max_size=5)
cuts = st.lists(st.integers(0, 5000), max_size=12)
