"""The thread that looks after a client: it lives as long as that, and comes at once when it is nudged."""

from __future__ import annotations

import socket
import threading
import time

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, serving
from zerorpc.transport.keeper import Keeper


def test_it_looks_in_now_and_then_and_at_once_when_nudged_until_that_is_all() -> None:
    looks: list[float] = []
    over = threading.Event()

    def look_in() -> bool:
        looks.append(time.monotonic())
        return over.is_set()

    keeper = Keeper(look_in, 0.02)
    keeper.start()
    eventually(lambda: len(looks) > 3)
    over.set()
    keeper.join(PATIENCE)
    lazy = Keeper(look_in, PATIENCE * 10)
    lazy.start()
    lazy.nudge()
    lazy.nudge()
    lazy.join(PATIENCE)
    assert not keeper.is_alive()
    assert not lazy.is_alive()


def test_the_keeper_survives_whatever_is_raised_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", 0.02)
    with (
        serving({"echo": lambda value: value}) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        assert client.echo(1) == 1
        hub, mends = client._core.hub, []

        def break_down() -> None:
            mends.append(1)
            raise SystemExit("broken") if len(mends) % 2 else RuntimeError("broken")

        monkeypatch.setattr(hub, "mend", break_down)
        eventually(lambda: len(mends) > 4)
        monkeypatch.undo()
        assert hub._keeper.is_alive()
        for link in list(hub.links.values()):
            link.sock.shutdown(socket.SHUT_RDWR)
        eventually(lambda: _echoes(client))
    told = [record for record in caplog.records if "the keeper of a client failed, and goes on" in record.getMessage()]
    assert len(told) == 1


def _echoes(client: zerorpc.Client) -> bool:
    try:
        return bool(client.echo(True))
    except zerorpc.LostRemote:
        return False


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
