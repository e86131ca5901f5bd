"""How a connection begins: the greetings, then the commands of the security mechanism (RFC 37)."""

from __future__ import annotations

from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.keys import said_key
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import Frame, Message
from zerorpc.zmtp.greeting import GREETING_SIZE, Greeting, check_greeting_start
from zerorpc.zmtp.mechanisms import Mechanism
from zerorpc.zmtp.socket_types import SocketType

__all__ = ["TOO_EARLY", "Handshake"]

_IDENTITY_MAX = 255  # RFC 37, "The READY command"
_KNOWN = frozenset(("socket-type", "identity", "x-zerorpc"))

TOO_EARLY = "the peer sent a message before the handshake was over"

_REMEDY = {  # what a user has to do here, by what the peer wants
    "CURVE": " (curve= with the keys, or neither)",
    "NULL": " (curve= or plain= there too, or neither)",
    "PLAIN": " (plain= with user and password)",
}


class Handshake:
    """What one connection does before its first message, and what that tells of the peer.

    Arguments: our ``socket_type``; this connection's ``mechanism``; our ``metadata``, packed. What the peer may not
    send raises ProtocolError.

    If the mechanism ``asks``, somebody has to decide who the peer is, and may take a while. As soon as the peer has
    shown its credentials it is ``asking``, and what was to be sent next is held back until ``admit``.
    """

    __slots__ = (
        "_buffer",
        "_held",
        "_mechanism",
        "_metadata",
        "_our_type",
        "_undecided",
        "asking",
        "greeting",
        "properties",
        "socket_type",
    )

    def __init__(self, socket_type: SocketType, mechanism: Mechanism, metadata: bytes) -> None:
        self.greeting: Greeting | None = None  # the peer's, once it is whole
        self.properties: dict[str, bytes] | None = None  # the peer's, once the handshake is over,
        self.socket_type: SocketType | None = None  # and what it is
        self.asking: bool = False
        self._our_type = socket_type
        self._mechanism = mechanism
        self._undecided = mechanism.asks
        self._held: list[Frame] = []
        self._metadata = metadata
        self._buffer = bytearray()  # the greeting, until it is whole

    def open(self) -> list[Frame]:
        """What to send first."""
        return [Greeting(self._mechanism.name, self._mechanism.as_server).encode()]

    def receive_greeting(self, data: bytes) -> bytes:
        """Collect the greeting; what follows it, once it is whole."""
        missing = GREETING_SIZE - len(self._buffer)
        self._buffer += data[:missing]
        check_greeting_start(self._buffer)
        if len(self._buffer) < GREETING_SIZE:
            return b""
        self.greeting = Greeting.decode(bytes(self._buffer))
        self._check_mechanism(self.greeting)
        return data[missing:]

    def _check_mechanism(self, theirs: Greeting) -> None:
        ours = self._mechanism
        if theirs.mechanism != ours.name:
            raise HandshakeFailed(
                f"the peer wants the security mechanism {theirs.mechanism!r}, here it is {ours.name!r}: "
                f"both sides need the same{_REMEDY.get(theirs.mechanism, '')}"
            )
        if theirs.as_server and ours.as_server:  # the other way round can't be told: libzmq's servers don't say it
            raise HandshakeFailed(f"both sides have the server's role in {ours.name}: one needs the other's key")

    def start(self) -> list[Frame]:
        """What to send when the greetings match."""
        commands: list[Frame] = [command.encode() for command in self._mechanism.start(self._metadata)]
        if self._undecided and self._mechanism.symmetric:
            self._held, commands = commands, []
        return commands

    def receive(self, item: Message | Command) -> list[Frame]:
        """What to answer. It is over when there are ``properties``."""
        if not isinstance(item, Command) or self.asking:
            raise ProtocolError(TOO_EARLY)
        if item.name == b"ERROR":
            refused = HandshakeFailed(f"the peer refused the connection: {item.error_reason}")
            refused.server_key = said_key(item.error_reason)
            raise refused
        answers: list[Frame] = [command.encode() for command in self._mechanism.receive(item)]
        if self._mechanism.properties is not None:
            self._mechanism.properties = _known(self._mechanism.properties)
            self.socket_type = self._checked_type(self._mechanism.properties)
        if self._undecided and self._mechanism.credentials is not None:
            self.asking = True
            self._held += answers
            return []
        return self._go_on(answers)

    def admit(self) -> list[Frame]:
        """The peer is who it says it is: what was held back. Its password is forgotten."""
        self.asking = self._undecided = False
        credentials = self._mechanism.credentials
        assert credentials is not None
        self._mechanism.credentials = credentials._replace(password=b"")
        held, self._held = self._held, []
        return self._go_on(held)

    def _go_on(self, answers: list[Frame]) -> list[Frame]:
        self.properties = self._mechanism.properties
        return answers

    def _checked_type(self, properties: dict[str, bytes]) -> SocketType:
        """The peer's socket type, if ours can talk to it."""
        name = properties.get("socket-type", b"").decode("latin-1")
        try:
            socket_type = SocketType(name)
        except ValueError:
            raise ProtocolError(f"the peer's socket type is unknown: {name!r}") from None
        if not self._our_type.may_talk_to(socket_type):
            raise ProtocolError(f"a {self._our_type.value} socket can't talk to a {name} socket")
        return socket_type


def _known(properties: dict[str, bytes]) -> dict[str, bytes]:
    """Those that anybody here reads: of the others a peer may send 64 KiB, which would be kept for each connection."""
    if len(properties.get("identity", b"")) > _IDENTITY_MAX:
        raise ProtocolError(f"the peer's routing id has more than {_IDENTITY_MAX} octets")
    return {name: value for name, value in properties.items() if name in _KNOWN and len(value) <= _IDENTITY_MAX}
