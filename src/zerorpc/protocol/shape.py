"""Before a large event is decoded: whether that would take too long, or too much memory.

Decoding is linear in the octets, but for one thing: where keys of a map are arrays they become tuples, whose hashes
anybody can make collide. A map of 30,000 such keys took 12 s. And a value of one octet, an empty map, takes 100 octets
of memory. So the octets of an event are looked at first if they may have a map of 64 keys, or if they are more than
440 kB. Measured: one to two times what decoding takes, eight times for a million texts of more than 31 octets, and
nothing for bytes.

Values inside of an extension type (``VALUES_INSIDE``) are looked at like all others. Each value of such a type counts
for 30: Python makes it, in 1 to 2 us.

What is malformed is left to the decoder, which says what is wrong with it.
"""

from __future__ import annotations

import functools
import re

from zerorpc.limits import Limits

__all__ = ["LARGE", "VALUES_INSIDE", "checked", "shape_problem"]

LARGE = 4096  # octets; fewer take 1 ms at most, whatever they are
_VALUES_MAX = Limits().values
_CONTAINER = 8  # values that an array or map counts for besides: each takes so much more memory and time
_BLOB = 3  # the same of a text of more than 31 octets, which is skipped here by itself, and of octets
_EXTENSION = 30  # the same of an extension type, which Python code decodes; of a timestamp it is C, and 1
_TIMESTAMP = 0xFF
_STEPS_MAX = 1_000_000  # values in maps of many keys that are looked at one by one, 0.3 us each: long texts, and maps
_BIG_MAP = 64  # keys; up to there not even those that all collide take longer than others

# A token's octets by its first one, 0 where they depend on those that follow.
_SIZES = [0] * 256
_SIZES[0x00:0x80] = [1] * 0x80
_SIZES[0xE0:0x100] = [1] * 0x20
_SIZES[0xA0:0xC0] = [1 + length for length in range(32)]
for _code, _size in ((0xC0, 1), (0xC2, 1), (0xC3, 1), (0xCA, 5), (0xCB, 9), (0xCC, 2), (0xCD, 3), (0xCE, 5), (0xCF, 9)):
    _SIZES[_code] = _size
for _code, _size in ((0xD0, 2), (0xD1, 3), (0xD2, 5), (0xD3, 9)):
    _SIZES[_code] = _size
# Those whose length follows: in how many octets.
_BLOBS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
# The same of extension types; or 0, and how many follow.
_EXTENSIONS = {0xC7: (1, 0), 0xC8: (2, 0), 0xC9: (4, 0)} | {0xD4 + power: (0, 1 << power) for power in range(5)}

VALUES_INSIDE: set[int] = set()  # the extension types whose octets are a value, or several, in MessagePack


def _one_of(sizes: dict[int, bytes]) -> bytes:
    return b"|".join(
        b"[" + codes + b"]" + (b".{%d}" % (size - 1) if size > 1 else b"") for size, codes in sizes.items()
    )


def _by_size() -> dict[int, bytes]:
    """The first octets of all tokens of a size, as a class of a regular expression."""
    found: dict[int, bytes] = {}
    for code, size in enumerate(_SIZES):
        if size:
            found[size] = found.get(size, b"") + b"\\x%02x" % code
    return found


_SCALAR = b"(?:" + _one_of(_by_size()) + b")"
_MAY_HAVE_BIG_MAP = re.compile(rb"\xde(?:\x00[\x40-\xff]|[\x01-\xff])|\xdf")


@functools.cache
def _scalars() -> re.Pattern[bytes]:
    """Compiled when it is first needed, as the others are: all of them would make each import 30 ms longer."""
    return re.compile(_SCALAR + b"*+", re.DOTALL)


@functools.cache
def _small() -> re.Pattern[bytes]:
    """With arrays and maps of up to 15."""
    return re.compile(b"(?:[\x80-\x9f]|" + _SCALAR + b")*+", re.DOTALL)


@functools.cache
def _run(count: int) -> re.Pattern[bytes]:
    """So many scalars, up to 16."""
    return re.compile(_SCALAR + b"{%d}+" % count, re.DOTALL)


def shape_problem(data: bytes | bytearray, values_max: int = _VALUES_MAX) -> str | None:
    """Why an event of more than LARGE octets is not to be decoded; None if it is."""
    may_be_many = len(data) * (1 + _CONTAINER) > values_max
    if not may_be_many and _MAY_HAVE_BIG_MAP.search(data) is None:
        return None
    try:
        _Walk(data, values_max).through(_scalars() if may_be_many else _small())
    except _ProblemError as problem:
        return str(problem)
    except IndexError:
        return None  # it ends too early
    return None


def checked(data: bytes | bytearray, values_max: int = _VALUES_MAX) -> bytes | bytearray:
    """An event of more than LARGE octets; a ValueError, as decoders raise it, if it is not to be decoded."""
    if (problem := shape_problem(data, values_max)) is not None:
        raise ValueError(problem)
    return data


class _ProblemError(Exception):
    """Says why an event is not to be decoded."""


class _Walk:
    """Goes through the octets of a value."""

    __slots__ = ("_data", "_steps", "_values", "_values_max")

    def __init__(self, data: bytes | bytearray, values_max: int) -> None:
        self._data = data
        self._values_max = values_max
        self._values = 1
        self._steps = 0

    def through(self, skipped: re.Pattern[bytes]) -> None:
        """What is ``skipped`` is not counted: among it there is nothing to look at."""
        data, position = self._data, 0
        while True:
            found = skipped.match(data, position)
            assert found is not None
            position = found.end()
            if position >= len(data):
                return
            code = data[position]
            if code in _BLOBS:
                position = self._after_blob(code, position)
                continue
            if code in _EXTENSIONS:
                position, _ = self._into_extension(code, position)
                continue
            count, is_map, position = self._container(code, position)
            if is_map and count >= _BIG_MAP:
                position = self._big_map(position, count)

    def _after_blob(self, code: int, position: int) -> int:
        start = position + 1 + _BLOBS[code]
        self._count(_BLOB)
        return start + int.from_bytes(self._data[position + 1 : start], "big")

    def _into_extension(self, code: int, position: int) -> tuple[int, int]:
        """Where to go on, at the value that is inside or behind all; and the type."""
        width, size = _EXTENSIONS[code]
        start = position + 2 + width
        kind = self._data[start - 1]
        self._count(1 if kind == _TIMESTAMP else _EXTENSION)
        if kind in VALUES_INSIDE:
            return start, kind
        return start + (size or int.from_bytes(self._data[position + 1 : position + 1 + width], "big")), kind

    def _container(self, code: int, position: int) -> tuple[int, bool, int]:
        """How many elements or pairs it has, whether it is a map, and where the first is."""
        if 0x80 <= code <= 0x9F:
            count, is_map, start = code & 0x0F, code < 0x90, position + 1
        elif 0xDC <= code <= 0xDF:
            start = position + (3 if code % 2 == 0 else 5)
            count, is_map = int.from_bytes(self._data[position + 1 : start], "big"), code >= 0xDE
        else:
            raise IndexError  # malformed
        self._count(count * (1 + is_map) + _CONTAINER)
        return count, is_map, start

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > self._values_max:
            raise _ProblemError(
                f"it has too many values (the limit is {self._values_max}, "
                f"an array or a map counts for {1 + _CONTAINER}, a text of more than 31 octets for {1 + _BLOB})"
            )

    def _big_map(self, position: int, count: int) -> int:
        """Look at the keys of a map, and of those in it; where it ends."""
        data, left, keyed = self._data, [2 * count], [True]  # of each that has begun: values that follow, if keys count
        while left:
            while (run := min(left[-1], 16)) and (found := _run(run).match(data, position)) is not None:
                position = found.end()
                left[-1] -= run
            if not left[-1]:
                left.pop(), keyed.pop()
                continue
            code, is_key = data[position], keyed[-1] and left[-1] % 2 == 0
            left[-1] -= 1
            if size := _SIZES[code]:
                position += size
            elif code in _BLOBS:
                position = self._after_blob(code, position)
            elif code in _EXTENSIONS:
                position, kind = self._into_extension(code, position)
                if is_key and kind != _TIMESTAMP:
                    raise _ProblemError("a map has keys that are extension types")
                if kind in VALUES_INSIDE:
                    left.append(1)
                    keyed.append(False)
            else:
                if is_key:
                    raise _ProblemError("a map has keys that are arrays or maps")
                inner, is_map, position = self._container(code, position)
                left.append(inner * (1 + is_map))
                keyed.append(is_map and inner >= _BIG_MAP)
            self._steps += 1
            if self._steps > _STEPS_MAX:
                raise _ProblemError("it has too many values in maps of many keys")
        return position
