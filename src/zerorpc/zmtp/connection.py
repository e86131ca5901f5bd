"""One ZMTP connection from the first octet to the last (RFC 37): greeting, handshake, traffic.

This file does not know which side opened the connection, what the messages mean, nor what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.frames import Frame, FrameDecoder, Limits, Message
from zerorpc.zmtp.greeting import Greeting
from zerorpc.zmtp.handshake import TOO_EARLY, Handshake
from zerorpc.zmtp.mechanisms import Credentials, NewMechanism, Null
from zerorpc.zmtp.sending import PING_CONTEXT_MAX, PING_TTL_UNIT, Sender, State
from zerorpc.zmtp.socket_types import SocketType
from zerorpc.zmtp.subscriptions import Subscriptions

__all__ = ["Connection", "State"]

# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11, and these 16.
_GREETING, _HANDSHAKE, _TRAFFIC, _CLOSED = State


class Connection(Sender):
    """Octets in, messages out; what has to be sent is fetched with ``take_output``.

    Arguments: ``socket_type`` ours; ``mechanism`` makes this connection's security mechanism; ``identity`` our
    routing id (at most 255 octets); ``properties`` further metadata for READY; ``limits`` what the peer may send.

    If the mechanism ``asks``, the handshake stops when the peer has shown its ``credentials``. Then it is ``asking``,
    with ``news``, until somebody calls ``admit`` or ``refuse``. A peer that sends anything meanwhile is refused.

    Nothing raises because of what a peer sends: ``state`` becomes CLOSED and ``error`` says why, while an ERROR
    command for the peer may still be waiting in the output. Not thread-safe.
    """

    __slots__ = (
        "_handshake",
        "_sorts_messages",
        "decoder",
        "error",
        "news",
        "peer_identity",
        "peer_properties",
        "peer_socket_type",
        "peer_ttl",
        "publishes",
        "quick",
        "socket_type",
        "subscriptions",
    )

    def __init__(
        self,
        socket_type: SocketType,
        *,
        mechanism: NewMechanism = Null,
        identity: bytes = b"",
        properties: Mapping[str, bytes] | None = None,
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.socket_type: SocketType = socket_type
        self.publishes: bool = socket_type.publishes
        self.state: State = _GREETING
        self.error: ProtocolError | None = None
        self.peer_greeting: Greeting | None = None
        self.peer_properties: dict[str, bytes] = {}
        self.peer_socket_type: SocketType | None = None
        self.peer_identity: bytes = b""
        self.peer_ttl: float | None = None  # seconds of silence after which the peer asks us to give it up
        self.quick: bool = False  # in traffic, and messages are what the decoder makes of them
        self.news: bool = False  # an error or a PING came, or it is asking; whoever has looked sets it back
        self.subscriptions: Subscriptions = Subscriptions(limits.subscriptions)  # the peer's, when we publish
        self.takes_buffers: bool = False
        self._ping_context: bytes | None = None
        self._mechanism = mechanism()
        self._seals = self._mechanism.seals
        self._sorts_messages = self._seals or socket_type.publishes  # they may be subscriptions, or not sealed
        metadata = {"Socket-Type": socket_type.value.encode(), "Identity": identity, **(properties or {})}
        self._handshake = Handshake(socket_type, self._mechanism, encode_metadata(metadata))
        self._sealing = False
        self._unsealed: deque[Sequence[Frame] | Command]
        if self._seals:
            self._unsealed = deque()
            self._mechanism.limits = limits
            limits = limits._replace(message=limits.message + self._mechanism.overhead)
        self.decoder: FrameDecoder = FrameDecoder(limits)
        self.output: list[Frame] = self._handshake.open()  # what has to be sent, in order; for ``take_output``

    def leave_out_delimiters(self) -> None:
        """Both sides agree that ``send_delimited`` sends no empty frame where it would be sealed by itself."""
        self._mechanism.leaves_out_delimiters = True

    # Receiving

    def receive_data(self, data: bytes) -> list[Message]:
        """Take what arrived, in chunks of any size; return the messages that it completes, in order."""
        received: list[Any] = []
        try:
            if self.state is not _TRAFFIC:
                data = self._receive_before_traffic(data)
                self.decoder.has_commands = True
            self.decoder.receive(data, received)
        except ProtocolError as error:
            messages = self._sort(received)
            self._fail(error)
            return messages
        return self._sort(received) if self.decoder.has_commands or self._sorts_messages else received

    def body_filled(self, count: int) -> list[Message]:
        """``receive_data`` for ``count`` octets that were put where ``decoder.body_room()`` says."""
        received: list[Any] = []
        try:
            self.decoder.body_filled(count, received)
        except ProtocolError as error:
            self._fail(error)
        return self._sort(received) if self.decoder.has_commands or self._sorts_messages else received

    def _receive_before_traffic(self, data: bytes) -> bytes:
        """What of ``data`` is frames: nothing after the end, nor as long as the greeting isn't whole."""
        if self.state is _CLOSED:
            return b""
        return self._receive_greeting(data) if self.state is _GREETING else data

    def _receive_greeting(self, data: bytes) -> bytes:
        """Once the greeting is whole, begin the handshake and return what follows it."""
        data = self._handshake.receive_greeting(data)
        self.peer_greeting = self._handshake.greeting
        if self.peer_greeting is not None:
            self.output += self._handshake.start()
            self.state = _HANDSHAKE
        return data

    def _sort(self, received: list[Message | Command]) -> list[Message]:
        """Sort what the decoder found: messages out, commands obeyed. An error ends it there."""
        messages: list[Message] = []
        self.decoder.has_commands = False
        try:
            for index, item in enumerate(received):
                if self.state is _HANDSHAKE:
                    self._receive_handshake(item)
                elif self._seals:
                    return self._open(received[index:] if index else received)
                else:
                    self._receive_traffic(item, messages)
            if self.state is _HANDSHAKE and self._has_begun_early():
                raise ProtocolError(TOO_EARLY)
        except ProtocolError as error:
            self._fail(error)
        return messages

    def _has_begun_early(self) -> bool:
        """Whether the start of a message has come before it may: it is refused now, not collected until all is here.
        Of a peer that is asked about nothing at all may come.
        """
        return self.decoder.in_message or (self._handshake.asking and not self.decoder.idle)

    def _open(self, received: list[Message | Command]) -> list[Message]:
        """The same for what is sealed. In clear, anybody on the way could have put it there."""
        messages: list[Message] = []
        opened: list[Any] = []
        try:
            commands = self._mechanism.open(received, opened)
        except ProtocolError as error:
            self._receive_opened(opened, messages)
            self._fail(error)
            return messages
        if not (commands or self.publishes):
            return opened
        self._receive_opened(opened, messages)
        return messages

    def _receive_opened(self, opened: list[Message | Command], messages: list[Message]) -> None:
        try:
            for item in opened:
                self._receive_traffic(item, messages)
        except ProtocolError as error:
            self._fail(error)

    def _receive_handshake(self, item: Message | Command) -> None:
        self.output += self._handshake.receive(item)
        if self._handshake.asking:
            self.news = True
        else:
            self._heed_handshake()

    def _heed_handshake(self) -> None:
        """It may be over."""
        handshake = self._handshake
        if handshake.properties is not None:
            self.peer_socket_type = handshake.socket_type
            self.peer_properties = handshake.properties
            self.peer_identity = handshake.properties.get("identity", b"")
            self.state = _TRAFFIC
            self.quick = not self._sorts_messages

    def _receive_traffic(self, item: Message | Command, messages: list[Message]) -> None:
        if isinstance(item, Command):
            self._receive_command(item)
        elif not (self.publishes and self.subscriptions.receive_message(item)):
            messages.append(item)

    def _receive_command(self, command: Command) -> None:
        """Obey a command; one that we don't know is ignored, as RFC 37 has it for later versions."""
        match command.name:
            case b"PING":
                if not 2 <= len(command.data) <= 2 + PING_CONTEXT_MAX:
                    raise ProtocolError(f"a PING of {len(command.data)} octets")
                self.peer_ttl = int.from_bytes(command.data[:2], "big") * PING_TTL_UNIT or None
                self._ping_context = command.data[2:]
                self.news = True
            case b"SUBSCRIBE" if self.publishes:
                self.subscriptions.add(command.data)
            case b"CANCEL" if self.publishes:
                self.subscriptions.remove(command.data)
            case b"ERROR":
                raise ProtocolError(f"the peer ended the connection: {command.error_reason}")

    def _fail(self, error: ProtocolError, told: str = "") -> None:
        """The end, for the first reason found: what the same chunk had after it doesn't count any more. During the
        handshake the peer is ``told`` why.
        """
        if self.state is _CLOSED:
            return
        self.news = True
        if self.state is _HANDSHAKE and self._mechanism.tells_errors:
            self.output.append(Command.error(told or str(error)).encode())
        self.state = _CLOSED
        self.quick = False
        self.error = error

    # Who the peer is

    @property
    def asking(self) -> bool:
        """Whether somebody has to decide who the peer is: ``admit`` or ``refuse``."""
        return self._handshake.asking and self.state is _HANDSHAKE

    @property
    def securing(self) -> bool:
        """Whether it is in the handshake of a mechanism that authenticates: the greetings match, and it isn't NULL."""
        return self.state is _HANDSHAKE and not self._mechanism.symmetric

    @property
    def credentials(self) -> Credentials | None:
        """What the peer has shown of itself; None until it has."""
        return self._mechanism.credentials

    def admit(self) -> None:
        """The peer is let in: the handshake goes on. Without effect unless it is ``asking``."""
        if self.asking:
            self.output += self._handshake.admit()
            self._heed_handshake()

    def refuse(self, reason: str = "not allowed") -> None:
        """The peer is not let in: tell it why, and end the connection. Without effect unless it is ``asking``."""
        if self.asking:
            self._fail(HandshakeFailed(f"refused: {reason}"), reason)

    def __repr__(self) -> str:
        peer = self.peer_socket_type.value if self.peer_socket_type else "?"
        return f"<Connection {self.socket_type.value}-{peer} {self.state.value}>"
