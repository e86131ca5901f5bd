"""How long a request will wait, told from how turns came so far; and how long its caller will."""

from __future__ import annotations

from typing import Any

import pytest

import zerorpc
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import USUAL_TIMEOUT, decode, encode
from zerorpc.service.turns import Turns, patience


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, 30),
        ({"_zpc_timeout": 5}, 5),
        ({"_zpc_timeout": 0.25}, 0.25),
        ({"_zpc_timeout": None}, float("inf")),
        ({"_zpc_timeout": float("inf")}, float("inf")),
        ({"_zpc_timeout": 1e300}, 1e300),
        ({"_zpc_timeout": -1.0}, -1),
        ({"_zpc_timeout": "soon"}, 30),
        ({"_zpc_timeout": float("nan")}, 30),
        ({"_zpc_timeout": True}, 30),
        ({"_zpc_timeout": [1]}, 30),
    ],
)
def test_a_caller_says_how_long_it_waits_or_is_taken_to_be_like_most(header: dict[str, Any], expected: float) -> None:
    assert patience(request({"message_id": b"1", "v": 3, **header})) == expected


def test_all_clients_wait_for_what_is_usual() -> None:
    with zerorpc.Client() as client:
        assert client._core.timeout == USUAL_TIMEOUT
    assert zerorpc.AsyncClient()._core.timeout == USUAL_TIMEOUT


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


def request(header: dict[str, Any]) -> ServerChannel:
    data = encode(header, "f", [])
    return ServerChannel(None, b"1", decode(data), data, None)  # type: ignore[arg-type]  # nothing is sent
