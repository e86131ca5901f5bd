"""The thread that looks after a blocking client's connections."""

from __future__ import annotations

import threading

import pytest

from tests.service.running import PATIENCE
from zerorpc.transport.keeper import Keeper


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_whatever_is_raised_it_goes_on_and_says_so_once(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    looks: list[str] = []
    fails = ["fails"] * 5 + ["works"] + ["fails"] * 5 + ["is over"]

    def look_in() -> bool:
        looks.append(fails[len(looks)])
        if looks[-1] == "fails":
            raise error
        return looks[-1] == "is over"

    keeper = Keeper(look_in, 0.001)
    keeper.start()
    keeper.join(PATIENCE)
    assert not keeper.is_alive()
    assert looks == fails
    assert caplog.messages == ["the keeper of a client failed, and goes on"] * 2  # anew once it had worked


def test_it_looks_in_at_once_when_it_is_nudged() -> None:
    looked = threading.Event()

    def look_in() -> bool:
        looked.set()
        return True

    keeper = Keeper(look_in, 10 * PATIENCE)
    keeper.start()
    keeper.nudge()
    keeper.nudge()
    assert looked.wait(PATIENCE)
    keeper.join(PATIENCE)
