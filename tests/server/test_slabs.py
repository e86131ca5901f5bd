"""Memory that processes share: rows that are given out, go on, and are read by others."""

from __future__ import annotations

import os

import pytest

from zerorpc.observe.counts import Gauges
from zerorpc.server import slabs as module
from zerorpc.server.slabs import NOTE_MAX, Slabs

GAUGES = len(Gauges._fields)
WIDTH = GAUGES + 3


def row(*counters: float) -> list[float]:
    return [1.0] * GAUGES + list(counters)


def test_a_row_stays_when_its_process_has_ended_and_the_next_one_goes_on() -> None:
    slabs = Slabs(2, WIDTH)
    first = slabs.take()
    slabs.write(row(1, 2, 3))
    second = slabs.take()
    assert (first, second) == (0, 1)
    assert slabs.others() == [row(1, 2, 3)]
    slabs.write(row(10, 20, 30))
    slabs.give_back(first)
    assert slabs.others() == [[0.0] * GAUGES + [1, 2, 3]], "what it counted stays, and nothing runs there"
    assert slabs.take() == first
    assert slabs.read()[GAUGES:] == [1, 2, 3]
    assert slabs.others() == [row(10, 20, 30)]
    assert repr(slabs) == "<Slabs mine=0 free=10 of 12>"


def test_there_is_a_row_for_those_that_still_end() -> None:
    slabs = Slabs(2, WIDTH)
    rows = [slabs.take() for _ in range(13)]
    assert sorted(each for each in rows if each is not None) == list(range(12))
    assert rows[-1] is None
    slabs.give_back(None)
    slabs.give_back(5)
    assert slabs.take() == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are several processes only where there is fork()")
def test_what_a_forked_process_writes_is_read_by_its_parent() -> None:
    slabs = Slabs(2, WIDTH)
    slabs.take()
    pid = os.fork()
    if pid == 0:
        slabs.write(row(1.5, 0, 2**53))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    slabs.take()
    assert slabs.others() == [row(1.5, 0, 2**53)]


def test_notes_are_for_the_others_and_end_with_their_process() -> None:
    slabs = Slabs(2, WIDTH)
    first = slabs.take()
    slabs.note(b"first")
    assert slabs.notes() == []
    second = slabs.take()
    slabs.note(b"s" * NOTE_MAX)
    assert slabs.notes() == [b"first"]
    slabs.note(b"")
    slabs.mine = first
    assert slabs.notes() == []
    slabs.note(b"one")
    slabs.note(b"x")
    slabs.mine = second
    assert slabs.notes() == [b"x"]
    slabs.give_back(first)
    assert slabs.notes() == []


def test_half_a_note_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process reads in the middle of a write: before the head is there, and after one that it fits no more."""
    slabs = Slabs(1, WIDTH)
    slabs.mine = 1
    slabs.note(b"old and long")
    slabs.mine = 0
    start = NOTE_MAX + module._HEAD.size + module._HEAD.size
    slabs._notes[start : start + 3] = b"new"
    assert slabs.notes() == []
    module._HEAD.pack_into(slabs._notes, NOTE_MAX + module._HEAD.size, 2**32 - 1, 0)
    assert slabs.notes() == [], "nor one of any length"
