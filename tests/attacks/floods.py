"""Floods of cheap messages on one connection: of each kind as much as keeps a loop busy for half a second."""

from __future__ import annotations

from tests.attacks.ground import Ground
from zerorpc.protocol.events import encode

EMPTY_FRAMES = b"\x00\x00"
MORE_FRAMES = b"\x01\x00" * 200 + b"\x00\x00"
PING = b"\x04\x07\x04PING\x00\x00"
UNKNOWN_COMMAND = b"\x04\x05\x04NONE"
ID = b"i" * 32


def message(header: dict[str, object], name: str, args: object) -> bytes:
    data = encode(header, name, args)
    return b"\x01\x00\x00" + bytes((len(data),)) + data


def event(name: str, args: object) -> bytes:
    """Of a channel that is open."""
    return message({"message_id": b"e", "v": 3, "response_to": ID}, name, args)


BYTES_AS_KEYS = b"\x93\x81\xc4\x01a\x01\xa1a\x90"

FLOODS: dict[str, tuple[bytes, int]] = {  # what comes again and again, and how many octets of it
    "empty frames": (EMPTY_FRAMES, 2_000_000),
    "frames of one message": (MORE_FRAMES, 2_000_000),
    "messages of one octet": (b"\x01\x00\x00\x01\xc0", 500_000),
    "PING": (PING, 2_000_000),
    "unknown commands": (UNKNOWN_COMMAND, 2_000_000),
    "credit": (event("_zpc_more", [1]), 2_000_000),
    "heartbeats": (event("_zpc_hb", [0]), 2_000_000),
    "cancel for nobody": (message({"message_id": b"e", "v": 3, "response_to": b"no"}, "_zpc_cancel", []), 2_000_000),
    "duplicate ids": (message({"message_id": ID, "v": 3}, "sleep", [1000]), 2_000_000),
    "unknown methods": (message({"message_id": b"%032d" % 1, "v": 3}, "nobody", []), 200_000),
    "malformed requests": (b"\x01\x00\x00" + bytes((len(BYTES_AS_KEYS),)) + BYTES_AS_KEYS, 500_000),
}


def flood(ground: Ground, octets: bytes, size: int) -> None:
    """Send it again and again, beside a running call."""
    with ground.attacker() as peer:
        peer.send({"message_id": ID, "v": 3}, "sleep", [1000])
        piece = octets * (65536 // len(octets))
        sent = 0
        while sent < size:
            peer.sock.sendall(piece)
            sent += len(piece)
