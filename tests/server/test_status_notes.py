"""What processes tell each other of themselves, joined, and as much of it as a note can hold."""

from __future__ import annotations

from typing import Any

from zerorpc.server.slabs import NOTE_MAX
from zerorpc.server.status_notes import CALLS_MAX, KEPT, Note, read_notes, write_note


def note(time: float, pid: int = 1, calls: int = 0, blocked: int = 0, errors: int = 0, **given: Any) -> Note:
    return Note(
        time=time,
        pid=pid,
        lag=given.get("lag", 0.0),
        streams=given.get("streams", 0),
        running=given.get("running", {}),
        calls=[{"method": "m", "seconds": float(number), "pid": pid} for number in range(calls)],
        blocked=[{"method": "m", "when": time - number, "stack": "s", "pid": pid} for number in range(blocked)],
        errors=[{"method": "m", "when": time - number, "traceback": "t", "pid": pid} for number in range(errors)],
    )


def test_several_are_told_as_one() -> None:
    own = note(100.0, 1, calls=2, blocked=2, errors=1, lag=0.1, streams=1, running={"a": 1, "b": 2})
    other = note(99.5, 2, calls=2, errors=1, lag=0.4, streams=2, running={"b": 3})
    whole = own.joined([other])
    assert (whole.time, whole.pid, whole.lag, whole.streams) == (100.0, 1, 0.4, 3)
    assert whole.running == {"a": 1, "b": 5}
    assert [(each["pid"], each["seconds"]) for each in whole.calls] == [(2, 1.5), (1, 1.0), (2, 0.5), (1, 0.0)]
    assert [(each["pid"], each["when"]) for each in whole.errors] == [(1, 100.0), (2, 99.5)]
    assert len(whole.blocked) == 2


def test_no_more_than_of_one() -> None:
    notes = [note(100.0, pid, calls=CALLS_MAX, blocked=KEPT, errors=KEPT) for pid in range(3)]
    whole = notes[0].joined(notes[1:])
    assert (len(whole.calls), len(whole.blocked), len(whole.errors)) == (CALLS_MAX, KEPT, KEPT)
    assert whole.calls[0]["seconds"] == CALLS_MAX - 1


def test_a_note_goes_over_whole() -> None:
    written = note(100.0, 7, calls=3, blocked=1, errors=1, running={"a": 1})
    assert read_notes([write_note(written)]) == [written]
    assert read_notes([b"", b"nonsense", write_note(written)[:-1]]) == []


def test_what_is_long_is_cut_until_it_fits() -> None:
    long = note(100.0, 1, calls=CALLS_MAX, blocked=KEPT, errors=KEPT)
    for each in long.errors:
        each["traceback"] = "x" * 100_000
    for each in long.calls:
        each["method"] = "m" * 5000
    text = write_note(long)
    assert len(text) <= NOTE_MAX
    (read,) = read_notes([text])
    assert 0 < len(read.calls) < CALLS_MAX
    assert len(read.errors) == KEPT
    long.errors[0]["message"] = "x" * NOTE_MAX
    assert write_note(long) == b"", "rather none than half of one"
