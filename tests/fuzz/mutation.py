"""Octets that are nearly what somebody would send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

__all__ = ["mutated"]

_MOST = 8  # mutations of one input
_LONGEST = 64  # octets that one of them takes, puts or moves, mostly
_WORDS = (  # that decide what is read next: sizes, flags, and what MessagePack begins with
    *(bytes((octet,)) for octet in (0, 1, 2, 4, 6, 7, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xC4, 0xD9, 0xFE, 0xFF)),
    *(first + size for first in (b"\xdd", b"\xdf", b"\xc6", b"\xdb") for size in (b"\0\0\0\x40", b"\x7f\xff\xff\xff")),
    b"\xdc\xff\xff", b"\xde\xff\xff", b"\xde\0\x40", b"\xc7\xff\x52", b"\xd4\x52\0",
    b"\x06\0\0\0\0\0\0\1\0", b"\x02\0\0\0\0\0\0\x20\0", b"\x03\0\0\0\0\x7f\xff\xff\xff", b"\2" + b"\xff" * 8,
    b"\4\x05\4PING", b"\4\x06\5ERROR", b"\4\6\5READY", b"\1\0", b"\1\0\0",
    b"\xa9_zpc_call", b"\xaa_zpc_outcome", b"\xab_zpc_cancel", b"\xa9_zpc_more", b"\xacresponse_to", b"\xa3ERR",
)  # fmt: skip


def mutated(octets: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """A few mutations of ``octets``; ``others`` give what is put in from elsewhere."""
    data = bytearray(octets)
    for _ in range(1 + min(int(chance.expovariate(0.7)), _MOST - 1)):
        chance.choice(_WAYS)(data, chance, others)
    return bytes(data)


def _flip(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _cut(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    start, end = _part(data, chance)
    del data[start:end]


def _end(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _duplicate(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    start, end = _part(data, chance)
    data[end:end] = data[start:end] * chance.choice((1, 1, 1, 2, 20))


def _swap(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    start, end = _part(data, chance)
    middle = chance.randint(start, end)
    data[start:end] = data[middle:end] + data[start:middle]


def _insert(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(_WORDS) if chance.random() < 0.7 else chance.randbytes(chance.randrange(_LONGEST))


def _overwrite(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    at, word = chance.randrange(len(data) + 1), chance.choice(_WORDS)
    data[at : at + len(word)] = word


def _splice(data: bytearray, chance: Random, others: Sequence[bytes]) -> None:
    """The rest is another's, from anywhere in it."""
    other = chance.choice(others) if others else b""
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _part(data: bytearray, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.randrange(len(data) + 1 if chance.random() < 0.1 else _LONGEST))


_Way = Callable[[bytearray, Random, Sequence[bytes]], None]
_WAYS: tuple[_Way, ...] = (_flip, _set, _cut, _end, _duplicate, _swap, _insert, _overwrite, _splice)
