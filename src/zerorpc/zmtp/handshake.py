"""How a connection begins: the greetings, then the commands of the security mechanism (RFC 37)."""

from __future__ import annotations

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import Frame, Message
from zerorpc.zmtp.greeting import GREETING_SIZE, Greeting, check_greeting_start
from zerorpc.zmtp.mechanisms import Mechanism
from zerorpc.zmtp.socket_types import SocketType

__all__ = ["TOO_EARLY", "Handshake"]

TOO_EARLY = "the peer sent a message before the handshake was over"


class Handshake:
    """What one connection does before its first message, and what that tells of the peer.

    Arguments: our ``socket_type``; this connection's ``mechanism``; our ``metadata``, packed. What the peer may not
    send raises ProtocolError.
    """

    __slots__ = ("_buffer", "_mechanism", "_metadata", "_our_type", "greeting", "properties", "socket_type")

    def __init__(self, socket_type: SocketType, mechanism: Mechanism, metadata: bytes) -> None:
        self.greeting: Greeting | None = None  # the peer's, once it is whole
        self.properties: dict[str, bytes] | None = None  # the peer's, once the handshake is over,
        self.socket_type: SocketType | None = None  # and what it is
        self._our_type = socket_type
        self._mechanism = mechanism
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
        if self.greeting.mechanism != self._mechanism.name:
            wanted, ours = self.greeting.mechanism, self._mechanism.name
            raise ProtocolError(f"the peer wants the security mechanism {wanted!r}, here it is {ours!r}")
        return data[missing:]

    def start(self) -> list[Frame]:
        """What to send when the greetings match."""
        return [command.encode() for command in self._mechanism.start(self._metadata)]

    def receive(self, item: Message | Command) -> list[Frame]:
        """What to answer. It is over when there are ``properties``."""
        if not isinstance(item, Command):
            raise ProtocolError(TOO_EARLY)
        if item.name == b"ERROR":
            raise ProtocolError(f"the peer refused the connection: {item.error_reason}")
        answers: list[Frame] = [command.encode() for command in self._mechanism.receive(item)]
        if self._mechanism.properties is not None:
            self.socket_type = self._checked_type(self._mechanism.properties)
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
