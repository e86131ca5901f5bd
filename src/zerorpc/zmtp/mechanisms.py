"""Security mechanisms: what happens between the greeting and the first message (RFC 37, "Framing", "NULL").

A mechanism is an object of its own because PLAIN and CURVE differ from NULL in two ways only: they exchange more
commands, and CURVE also seals every frame that follows. Both fit here without the connection knowing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.commands import Command, decode_metadata
from zerorpc.zmtp.frames import Frame, Message

__all__ = ["Mechanism", "Null"]


class Mechanism(Protocol):
    """One handshake. ``properties`` is the peer's metadata, None until ``receive`` has completed the handshake."""

    name: str
    as_server: bool
    properties: dict[str, bytes] | None

    def start(self, metadata: bytes) -> list[Command]:
        """The greeting matched: the commands to send first. ``metadata`` is ours, packed."""

    def receive(self, command: Command) -> list[Command]:
        """The peer's next handshake command: the commands to answer with. Raises ProtocolError to refuse."""

    @property
    def seals(self) -> bool:
        """Whether traffic is sealed: messages then go through ``seal`` and arrive as commands through ``open``."""

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        """A message's octets for the wire."""

    def open(self, command: Command, out: list[Message | Command]) -> None:
        """Append the messages that a sealed command completes."""


class Null:
    """No authentication, no confidentiality: each side sends READY with its metadata, at once, as libzmq does."""

    name = "NULL"
    as_server = False
    seals = False

    def __init__(self) -> None:
        self.properties: dict[str, bytes] | None = None

    def start(self, metadata: bytes) -> list[Command]:
        return [Command(b"READY", metadata)]

    def receive(self, command: Command) -> list[Command]:
        if command.name != b"READY":
            raise ProtocolError(f"the peer sent {command.name!r} where READY was expected")
        self.properties = decode_metadata(command.data)
        return []

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        raise NotImplementedError("NULL seals nothing")

    def open(self, command: Command, out: list[Message | Command]) -> None:
        raise NotImplementedError("NULL seals nothing")
