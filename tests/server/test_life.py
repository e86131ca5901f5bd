"""A server's life is one table: what may happen to it in each state, whoever asks, and when."""

from __future__ import annotations

import itertools
import linecache
import sys
import threading
from types import FrameType
from typing import Any

import pytest

import zerorpc
from zerorpc.server.life import _NEXT, Act, Life, State

BEGIN, STOP, CLOSE, FORCE, END = Act.BEGIN, Act.STOP, Act.CLOSE, Act.FORCE, Act.END


@pytest.mark.parametrize(
    ("acts", "state"),
    [
        ([], State.NEW),
        ([BEGIN], State.SERVING),
        ([BEGIN, STOP], State.DRAINING),
        ([BEGIN, STOP, STOP], State.DRAINING),
        ([BEGIN, STOP, FORCE], State.FORCED),
        ([BEGIN, FORCE, STOP], State.FORCED),
        ([BEGIN, STOP, FORCE, CLOSE], State.FORCED),
        ([BEGIN, CLOSE], State.DRAINING),
        ([BEGIN, END], State.CLOSED),
        ([BEGIN, Act.CALL_OFF], State.NEW),
        ([BEGIN, Act.CALL_OFF, BEGIN], State.SERVING),
        ([BEGIN, STOP, Act.CALL_OFF], State.DISMISSED),
        ([BEGIN, FORCE, Act.CALL_OFF], State.DISMISSED),
        ([STOP], State.DISMISSED),
        ([STOP, BEGIN], State.DRAINING),
        ([STOP, CLOSE], State.CLOSED),
        ([CLOSE], State.CLOSED),
        ([CLOSE, STOP, FORCE, CLOSE, END], State.CLOSED),
    ],
)
def test_a_life(acts: list[Act], state: State) -> None:
    life = Life()
    for act in acts:
        life.take(act)
    assert life.state is state
    assert life.serving is (state in (State.SERVING, State.DRAINING, State.FORCED))


@pytest.mark.parametrize(
    ("acts", "why"), [([BEGIN], "serving already"), ([BEGIN, STOP], "serving already"), ([CLOSE], "is closed")]
)
def test_it_begins_once(acts: list[Act], why: str) -> None:
    life = Life()
    for act in acts:
        life.take(act)
    with pytest.raises(zerorpc.Closed, match=why):
        life.take(BEGIN)


def test_each_state_knows_each_act() -> None:
    """But for a few: what serves or is closed can't begin, and what doesn't serve has no end and isn't called off."""
    for state, act in itertools.product(State, Act):
        idle = state in (State.NEW, State.DISMISSED)
        missing = (
            act in (END, Act.CALL_OFF) if idle else act is BEGIN or (state is State.CLOSED and act is Act.CALL_OFF)
        )
        assert (act not in _NEXT[state]) is missing, (state, act)


@pytest.mark.parametrize("first", [BEGIN, FORCE, END])
def test_a_step_that_comes_in_the_middle_of_another_counts(first: Act) -> None:
    """As a signal's handler does that calls ``server.stop()``, at any line."""
    took = 0
    for line in range(100):
        life = Life()
        if first is not BEGIN:
            life.take(BEGIN)
        if interrupted(life, first, line):
            took += 1
            assert life.stopping or life.state is State.CLOSED
    assert took > 8, "hardly a line was run"


def interrupted(life: Life, act: Act, line: int) -> bool:
    """Take a step, and another one before its nth line, if there is one where a handler may run."""
    lines = itertools.count()
    done = False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal done
        if frame.f_code is not Life.take.__code__:
            return None
        if event == "line" and next(lines) == line and not _is_the_assignment(frame):
            done = True
            sys.settrace(None)
            life.take(STOP)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        life.take(act)
    finally:
        sys.settrace(before)
    return done


def _is_the_assignment(frame: FrameType) -> bool:
    """CPython runs handlers at calls and jumps, not between a comparison and the line after it."""
    return "self.state = after" in linecache.getline(frame.f_code.co_filename, frame.f_lineno)


def test_many_threads_at_once() -> None:
    life = Life()
    life.take(BEGIN)
    threads = [threading.Thread(target=life.take, args=(act,)) for act in (STOP, FORCE, CLOSE) * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert life.state is State.FORCED
