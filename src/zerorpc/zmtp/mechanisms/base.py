"""What a connection needs of a security mechanism (RFC 37, "Security Mechanisms").

PLAIN and CURVE differ from NULL in three ways only: they exchange more commands, their sides have roles (a client's and
a server's), and CURVE also seals every frame that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import Frame, Limits, Message

__all__ = ["Credentials", "Mechanism", "NewMechanism"]


class Credentials(NamedTuple):
    """What the peer has shown of itself in the handshake. ``repr`` leaves the password out.

    ``mechanism`` is its name. ``key`` is the peer's public key, 32 octets: with CURVE, and proven. ``user`` and
    ``password`` are as the peer sent them: with PLAIN, and not checked by anybody yet.
    """

    mechanism: str
    key: bytes = b""
    user: bytes = b""
    password: bytes = b""

    def __repr__(self) -> str:
        return f"<Credentials {self.mechanism} key={self.key.hex()} user={self.user!r}>"


class Mechanism(Protocol):
    """One handshake, and the sealing of what follows it.

    With ``asks`` somebody has to decide who the peer is: the side that does holds its last word back until then
    (``Handshake``). It knows by ``credentials`` that it is time.
    """

    name: str
    as_server: bool  # what our greeting says: whether this is the server's role; False where there are no roles
    symmetric: bool  # both sides send the same, at once: the last word is what ``start`` returns
    tells_errors: bool  # whether the role allows an ERROR command
    asks: bool
    credentials: Credentials | None  # what the peer has shown, once it has
    properties: dict[str, bytes] | None  # the peer's metadata, None until ``receive`` has completed the handshake
    seals: bool  # whether traffic is sealed: everything then goes out through ``seal`` and comes in through ``open``
    leaves_out_delimiters: bool  # ``seal_delimited`` seals the body alone: both sides know that it can
    overhead: int  # octets that sealing adds to a frame
    limits: Limits  # what the peer may send, for ``open`` to heed; the connection's

    def start(self, metadata: bytes) -> list[Command]:
        """The greetings match: the commands to send first. ``metadata`` is ours, packed."""

    def receive(self, command: Command) -> list[Command]:
        """The peer's next handshake command: the commands to answer with. Raises ProtocolError to refuse."""

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        """A message's octets for the wire. What is sealed first has to be sent first."""

    def seal_delimited(self, body: Frame) -> list[Frame]:
        """The same for ``[b"", body]``."""

    def seal_command(self, command: Command) -> list[Frame]:
        """A command's octets for the wire."""

    def open(self, items: Sequence[Message | Command], out: list[Message | Command]) -> bool:
        """Append what sealed items complete; whether there is a command among it. Raises ProtocolError for one that the
        peer can't have sealed.
        """


NewMechanism: TypeAlias = Callable[[], Mechanism]
