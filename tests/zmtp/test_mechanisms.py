"""NULL, and the seam that PLAIN and CURVE go through: a handshake of more commands, traffic that is sealed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.zmtp.links import encoded, exchange, octets
from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.zmtp import Connection, Message, SocketType, State
from zerorpc.zmtp.commands import Command, decode_metadata, encode_metadata
from zerorpc.zmtp.frames import Frame, FrameDecoder, Limits
from zerorpc.zmtp.mechanisms import Null


def test_null_sends_ready_at_once_and_takes_the_peers() -> None:
    null = Null()
    assert null.start(b"metadata") == [Command(b"READY", b"metadata")]
    assert null.properties is None
    assert null.receive(Command(b"READY", encode_metadata({"Identity": b"me"}))) == []
    assert null.properties == {"identity": b"me"}


def test_null_refuses_any_other_command() -> None:
    with pytest.raises(ProtocolError, match=r"b'HELLO' where READY was expected"):
        Null().receive(Command(b"HELLO", b""))


def test_null_seals_nothing() -> None:
    assert not Null.seals
    with pytest.raises(NotImplementedError):
        Null().seal([b""])
    with pytest.raises(NotImplementedError):
        Null().seal_delimited(b"")
    with pytest.raises(NotImplementedError):
        Null().seal_command(Command(b"PING", b""))
    with pytest.raises(NotImplementedError):
        Null().open([Command(b"MESSAGE", b"")], [])


class Mask:
    """A mechanism of two steps that seals: each message is a command, its octets turned over. No security."""

    name = "MASK"
    as_server = False
    symmetric = False
    tells_errors = True
    asks = False
    credentials = None
    seals = True
    overhead = 0
    limits = Limits()

    def __init__(self) -> None:
        self.properties: dict[str, bytes] | None = None
        self._metadata = b""
        self._decoder = FrameDecoder(Limits())

    leaves_out_delimiters = False

    def start(self, metadata: bytes) -> list[Command]:
        self._metadata = metadata
        return [Command(b"HELLO", b"")]

    def receive(self, command: Command) -> list[Command]:
        if command.name == b"HELLO":
            return [Command(b"METADATA", _turned(self._metadata))]
        self.properties = decode_metadata(_turned(command.data))
        return []

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        return [Command(b"MESSAGE", _turned(encoded(parts))).encode()]

    def seal_delimited(self, body: Frame) -> list[Frame]:
        return self.seal([b"", body])

    def seal_command(self, command: Command) -> list[Frame]:
        return [Command(b"MESSAGE", _turned(command.encode())).encode()]

    def open(self, items: Sequence[Message | Command], out: list[Message | Command]) -> bool:
        for item in items:
            if not isinstance(item, Command) or item.name != b"MESSAGE":
                raise ProtocolError("in clear, but MASK seals all")
            self._decoder.receive(_turned(item.data), out)
        return True


def _turned(data: bytes) -> bytes:
    return bytes(octet ^ 0xFF for octet in data)


def masked(left: SocketType, right: SocketType) -> tuple[Connection, Connection]:
    ends = Connection(left, mechanism=Mask, identity=b"me"), Connection(right, mechanism=Mask)
    exchange(*ends)
    assert [end.state for end in ends] == [State.TRAFFIC] * 2
    return ends


def test_a_handshake_of_more_commands() -> None:
    _, router = masked(SocketType.DEALER, SocketType.ROUTER)
    assert router.peer_identity == b"me"


def test_messages_are_sealed_on_the_way_and_arrive_open() -> None:
    dealer, router = masked(SocketType.DEALER, SocketType.ROUTER)
    dealer.send_message([b"one", b"x" * 300])
    dealer.send_delimited(b"secret")
    wire = octets(dealer)
    assert b"secret" not in wire
    assert router.receive_data(wire) == [[b"one", b"x" * 300], [b"", b"secret"]]


def test_a_sealed_subscription_by_message() -> None:
    publisher, subscriber = masked(SocketType.PUB, SocketType.SUB)
    subscriber.send_message([b"\x01news"])
    assert exchange(subscriber, publisher) == ([], [])
    assert publisher.subscriptions.match(b"newspaper")


@pytest.mark.parametrize("kinds", [(SocketType.DEALER, SocketType.ROUTER), (SocketType.SUB, SocketType.PUB)])
def test_what_comes_in_clear_is_refused(kinds: tuple[SocketType, SocketType]) -> None:
    _, receiver = masked(*kinds)
    assert receiver.receive_data(encoded([b"\x01", b"forged"])) == []
    assert receiver.state is State.CLOSED
    assert "in clear, but MASK seals all" in str(receiver.error)


def test_a_command_in_clear_is_the_mechanisms_to_refuse() -> None:
    dealer, _ = masked(SocketType.DEALER, SocketType.ROUTER)
    dealer.receive_data(Command(b"PING", b"\0\0").encode())
    assert str(dealer.error) == "in clear, but MASK seals all"


def test_both_sides_have_to_want_the_same_mechanism() -> None:
    ours, theirs = Connection(SocketType.DEALER), Connection(SocketType.ROUTER, mechanism=Mask)
    exchange(ours, theirs)
    wants = "the peer wants the security mechanism"
    assert str(ours.error) == f"{wants} 'MASK', here it is 'NULL': both sides need the same"
    assert str(theirs.error) == (
        f"{wants} 'NULL', here it is 'MASK': both sides need the same (curve= or plain= there too, or neither)"
    )
    assert isinstance(ours.error, HandshakeFailed)
    assert isinstance(ours.error, PermissionError)
