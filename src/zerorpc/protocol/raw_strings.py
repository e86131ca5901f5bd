"""A lenient MessagePack reader for what peers of protocol 1 and 2 sent: strings that need not be UTF-8.

Old MessagePack had one type, raw, for text and bytes; today's readers refuse a raw that isn't UTF-8. Only events
that msgspec refused come here, so this is written for clarity and not for speed.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["decode_raw_strings"]

_MAX_DEPTH = 64  # values nested deeper are refused: real arguments are a few levels deep

_NUMBERS = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_LENGTH_SIZES = {
    0xC4: 1, 0xC5: 2, 0xC6: 4,  # bin
    0xD9: 1, 0xDA: 2, 0xDB: 4,  # str, once raw
    0xDC: 2, 0xDD: 4,  # array
    0xDE: 2, 0xDF: 4,  # map
}  # fmt: skip
_CONSTANTS: dict[int, Any] = {0xC0: None, 0xC2: False, 0xC3: True}


def decode_raw_strings(data: bytes) -> Any:
    """Read one value; a string that isn't UTF-8 comes back as bytes. Raises ValueError for anything malformed."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.position != len(data):
        raise ValueError(f"{len(data) - reader.position} octets follow the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"values nested deeper than {_MAX_DEPTH}")
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            layout = _NUMBERS[code]
            return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return self.sized(code, depth)

    def sized(self, code: int, depth: int) -> Any:
        """A value that begins with its length: text, bytes, array or map."""
        if code in _LENGTH_SIZES:
            length = int.from_bytes(self.take(_LENGTH_SIZES[code]), "big")
        elif code < 0xC0:
            length = code & (0x1F if code >= 0xA0 else 0x0F)
        else:
            raise ValueError(f"MessagePack type 0x{code:02x} in an event of an old peer")
        if code < 0x90 or code in (0xDE, 0xDF):
            return {self.key(depth): self.value(depth + 1) for _ in range(length)}
        if code < 0xA0 or code in (0xDC, 0xDD):
            return [self.value(depth + 1) for _ in range(length)]
        octets = self.take(length)
        return octets if code in (0xC4, 0xC5, 0xC6) else _text_or_bytes(octets)

    def key(self, depth: int) -> Any:
        key = self.value(depth + 1)
        if isinstance(key, (list, dict)):
            raise ValueError(f"a map key of type {type(key).__name__}")
        return key

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError("the data ends too early")
        octets = self.data[self.position : end]
        self.position = end
        return octets


def _text_or_bytes(octets: bytes) -> str | bytes:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets
