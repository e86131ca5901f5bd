"""The 64 octets that open every connection: signature, version, mechanism, as-server (RFC 37, "Greeting")."""

from __future__ import annotations

from typing import NamedTuple

from zerorpc.errors import HandshakeFailed, ProtocolError

__all__ = ["GREETING_SIZE", "Greeting", "check_greeting_start", "guess_protocol"]

GREETING_SIZE = 64
_MECHANISM_SIZE = 20


class Greeting(NamedTuple):
    """What a greeting says. ``minor`` is 0 with libzmq 4.2 and older; commands such as PING came with 3.1."""

    mechanism: str
    as_server: bool = False
    major: int = 3
    minor: int = 1

    def encode(self) -> bytes:
        mechanism = self.mechanism.encode("ascii").ljust(_MECHANISM_SIZE, b"\0")
        version = bytes((self.major, self.minor))
        return b"\xff" + bytes(8) + b"\x7f" + version + mechanism + bytes((self.as_server,)) + bytes(31)

    @classmethod
    def decode(cls, data: bytes) -> Greeting:
        """Read a whole greeting whose start ``check_greeting_start`` has accepted."""
        try:
            mechanism = data[12:32].rstrip(b"\0").decode("ascii")
        except UnicodeDecodeError:
            raise ProtocolError(f"the peer's security mechanism is no ASCII name: {data[12:32]!r}") from None
        return cls(mechanism, bool(data[32]), data[10], data[11])


def check_greeting_start(data: bytes | bytearray) -> None:
    """Raise ProtocolError as soon as the octets so far can't begin a ZMTP 3 greeting, however few they are."""
    if data[:1] in (b"\x15", b"\x16"):  # an alert, a handshake (RFC 8446, 5.1)
        raise HandshakeFailed("the peer speaks TLS, not ZMTP 3: is the endpoint tls+tcp:// there, and tcp:// here?")
    if data[:1] not in (b"", b"\xff"):
        raise ProtocolError(f"the peer speaks {guess_protocol(bytes(data[:16]))}, not ZMTP 3")
    if len(data) > 9 and not data[9] & 1:
        raise ProtocolError("the peer speaks ZMTP 1.0 or no ZMTP at all; ZMTP 3.0 or newer is needed")
    if len(data) > 10 and data[10] < 3:
        version = "2.0" if data[10] else "1.0"
        raise ProtocolError(f"the peer speaks ZMTP {version}; ZMTP 3.0 or newer is needed (libzmq 4 or newer)")


def guess_protocol(start: bytes) -> str:
    """Name the protocol that the first octets look like, for the error message."""
    if start[:4] in (b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"PRI ", b"HTTP"):
        return "HTTP"
    if start[:4] == b"SSH-":
        return "SSH"
    return f"something else or ZMTP 1.0 (it began with {start!r})"
