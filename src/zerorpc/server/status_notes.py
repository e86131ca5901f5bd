"""What the processes of a server tell each other of themselves: the calls that are open, what has blocked, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from msgspec import MsgspecError, Struct, msgpack

from zerorpc.observe.failures import KEPT
from zerorpc.server.slabs import NOTE_MAX
from zerorpc.shown import block

__all__ = ["CALLS_MAX", "Note", "read_notes", "write_note"]

CALLS_MAX = 100  # that are told of, the oldest
_TEXT_MAX = 4000  # characters of a traceback, or a stack, in a note


class Note(Struct):
    """One process, at a ``time`` in seconds since the epoch. The lists are as docs/protocol.md has them."""

    time: float
    pid: int
    lag: float
    streams: int
    running: dict[str, int]  # methods
    calls: list[dict[str, Any]]
    blocked: list[dict[str, Any]]
    errors: list[dict[str, Any]]

    def joined(self, others: Iterable[Note]) -> Note:
        """All of them as one, at the time of this."""
        notes = [self, *others]
        calls = [
            {**call, "seconds": call["seconds"] + max(0.0, self.time - note.time)}
            for note in notes
            for call in note.calls
        ]
        return Note(
            self.time,
            self.pid,
            max(note.lag for note in notes),
            sum(note.streams for note in notes),
            sum((Counter(note.running) for note in notes), Counter()),
            sorted(calls, key=itemgetter("seconds"), reverse=True)[:CALLS_MAX],
            _newest(each for note in notes for each in note.blocked),
            _newest(each for note in notes for each in note.errors),
        )


def _newest(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=itemgetter("when"), reverse=True)[:KEPT]


def write_note(note: Note) -> bytes:
    """As much of it as a note can hold: fewer calls, if they have long names."""
    note.blocked = [{**each, "stack": block(each["stack"], _TEXT_MAX)} for each in note.blocked]
    note.errors = [{**each, "traceback": block(each["traceback"], _TEXT_MAX)} for each in note.errors]
    while len(text := msgpack.encode(note)) > NOTE_MAX:
        if not note.calls:
            return b""
        note.calls = note.calls[: len(note.calls) // 2]
    return text


def read_notes(texts: Iterable[bytes]) -> list[Note]:
    """Those that can be read."""
    found = []
    for text in texts:
        try:
            found.append(msgpack.decode(text, type=Note))
        except MsgspecError:  # it was written meanwhile
            continue
    return found
