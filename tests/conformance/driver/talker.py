"""One ZMTP connection over a plain socket, as little as a conversation needs (RFC 37). Shares nothing with zerorpc."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import NamedTuple

GREETING_SIZE = 64
COMMAND, LONG, MORE = 4, 2, 1


class Message(NamedTuple):
    frames: list[bytes]


class Command(NamedTuple):
    name: str
    data: bytes


class Closed(NamedTuple):
    """The peer has closed the connection."""


Item = Message | Command | Closed


class Talker:
    """A connection. Deadlines are those of time.monotonic(). `answers_ping` may be set to False."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._frames: list[bytes] = []
        self._ended = False
        self.answers_ping = True

    def handshake(self, minor: int, properties: dict[str, bytes], deadline: float) -> None:
        """Greeting and READY, in both directions. Raises TimeoutError, or ConnectionError when it is refused."""
        self.send_octets(greeting(minor))
        self.send_octets(command("READY", metadata(properties)))
        self.read_octets(GREETING_SIZE, deadline)
        item = self.next_item(deadline)
        if not (isinstance(item, Command) and item.name == "READY"):
            raise ConnectionError(f"the handshake ended in {item}")

    def send_octets(self, octets: bytes) -> None:
        """Sends, or does nothing when the peer has closed: what that means is for the next expectation to say."""
        with contextlib.suppress(ConnectionError):
            self._socket.settimeout(30)
            self._socket.sendall(octets)

    def send_message(self, frames: list[bytes]) -> None:
        last = len(frames) - 1
        self.send_octets(b"".join(frame(body, MORE if i < last else 0) for i, body in enumerate(frames)))

    def read_octets(self, count: int, deadline: float) -> bytes:
        """Exactly `count` octets, whatever they mean. Raises TimeoutError, ConnectionError when there are fewer."""
        while len(self._received) < count:
            if not self._receive(deadline):
                raise ConnectionError(f"the peer closed the connection after {bytes(self._received).hex()}")
        octets = bytes(self._received[:count])
        del self._received[:count]
        return octets

    def read_to_end(self, deadline: float) -> None:
        """Whatever comes until the peer closes. Raises TimeoutError."""
        while self._receive(deadline):
            self._received.clear()

    def next_item(self, deadline: float) -> Item:
        """The next message or command; answers a PING by itself. Raises TimeoutError."""
        while True:
            item = self._parse()
            if item is not None:
                if isinstance(item, Command) and item.name == "PING" and self.answers_ping:
                    self.send_octets(command("PONG", item.data[2:]))
                return item
            if not self._receive(deadline):
                return Closed()

    def _parse(self) -> Item | None:
        """What the octets received so far complete; None if nothing."""
        while len(self._received) >= 2:
            flags = self._received[0]
            width = 8 if flags & LONG else 1
            start = 1 + width
            end = start + int.from_bytes(self._received[1:start], "big")
            if len(self._received) < max(start, end):
                return None
            body = bytes(self._received[start:end])
            del self._received[:end]
            if flags & COMMAND:
                size = body[0]
                return Command(body[1 : 1 + size].decode("ascii", "replace"), body[1 + size :])
            self._frames.append(body)
            if not flags & MORE:
                frames, self._frames = self._frames, []
                return Message(frames)
        return None

    def _receive(self, deadline: float) -> bool:
        """Reads once; whether there is more to come."""
        if self._ended:
            return False
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            octets = self._socket.recv(1 << 16)
        except ConnectionError:
            octets = b""
        self._received += octets
        self._ended = not octets
        return not self._ended

    def close(self) -> None:
        self._socket.close()


def greeting(minor: int) -> bytes:
    return b"\xff" + bytes(8) + b"\x7f" + bytes((3, minor)) + b"NULL".ljust(20, b"\0") + bytes(32)


def metadata(properties: dict[str, bytes]) -> bytes:
    return b"".join(
        bytes((len(name),)) + name.encode() + len(value).to_bytes(4, "big") + value
        for name, value in properties.items()
    )


def read_metadata(data: bytes) -> dict[str, bytes]:
    properties = {}
    while data:
        name, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        size = int.from_bytes(data[:4], "big")
        properties[name.decode("ascii").lower()], data = data[4 : 4 + size], data[4 + size :]
    return properties


def command(name: str, data: bytes) -> bytes:
    return frame(bytes((len(name),)) + name.encode() + data, COMMAND)


def frame(body: bytes, flags: int) -> bytes:
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | LONG,)) + len(body).to_bytes(8, "big") + body
