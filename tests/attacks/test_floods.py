"""Cheap messages without end, of every kind: the loop goes on to serve others, since each turn takes little of one."""

from __future__ import annotations

import pytest

from tests.attacks.floods import FLOODS, flood
from tests.attacks.ground import LOOPS, ground

TURN = 0.5  # s of CPU time that the loop may be held up; measured: 0.06, 0.22 beside much else, 3.4 without slices


@pytest.mark.parametrize("loop", LOOPS)
def test_a_flood_of_any_kind_holds_nobody_up(loop: str) -> None:
    held_up = {}
    with ground(loop) as place:
        for name, (octets, size) in FLOODS.items():
            with place.innocent():
                flood(place, octets, size)
            held_up[name] = place.figures()["held_up"]
    assert max(held_up.values()) < TURN, held_up
