"""A lenient MessagePack reader for the events that msgspec refuses.

Old MessagePack had one type, raw, for text and bytes: what peers of protocol 1 and 2 sent need not be UTF-8. And of
an event that is broken in its arguments the parts before them are still wanted, so that its sender can be told.
Only such events come here, so this is written for clarity and not for speed.
"""

from __future__ import annotations

import struct

__all__ = ["decode_raw_strings", "split_event"]

_MAX_DEPTH = 64  # values nested deeper are refused: real arguments are a few levels deep
_MAX_VALUES = 100_000  # read here in 0.1 s; a peer may not stop us for the minutes that 128 MiB of them would take
_MAX_SKIPPED = 1000  # the same for a header and a name, which are a dozen values

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
_EXT_LENGTH_SIZES = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_EXT_FIXED = range(0xD4, 0xD9)  # of 1, 2, 4, 8 and 16 octets
_CONSTANTS: dict[int, bool | None] = {0xC0: None, 0xC2: False, 0xC3: True}


def decode_raw_strings(data: bytes) -> object:
    """Read one value; a string that isn't UTF-8 comes back as bytes. Raises ValueError for anything malformed."""
    reader = _Reader(data, _MAX_VALUES)
    value = reader.value(0)
    if reader.position != len(data):
        raise ValueError(f"{len(data) - reader.position} octets follow the value")
    return value


def split_event(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The octets of an event's header, of its name, and all that follow (the arguments, whatever is wrong with them).

    The name is empty if the event ends before it. Raises ValueError if there is no header.
    """
    reader = _Reader(data, _MAX_SKIPPED)
    code = reader.take(1)[0]
    if not _is_array(code):
        raise ValueError("not an array")
    size = reader.length(code)
    header = reader.skip()
    name = reader.skip() if size > 1 else b""
    return header, name, data[reader.position :]


class _Reader:
    def __init__(self, data: bytes, max_values: int) -> None:
        self.data = data
        self.position = 0
        self.left = max_values

    # Values

    def value(self, depth: int) -> object:
        if depth > _MAX_DEPTH:
            raise ValueError(f"values nested deeper than {_MAX_DEPTH}")
        code = self.code()
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

    def sized(self, code: int, depth: int) -> object:
        """A value that begins with its length: text, bytes, array or map."""
        length = self.length(code)
        if _is_map(code):
            return {self.key(depth): self.value(depth + 1) for _ in range(length)}
        if _is_array(code):
            return [self.value(depth + 1) for _ in range(length)]
        octets = self.take(length)
        return octets if code in (0xC4, 0xC5, 0xC6) else _text_or_bytes(octets)

    def key(self, depth: int) -> object:
        key = self.value(depth + 1)
        if isinstance(key, (list, dict)):
            raise ValueError(f"a map key of type {type(key).__name__}")
        return key

    # Octets

    def skip(self) -> bytes:
        """The octets of the next value, however deep it is."""
        start = self.position
        missing = 1
        while missing:
            missing += self.skip_head() - 1
        return self.data[start : self.position]

    def skip_head(self) -> int:
        """Go over a value without the values in it; how many those are."""
        code = self.code()
        if code < 0x80 or code >= 0xE0 or code in _CONSTANTS:
            return 0
        if code in _NUMBERS:
            self.take(struct.calcsize(_NUMBERS[code]))
        elif code in _EXT_FIXED:
            self.take(1 + (1 << code - _EXT_FIXED[0]))
        elif code in _EXT_LENGTH_SIZES:
            self.take(1 + int.from_bytes(self.take(_EXT_LENGTH_SIZES[code]), "big"))
        else:
            length = self.length(code)
            if _is_map(code):
                return 2 * length
            if _is_array(code):
                return length
            self.take(length)
        return 0

    def code(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many values")
        return self.take(1)[0]

    def length(self, code: int) -> int:
        """The length of what begins with ``code``."""
        if code in _LENGTH_SIZES:
            return int.from_bytes(self.take(_LENGTH_SIZES[code]), "big")
        if code < 0xC0:
            return code & (0x1F if code >= 0xA0 else 0x0F)
        raise ValueError(f"MessagePack type 0x{code:02x} in an event of an old peer")

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError("the data ends too early")
        octets = self.data[self.position : end]
        self.position = end
        return octets


def _is_map(code: int) -> bool:
    return 0x80 <= code < 0x90 or code in (0xDE, 0xDF)


def _is_array(code: int) -> bool:
    return 0x90 <= code < 0xA0 or code in (0xDC, 0xDD)


def _text_or_bytes(octets: bytes) -> str | bytes:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets
