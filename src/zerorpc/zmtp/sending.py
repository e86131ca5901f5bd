"""What a connection sends: messages, and the commands of ZMTP 3.1 (RFC 37)."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence

from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import DELIMITED, Frame, Framed, encode_delimited, encode_framed, encode_message
from zerorpc.zmtp.greeting import Greeting
from zerorpc.zmtp.mechanisms import Mechanism

__all__ = ["PING_CONTEXT_MAX", "PING_TTL_UNIT", "Sender", "State"]

PING_TTL_UNIT = 0.1  # RFC 37: tenths of seconds
PING_CONTEXT_MAX = 16  # RFC 37: "MUST not exceed 16 octets"


class State(enum.Enum):
    """Where a connection stands. The order is the order of life; CLOSED is reached from each."""

    GREETING = "greeting"
    HANDSHAKE = "handshake"
    TRAFFIC = "traffic"
    CLOSED = "closed"


# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11, and these 16.
_GREETING, _HANDSHAKE, _TRAFFIC, _CLOSED = State


class Sender:
    """The half of a connection that sends. Its state is the connection's."""

    __slots__ = (
        "_mechanism",
        "_ping_context",
        "_sealing",
        "_seals",
        "_unsealed",
        "output",
        "peer_greeting",
        "state",
        "takes_buffers",
    )

    _mechanism: Mechanism
    _seals: bool
    _sealing: bool
    _unsealed: deque[Sequence[Frame] | Command]  # what waits for its turn to be sealed
    _ping_context: bytes | None  # of the last PING, until ``send_pong``
    output: list[Frame]
    peer_greeting: Greeting | None
    state: State
    takes_buffers: bool  # whether the peer understands frames behind a ``Framed`` body

    # Each message is made first and then queued in one step, since a finalizer or a signal handler may come at any
    # moment, and send a message of its own.

    def send_message(self, parts: Sequence[Frame]) -> None:
        """Queue one message for ``take_output``. Only after the handshake; harmless after an error."""
        assert self.state in (_TRAFFIC, _CLOSED), f"send_message in {self.state}"
        if self._seals:
            self._send_sealed(parts)
        else:
            frames: list[Frame] = []
            encode_message(parts, frames)
            self.output.extend(frames)

    def send_delimited(self, body: Frame) -> None:
        """Queue ``[b"", body]``, as requests and replies travel (RFC 28). When: as ``send_message``."""
        size = len(body)
        if size < 256 and not self._seals:
            frame = DELIMITED[size] + body
            self.output.append(frame)
        elif self._seals:
            self._send_sealed_delimited(body)
        elif isinstance(body, Framed) and body.buffers:
            self._send_framed(body)
        else:
            frames: list[Frame] = []
            encode_delimited(body, frames)
            self.output.extend(frames)

    def _send_framed(self, body: Framed) -> None:
        if not self.takes_buffers:
            self.send_delimited(body.in_band())
        elif self._seals:
            self.send_message((b"", bytes(body), *body.buffers))
        else:
            frames: list[Frame] = []
            encode_framed(body, frames)
            self.output.extend(frames)

    def send_ping(self, ttl: float = 0.0, context: bytes = b"") -> None:
        """Ask for a PONG; ``ttl`` in seconds (a hint when to give us up, 0 for none), ``context`` comes back."""
        tenths = min(round(ttl / PING_TTL_UNIT), 0xFFFF)
        self._send_command(Command(b"PING", tenths.to_bytes(2, "big") + context[:PING_CONTEXT_MAX]))

    def send_pong(self) -> None:
        """Answer the last PING unless that is done. Up to the caller: only it knows whether the peer reads at all."""
        if self._ping_context is not None:
            self._send_command(Command(b"PONG", self._ping_context))
            self._ping_context = None

    def send_subscribe(self, prefix: bytes = b"") -> None:
        """Ask a publisher for the messages that begin with ``prefix``: by command, or by message to ZMTP 3.0."""
        self._send_subscription(b"SUBSCRIBE", b"\x01", prefix)

    def send_cancel(self, prefix: bytes = b"") -> None:
        """Take one subscription back."""
        self._send_subscription(b"CANCEL", b"\x00", prefix)

    def _send_subscription(self, name: bytes, flag: bytes, prefix: bytes) -> None:
        if self.speaks_3_1:
            self._send_command(Command(name, prefix))
        else:
            self.send_message([flag + prefix])

    def _send_command(self, command: Command) -> None:
        if self._seals:
            self._send_sealed(command)
        else:
            self.output.append(command.encode())

    def _send_sealed(self, item: Sequence[Frame] | Command) -> None:
        """Seal and queue in one order, since nonces have to grow: what a finalizer sends meanwhile waits."""
        if self.state is _TRAFFIC:  # after an error nothing is sent, and perhaps there is no key at all
            self._unsealed.append(item)
            self._seal_waiting()

    def _send_sealed_delimited(self, body: Frame) -> None:
        """The same for ``[b"", body]``, for less."""
        if isinstance(body, Framed) and body.buffers:
            self._send_framed(body)
            return
        if self._sealing or self.state is not _TRAFFIC:
            self._send_sealed((b"", body))
            return
        self._sealing = True
        try:
            self.output.extend(self._mechanism.seal_delimited(body))
        finally:
            self._sealing = False
        if self._unsealed:
            self._seal_waiting()

    def _seal_waiting(self) -> None:
        unsealed = self._unsealed
        while unsealed and not self._sealing:
            self._sealing = True
            try:
                item = unsealed.popleft()
                seal = self._mechanism.seal_command if isinstance(item, Command) else self._mechanism.seal
                self.output.extend(seal(item))  # type: ignore[arg-type]  # of its kind
            finally:
                self._sealing = False

    @property
    def speaks_3_1(self) -> bool:
        """Whether the peer knows ZMTP 3.1's commands: PING, PONG, SUBSCRIBE, CANCEL."""
        greeting = self.peer_greeting
        return greeting is not None and (greeting.major, greeting.minor) >= (3, 1)

    def take_output(self) -> list[Frame]:
        """What has to be sent, in order, and forget it."""
        output, self.output = self.output, []
        return output
