"""The NULL mechanism (RFC 37, "The NULL Security Mechanism")."""

from __future__ import annotations

from collections.abc import Sequence

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.commands import Command, decode_metadata
from zerorpc.zmtp.frames import Frame, Limits, Message
from zerorpc.zmtp.mechanisms.base import Credentials

__all__ = ["Null"]

_NOBODY = Credentials("NULL")


class Null:
    """No authentication, no confidentiality: each side sends READY with its metadata, at once, as libzmq does.

    With ``asks`` our READY waits for the peer's, and for whoever decides: from the transport it may be known who the
    peer is (the user of an ipc peer, the certificate of TLS).
    """

    name: str = "NULL"
    as_server: bool = False
    symmetric: bool = True
    tells_errors: bool = True
    seals: bool = False
    leaves_out_delimiters: bool = False
    overhead: int = 0
    limits: Limits = Limits()  # the frames' decoder heeds them

    def __init__(self, asks: bool = False) -> None:
        self.asks: bool = asks
        self.credentials: Credentials | None = None
        self.properties: dict[str, bytes] | None = None

    def start(self, metadata: bytes) -> list[Command]:
        return [Command(b"READY", metadata)]

    def receive(self, command: Command) -> list[Command]:
        if command.name != b"READY":
            raise ProtocolError(f"the peer sent {command.name!r} where READY was expected")
        self.properties = decode_metadata(command.data)
        self.credentials = _NOBODY
        return []

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        raise NotImplementedError("NULL seals nothing")

    def seal_delimited(self, body: Frame) -> list[Frame]:
        raise NotImplementedError("NULL seals nothing")

    def seal_command(self, command: Command) -> list[Frame]:
        raise NotImplementedError("NULL seals nothing")

    def open(self, items: Sequence[Message | Command], out: list[Message | Command]) -> bool:
        raise NotImplementedError("NULL seals nothing")
