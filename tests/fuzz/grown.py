"""MessagePack that is grown from a tape: of any shape, well-formed or nearly, small or with very many values."""

from __future__ import annotations

from tests.fuzz.tape import Tape

__all__ = ["header", "value"]

_DEEPEST = 6
_SCALARS = (
    b"\xc0", b"\x00", b"\x01", b"\xff", b"\xc2", b"\xc3", b"\xca\x7f\xc0\0\0", b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xcb\x7f\xf0\0\0\0\0\0\0", b"\xcb\xff\xf0\0\0\0\0\0\0", b"\xcb\x40\0\0\0\0\0\0\0", b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7), b"\xa0", b"\xa1\xff", b"\xa2\xed\xa0", b"\xa1x", b"\xc4\0", b"\xd9\2\xc3\x28", b"\xc1",
    b"\xd4\x52\x01", b"\xd5\x52\x92\x01", b"\xc7\x04\x52\x92\x01\xa1f", b"\xd6\xff\x5f\0\0\0",
    b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff" + b"\xff" * 12, b"\xa2OK", b"\xa3ERR", b"\xa6STREAM", b"\xc4\x02ab",
)  # fmt: skip
_KEYS = (
    b"\xaamessage_id", b"\xa1v", b"\xabresponse_to", b"\xac_zpc_timeout", b"\xa9_zpc_call", b"\xa8_zpc_ran",
    b"\xaa_zpc_error", b"\xb0_zpc_retry_after", b"\xa8trace_id", b"\xc4\x0amessage_id",
)  # fmt: skip
_CALL_KEYS = (
    b"\xa6kwargs", b"\xa7options", b"\xa8deadline", b"\xa8metadata", b"\xa6stream", b"\xa3key", b"\xa7attempt",
    b"\xa5lends", b"\xa3ref", b"\xa6within",
)  # fmt: skip
_REPEATED = (1, 15, 16, 63, 64, 65, 1000, 2000, 20_000)


def value(tape: Tape, depth: int = 0) -> bytes:
    """One value; now and then its head lies about what follows."""
    kind = 0 if depth >= _DEEPEST else tape.number(8) if depth else 4 + tape.number(4)
    if kind <= 3:
        return _SCALARS[tape.number(len(_SCALARS))]
    if kind == 4:
        octets = tape.some(40)
        return tape.pick((b"\xc4", b"\xd9")) + bytes((len(octets),)) + octets
    if kind == 5:
        return tape.octets(1)
    if kind == 6:
        items = [value(tape, depth + 1) for _ in range(tape.number(5))]
        return _head(tape, 0x90, len(items)) + b"".join(items)
    return _map(tape, depth)


def _map(tape: Tape, depth: int) -> bytes:
    if tape.chance(4):
        return _large(tape, depth)
    pairs = [value(tape, depth + 1) + value(tape, depth + 1) for _ in range(tape.number(4))]
    return _head(tape, 0x80, len(pairs)) + b"".join(pairs)


def _large(tape: Tape, depth: int) -> bytes:
    """Many values that are alike, in each other, in an array, or in a map, whose keys may all differ."""
    count = tape.pick(_REPEATED if depth < 2 else _REPEATED[:-2])
    kept = value(tape, _DEEPEST)
    if tape.chance(8):
        return tape.pick((b"\x91", b"\x81\x01", b"\xdc\0\x01")) * count + kept
    if tape.chance(2):
        return b"\xdd" + count.to_bytes(4, "big") + kept * count
    key = tape.pick((b"\xcd", b"\x91\xcd", b"\xda\0\x02", b"\xc4\x02", b"\x81\x01\xcd"))
    keys = (key + (number % 65536).to_bytes(2, "big") for number in range(count))
    return b"\xdf" + count.to_bytes(4, "big") + b"".join(key + kept for key in keys)


def _head(tape: Tape, first: int, count: int) -> bytes:
    if tape.chance(16):
        count += tape.number(5) - 2
    return bytes((first | (count & 15),))


def header(tape: Tape, *ids: bytes) -> bytes:
    """A header, more or less; ``ids`` are packed ones that mean something."""
    pairs = []
    for _ in range(tape.number(6)):
        key = tape.pick(_KEYS)
        if key == b"\xa9_zpc_call":
            said = [tape.pick(_CALL_KEYS) + value(tape, 3) for _ in range(tape.number(5))]
            pairs.append(key + _head(tape, 0x80, len(said)) + b"".join(said))
        else:
            pairs.append(key + (tape.pick(ids) if ids and tape.chance(2) else value(tape, 3)))
    return _head(tape, 0x80, len(pairs)) + b"".join(pairs)
