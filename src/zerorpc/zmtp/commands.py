"""Command frames: a name and data (RFC 37, "Commands"), and the metadata that READY carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from zerorpc.errors import ProtocolError

__all__ = ["Command", "decode_metadata", "encode_metadata"]


# How libzmq (4.3.5) begins the ERROR of its PLAIN: in C++ "\x05ERROR" has the octet 0x5E in front, and then "RROR".
_LIBZMQS_ERROR = b"^RROR"


class Command(NamedTuple):
    """One command, as in ``Command(b"PING", b"\\0\\0")``."""

    name: bytes
    data: bytes

    @property
    def body(self) -> bytes:
        """What is in the command's frame."""
        return b"".join((bytes((len(self.name),)), self.name, self.data))

    def encode(self) -> bytes:
        """The command's frame."""
        size = 1 + len(self.name) + len(self.data)
        head = bytes((0x04, size)) if size < 256 else b"\x06" + size.to_bytes(8, "big")
        return b"".join((head, bytes((len(self.name),)), self.name, self.data))

    @classmethod
    def decode(cls, body: bytes) -> Command:
        """Read a command frame's body."""
        if not body or not body[0] or len(body) < 1 + body[0]:
            if body.startswith(_LIBZMQS_ERROR):
                return cls(b"ERROR", body[len(_LIBZMQS_ERROR) :])
            raise ProtocolError(f"malformed command frame: {body[:32]!r}")
        end = 1 + body[0]
        return cls(body[1:end], body[end:])

    @classmethod
    def error(cls, reason: str) -> Command:
        text = reason.encode("ascii", "replace")[:255]
        return cls(b"ERROR", bytes((len(text),)) + text)

    @property
    def error_reason(self) -> str:
        """The reason that an ERROR command gives; lenient, since it is only shown. It can command no terminal."""
        reason = self.data[1:256].decode("ascii", "replace") or "no reason given"
        return reason if reason.isprintable() else ascii(reason)[1:-1]


def encode_metadata(properties: Mapping[str, bytes]) -> bytes:
    """Pack properties: name size, name, value size (four octets), value."""
    parts: list[bytes] = []
    for name, value in properties.items():
        parts += (bytes((len(name),)), name.encode("ascii"), len(value).to_bytes(4, "big"), value)
    return b"".join(parts)


def decode_metadata(data: bytes) -> dict[str, bytes]:
    """Unpack properties. Names are case-insensitive (RFC 37) and come back in lower case."""
    properties = {}
    position = 0
    while position < len(data):
        name_end = position + 1 + data[position]
        name = data[position + 1 : name_end]
        value_end = name_end + 4 + int.from_bytes(data[name_end : name_end + 4], "big")
        if not name or len(data) < name_end + 4 or len(data) < value_end:
            raise ProtocolError(f"malformed metadata at octet {position}")
        properties[name.decode("latin-1").lower()] = data[name_end + 4 : value_end]
        position = value_end
    return properties
