"""Memory that the processes of a server share, for what each has counted, and a note that it leaves for the others."""

from __future__ import annotations

import mmap
import struct
import zlib
from array import array
from collections.abc import Sequence

from zerorpc.observe.counts import Gauges

__all__ = ["NOTE_MAX", "Slabs"]

NOTE_MAX = 256 * 1024 - 8  # octets; memory that nobody writes to takes none
_HEAD = struct.Struct("<II")  # of a note: how long it is, and its checksum

_SPARE = 8  # for processes that still end while others have taken their places, besides one for each place


class Slabs:
    """A row of numbers for each process that lives. Make it before the first fork; the parent gives the rows out.

    One process writes a row, and any may read it. Each number is written in one piece (8 octets, aligned), so that what
    is read meanwhile has some numbers of before and some of now, and never half a number.
    """

    def __init__(self, processes: int, width: int) -> None:
        self.mine: int | None = None  # the row of the process that was, or is about to be, forked
        self._width = width
        self._free = list(range(2 * processes + _SPARE))  # only the first ones are ever touched: the rest takes nothing
        self._memory = mmap.mmap(-1, 8 * (1 + width) * len(self._free))  # each with a cell in front: whether it is used
        self._numbers: memoryview[float] = memoryview(self._memory).cast("d")
        self._count = len(self._free)
        self._notes = mmap.mmap(-1, (NOTE_MAX + _HEAD.size) * self._count)

    # The parent

    def take(self) -> int | None:
        """A row whose process has ended, or a new one; None if there is none: then a process counts for itself."""
        self.mine = min(self._free, default=None)
        if self.mine is not None:
            self._free.remove(self.mine)
        return self.mine

    def give_back(self, row: int | None) -> None:
        """Its process has ended: what it counted stays, and of how it stood then there is nothing left."""
        if row is not None:
            start, gauges = self._start(row), len(Gauges._fields)
            self._numbers[start : start + gauges] = array("d", Gauges())
            self._write_note(row, b"")
            self._free.append(row)

    # A process that serves

    def read(self) -> list[float]:
        """What the last process that had this one's row has counted."""
        assert self.mine is not None
        return self._read(self.mine)

    def write(self, values: Sequence[float]) -> None:
        assert self.mine is not None
        start = self._start(self.mine)
        self._numbers[start : start + self._width] = array("d", values)
        self._numbers[start - 1] = 1.0

    def others(self) -> list[list[float]]:
        """The rows of all others that ever counted anything."""
        return [
            self._read(row) for row in range(self._count) if row != self.mine and self._numbers[self._start(row) - 1]
        ]

    def note(self, text: bytes) -> None:
        """Leave a text, of ``NOTE_MAX`` octets at most, in place of the one before; "" for none."""
        assert self.mine is not None
        self._write_note(self.mine, text)

    def notes(self) -> list[bytes]:
        """Those of all others. One that is being written just now is left out."""
        found = [self._read_note(row) for row in range(self._count) if row != self.mine]
        return [note for note in found if note]

    def _write_note(self, row: int, text: bytes) -> None:
        start = row * (NOTE_MAX + _HEAD.size)
        begin = start + _HEAD.size
        _HEAD.pack_into(self._notes, start, 0, 0)
        self._notes[begin : begin + len(text)] = text
        _HEAD.pack_into(self._notes, start, len(text), zlib.crc32(text))

    def _read_note(self, row: int) -> bytes:
        start = row * (NOTE_MAX + _HEAD.size)
        length, checksum = _HEAD.unpack_from(self._notes, start)
        begin = start + _HEAD.size
        text = self._notes[begin : begin + min(length, NOTE_MAX)]
        return text if zlib.crc32(text) == checksum else b""

    def _read(self, row: int) -> list[float]:
        start = self._start(row)
        return list(self._numbers[start : start + self._width])

    def _start(self, row: int) -> int:
        return row * (1 + self._width) + 1

    def __repr__(self) -> str:
        return f"<Slabs mine={self.mine} free={len(self._free)} of {self._count}>"
