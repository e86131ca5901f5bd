"""MessagePack, read with each value's type and octets kept, and the notation for values in JSON.

JSON's null, booleans, numbers, texts, arrays and objects stand for themselves (an object is a map with text keys).
What JSON has no word for is an object with one key: {"$bin": octets}, {"$map": [[key, value], ...]},
{"$octets": any octets}, {"$saved": name}, {"$repeat": [value, times]} (an array).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.conformance.driver.octets import read_octets

_FIXED = {0xC0: ("nil", None), 0xC2: ("bool", False), 0xC3: ("bool", True)}
_NUMBERS = {0xCA: ("float", ">f"), 0xCB: ("float", ">d")}
_NUMBERS |= {0xCC + i: ("int", f) for i, f in enumerate([">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q"])}
_SIZED = {0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4), 0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4)}
_SIZED |= {0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4)}


_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4} | {0xD4 + i: -(1 << i) for i in range(5)}  # octets of the size, or minus the size


class Value(NamedTuple):
    """`content` is bytes for bin and ext, text for str, a list for array, a list of pairs for map."""

    type: str
    content: Any
    octets: bytes


class MalformedError(ValueError):
    """The octets are no MessagePack."""


def decode(data: bytes) -> Value:
    """The one value that `data` holds. Raises MalformedError."""
    value, end = _read(data, 0)
    if end != len(data):
        raise MalformedError(f"{len(data) - end} octets follow the value")
    return value


def _read(data: bytes, start: int) -> tuple[Value, int]:
    type_, content, end = _read_content(data, start)
    return Value(type_, content, data[start:end]), end


def _read_content(data: bytes, start: int) -> tuple[str, Any, int]:
    (first,) = _take(data, start, 1)
    at = start + 1
    if first < 0x80 or first >= 0xE0:
        return "int", first if first < 0x80 else first - 256, at
    if first in _FIXED:
        return *_FIXED[first], at
    if first in _NUMBERS:
        type_, form = _NUMBERS[first]
        size = struct.calcsize(form)
        return type_, struct.unpack(form, _take(data, at, size))[0], at + size
    if first in _SIZED:
        type_, width = _SIZED[first]
        return _read_sized(type_, int.from_bytes(_take(data, at, width), "big"), data, at + width)
    if first in _EXT:
        return _read_ext(_EXT[first], data, at)
    if first < 0xC0:
        type_ = "map" if first < 0x90 else "array" if first < 0xA0 else "str"
        return _read_sized(type_, first & (0x1F if type_ == "str" else 0x0F), data, at)
    raise MalformedError(f"octet {first:02x} begins no value that zerorpc uses")


def _read_ext(width: int, data: bytes, at: int) -> tuple[str, Any, int]:
    size = -width if width < 0 else int.from_bytes(_take(data, at, width), "big")
    start = at + max(width, 0)
    return "ext", _take(data, start, 1 + size), start + 1 + size  # its type and its data


def _read_sized(type_: str, size: int, data: bytes, at: int) -> tuple[str, Any, int]:
    if type_ in ("bin", "str"):
        content = _take(data, at, size)
        return type_, content if type_ == "bin" else content.decode("utf-8", "surrogateescape"), at + size
    items = []
    for _ in range(size * 2 if type_ == "map" else size):
        item, at = _read(data, at)
        items.append(item)
    return type_, list(zip(items[::2], items[1::2], strict=True)) if type_ == "map" else items, at


def _take(data: bytes, at: int, size: int) -> bytes:
    if len(data) < at + size:
        raise MalformedError("it ends too early")
    return data[at : at + size]


# Notation


def encode(notation: Any) -> bytes:
    """The octets of a value in notation, without `$saved`."""
    return read_octets(" ".join(spell(notation)))


def spell(notation: Any) -> Iterator[str]:
    """A value in notation as octets in notation, one word for each part."""
    match notation:
        case None:
            yield "c0"
        case bool():
            yield "c3" if notation else "c2"
        case int():
            yield _spell_int(notation)
        case float():
            yield "cb" + struct.pack(">d", notation).hex()
        case str():
            content = notation.encode("utf-8", "surrogateescape")
            yield _head(0xA0, 32, (0xD9, 0xDA, 0xDB), len(content)) + content.hex()
        case list():
            yield _head(0x90, 16, (None, 0xDC, 0xDD), len(notation))
            for item in notation:
                yield from spell(item)
        case {"$bin": str(octets)}:
            yield _head(0, 0, (0xC4, 0xC5, 0xC6), len(read_octets(octets)))
            yield from octets.split()
        case {"$octets": str(octets)}:
            yield from octets.split()
        case {"$saved": str(name)}:
            yield f"{{{name}}}"
        case {"$repeat": [item, int(times)]}:
            yield _head(0x90, 16, (None, 0xDC, 0xDD), times)
            yield f"{encode(item).hex()}*{times}"
        case {"$map": list(pairs)}:
            yield from _spell_map(pairs)
        case dict():
            yield from _spell_map([list(pair) for pair in notation.items()])
        case _:
            raise ValueError(f"{notation!r} stands for no value")


def _spell_map(pairs: list[list[Any]]) -> Iterator[str]:
    yield _head(0x80, 16, (None, 0xDE, 0xDF), len(pairs))
    for key, value in pairs:
        yield from spell(key)
        yield from spell(value)


def _spell_int(number: int) -> str:
    if -32 <= number < 128:
        return struct.pack(">b", number).hex()
    forms = (">B", ">H", ">I", ">Q") if number >= 0 else (">b", ">h", ">i", ">q")
    for first, form in enumerate(forms, 0xCC if number >= 0 else 0xD0):
        try:
            return f"{first:02x}" + struct.pack(form, number).hex()
        except struct.error:
            continue
    return "cb" + struct.pack(">d", number).hex()  # how a program prints it whose numbers are all floats


def _head(fixed: int, below: int, firsts: tuple[int | None, int, int], size: int) -> str:
    if size < below:
        return f"{fixed | size:02x}"
    for first, width in zip(firsts, (1, 2, 4), strict=True):
        if first is not None and size < 1 << 8 * width:
            return f"{first:02x}" + size.to_bytes(width, "big").hex()
    raise ValueError(f"a size of {size} is beyond MessagePack")


def notation_of(value: Value) -> Any:
    """A decoded value in notation: for error messages, and to compare with what a file says."""
    match value.type:
        case "bin":
            return {"$bin": value.content.hex()}
        case "array":
            return [notation_of(item) for item in value.content]
        case "map" if all(key.type == "str" for key, _ in value.content):
            return {key.content: notation_of(item) for key, item in value.content}
        case "map":
            return {"$map": [[notation_of(key), notation_of(item)] for key, item in value.content]}
    return value.content
