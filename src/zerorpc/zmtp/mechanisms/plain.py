"""The PLAIN mechanism (RFC 24): a user and a password, in clear, and nothing that follows is sealed.

It is only safe where nobody else can read or change the octets: inside TLS, or on ipc. Where it may be used is decided
by who makes the mechanism.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.zmtp.commands import Command, decode_metadata
from zerorpc.zmtp.frames import Frame, Limits, Message
from zerorpc.zmtp.mechanisms.base import Credentials

__all__ = ["PlainClient", "PlainServer"]


class _Plain:
    """What both roles have: commands that come in one order."""

    name: str = "PLAIN"
    symmetric: bool = False
    seals: bool = False
    leaves_out_delimiters: bool = False
    overhead: int = 0
    limits: Limits = Limits()  # the frames' decoder heeds them

    def __init__(self, asks: bool, expected: bytes) -> None:
        self.asks: bool = asks
        self.credentials: Credentials | None = None
        self.properties: dict[str, bytes] | None = None
        self._metadata = b""
        self._expected = expected

    def _heed(self, command: Command, then: bytes) -> None:
        if command.name != self._expected:
            expected = self._expected.decode() or "nothing"
            raise ProtocolError(f"the peer sent {command.name!r} where {expected} was expected")
        self._expected = then

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        raise NotImplementedError("PLAIN seals nothing")

    def seal_delimited(self, body: Frame) -> list[Frame]:
        raise NotImplementedError("PLAIN seals nothing")

    def seal_command(self, command: Command) -> list[Frame]:
        raise NotImplementedError("PLAIN seals nothing")

    def open(self, items: Sequence[Message | Command], out: list[Message | Command]) -> bool:
        raise NotImplementedError("PLAIN seals nothing")


class PlainClient(_Plain):
    """The client's role. Arguments: ``user`` and ``password``, at most 255 octets each (ValueError); ``asks`` whether
    somebody decides about the server, which shows nothing of itself.
    """

    as_server: bool = False
    tells_errors: bool = False  # RFC 24 has an ERROR of the server's only
    credentials: Credentials | None
    properties: dict[str, bytes] | None

    def __init__(self, user: bytes, password: bytes, asks: bool = False) -> None:
        super().__init__(asks, b"WELCOME")
        if max(len(user), len(password)) > 255:
            raise ValueError("PLAIN takes a user and a password of 255 octets at most")
        self._hello = b"".join((bytes((len(user),)), user, bytes((len(password),)), password))

    def start(self, metadata: bytes) -> list[Command]:
        self._metadata = metadata
        return [Command(b"HELLO", self._hello)]

    def receive(self, command: Command) -> list[Command]:
        if command.name == b"HELLO":
            raise HandshakeFailed("both sides have the client's role in PLAIN")
        if self._expected == b"WELCOME":
            self._heed(command, b"READY")
            if command.data:
                raise ProtocolError("malformed WELCOME")
            return [Command(b"INITIATE", self._metadata)]
        self._heed(command, b"")
        self.properties = decode_metadata(command.data)
        self.credentials = Credentials(self.name)
        return []


class PlainServer(_Plain):
    """The server's role.

    Argument: ``check`` gets the user and the password of a client, and returns whether to let it in, at once. Without
    it the mechanism asks, and whoever decides finds both in ``credentials``.

    To be made only for connections that nobody else can read: inside TLS, or on ipc, unless the user wants it
    elsewhere, by name.
    """

    as_server: bool = True
    tells_errors: bool = True
    credentials: Credentials | None
    properties: dict[str, bytes] | None

    def __init__(self, check: Callable[[bytes, bytes], bool] | None = None) -> None:
        super().__init__(check is None, b"HELLO")
        self._check = check

    def start(self, metadata: bytes) -> list[Command]:
        self._metadata = metadata
        return []

    def receive(self, command: Command) -> list[Command]:
        if self._expected == b"HELLO":
            self._heed(command, b"INITIATE")
            user, password = _decode_hello(command.data)
            if self._check is not None and not self._check(user, password):
                raise HandshakeFailed("wrong user or password")
            self.credentials = Credentials(self.name, user=user, password=password)
            return [Command(b"WELCOME", b"")]
        self._heed(command, b"")
        self.properties = decode_metadata(command.data)
        return [Command(b"READY", self._metadata)]


def _decode_hello(data: bytes) -> tuple[bytes, bytes]:
    """User and password, each behind its size."""
    found = []
    for _ in range(2):
        if not data or len(data) <= data[0]:
            raise ProtocolError("malformed HELLO")
        found.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    if data:
        raise ProtocolError("malformed HELLO")
    return found[0], found[1]
