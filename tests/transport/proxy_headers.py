"""Headers of the PROXY protocol, written by hand from its specification."""

from __future__ import annotations

import struct

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
LOCAL, PROXY = 0x20, 0x21
IPV4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack("!HH", 50_123, 4242)
IPV4_CALLER = "tcp://192.0.2.7:50123"


def header(family: int, rest: bytes, command: int = PROXY) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest
