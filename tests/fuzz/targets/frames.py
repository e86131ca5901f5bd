"""Frames, in any pieces and by both ways in, beside a decoder that is as plain as can be."""

from __future__ import annotations

import functools
from typing import NamedTuple

from tests.fuzz.sources import heard
from tests.fuzz.tape import Tape
from zerorpc.errors import ProtocolError
from zerorpc.zmtp import Limits
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import FrameDecoder, Oversized, encode_delimited, encode_message

LIMITS = (Limits(), Limits(message=4096, frames=4, command=300), Limits(message=0, frames=2, command=16))
PASSED_OVER = 2**31  # octets of one frame; more ends the connection
HEAD = 4096  # octets that are kept of a frame that is too large
SIZES = (0, 1, 20, 254, 255, 256, 300, 4096, 20_000, 70_000)


class Outcome(NamedTuple):
    items: list[object]  # Command, or a message: its frames, None for each that is too large
    fails: bool
    idle: bool = True
    in_message: bool = False


def play(octets: bytes) -> None:
    tape = Tape(octets)
    limits, in_place = tape.pick(LIMITS), tape.chance(2)
    splits = Tape(tape.octets(8))
    sent = made(tape) if tape.chance(4) else tape.rest()
    right = expected(sent, limits)
    told = decoded(splits.pieces(sent), limits, in_place)
    assert told.items == right.items, f"{told.items!s:.200} instead of {right.items!s:.200}"
    assert told.fails == right.fails
    assert right.fails or told == right, f"{told!s:.200} instead of {right!s:.200}"


def made(tape: Tape) -> bytes:
    """Well-formed ones, some large, as our own encoder makes them; perhaps without the last buffers."""
    out: list[bytes | bytearray] = []
    missing = tape.number(4)
    while not tape.over:
        size = tape.pick(SIZES)
        body = tape.octets(1) * size
        match tape.number(4):
            case 0:
                encode_delimited(body, out)
            case 1:
                out.append(Command(b"PING", body[:400]).encode())
            case _:
                for _ in range(1 + tape.number(2)):  # a large part of a message is a buffer of its own
                    encode_message([body, b"", body][tape.number(2) :] + [tape.some(3)] * tape.number(4), out)
    return b"".join(out[: len(out) - missing])


def decoded(pieces: list[bytes], limits: Limits, in_place: bool) -> Outcome:
    """What the decoder makes of it; ``in_place``: a large frame's octets are put where it says, as from a socket."""
    decoder = FrameDecoder(limits)
    out: list[object] = []
    arrived = 0
    try:
        for piece in pieces:
            arrived += len(piece)
            while in_place and piece and decoder.body is not None:
                room = decoder.body_room()
                count = min(len(room), len(piece))
                assert 0 < len(room) <= decoder.missing
                room[:count] = piece[:count]
                room.release()
                decoder.body_filled(count, out)  # type: ignore[arg-type]
                piece = piece[count:]
            if piece or not in_place:
                decoder.receive(piece, out)  # type: ignore[arg-type]
            check(decoder, limits, arrived)
    except ProtocolError:
        return Outcome(list(map(plain, out)), True)
    return Outcome(list(map(plain, out)), False, decoder.idle, decoder.in_message)


def check(decoder: FrameDecoder, limits: Limits, arrived: int) -> None:
    """It holds no more than a few times what has come."""
    assert len(decoder._rest) < 264
    assert len(decoder.body or b"") <= max(16 * 1024 + HEAD, 8 * arrived)
    assert len(decoder._parts) < limits.frames
    kept = [part for part in decoder._parts if type(part) is not Oversized and len(part) > 255]
    assert sum(map(len, kept)) <= limits.message


def plain(item: object) -> object:
    if isinstance(item, Command):
        return item
    assert isinstance(item, list)
    assert all(frame.why for frame in item if type(frame) is Oversized)
    return [None if type(frame) is Oversized else bytes(frame) for frame in item]


def expected(data: bytes, limits: Limits) -> Outcome:
    """The same, all at once and frame by frame."""
    items: list[object] = []
    parts: list[bytes | None] = []
    size = position = 0
    while len(data) - position >= 2:
        flags, is_long = data[position], data[position] & 2
        is_command, more = flags & 4, flags & 1
        if flags > 7 or (is_command and more):
            return Outcome(items, True)
        start = position + (9 if is_long else 2)
        if len(data) < start:
            break
        length = int.from_bytes(data[position + 1 : start], "big")
        too_large = bool(is_long and not is_command and size + length > limits.message)
        if (is_command and length > limits.command) or (too_large and length > PASSED_OVER):
            return Outcome(items, True)
        body = data[start : start + length]
        if len(body) < length:
            return Outcome(items, False, False, bool(parts) or (bool(is_long) and not is_command))
        position = start + length
        if is_command:
            try:
                items.append(Command.decode(body))
            except ProtocolError:
                return Outcome(items, True)
            continue
        if is_long:
            size += min(length, HEAD) if too_large else length
        parts.append(None if too_large else body)
        if not more:
            items.append(parts)
            parts, size = [], 0
        elif len(parts) >= limits.frames:
            return Outcome(items, True)
    return Outcome(items, False, position == len(data) and not parts, bool(parts))


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """What was really sent, with its greeting cut off, and some that is made up here."""
    real = [b"".join(chunks)[64:] for chunks in heard()]
    return tuple(bytes((n % 3, n % 2, *b"\2\0\x20\0\x40\0\0\0", 0)) + data for n, data in enumerate(real)) + tuple(
        bytes((n, m, *b"\3\0\x20\0\x40\1\0\0", 3)) + bytes(range(3, 60)) for n in range(3) for m in range(2)
    )
