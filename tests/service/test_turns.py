"""How long a request will wait, told from how turns came so far."""

from __future__ import annotations

import pytest

from zerorpc.service.turns import Turns


def test_nothing_is_known_at_first() -> None:
    turns = Turns(1)
    turns.begin(100.0)
    assert turns.wait(100.0, 1000) == 0


def test_the_pace_is_that_of_the_last_turns() -> None:
    turns = Turns(1)
    turns.begin(0.0)
    for number in range(1, 11):
        turns.give(number * 0.5)
    assert turns.wait(5.0, 4) == pytest.approx(4 * 0.5)


def test_places_that_come_free_together_are_no_hurry() -> None:
    turns = Turns(20)  # each of 20 methods takes a second
    turns.begin(0.0)
    for _ in range(19):
        turns.give(1.0)
    assert turns.wait(1.0, 40) == pytest.approx(40 * 1 / 20)
    turns.give(1.0)
    assert turns.wait(1.0, 40) == pytest.approx(40 * 1 / 20)


def test_the_pace_follows_what_changes() -> None:
    turns = Turns(1)
    turns.begin(0.0)
    now = 0.0
    for pace in (0.1, 0.1, 1.0, 1.0, 1.0, 1.0, 1.0):
        for _ in range(10):
            now += pace
            turns.give(now)
    assert turns.wait(now, 1) == pytest.approx(1.0, rel=0.05)
    assert repr(turns).startswith("<Turns 9")


def test_methods_that_hang_are_noticed_without_any_turn() -> None:
    turns = Turns(1)
    turns.begin(0.0)
    assert turns.wait(20.0, 5) == pytest.approx(5 * 2.0)


def test_an_empty_queue_forgets() -> None:
    turns = Turns(1)
    turns.begin(0.0)
    for number in range(1, 11):
        turns.give(number)
    assert turns.wait(10.0, 10) == pytest.approx(10.0)
    turns.begin(20.0)
    assert turns.wait(20.0, 10) == 0
