"""The thread for what a program has given us to run."""

from __future__ import annotations

import sys
import threading

import pytest

from tests.service.running import PATIENCE, eventually
from zerorpc.runtime import side_thread
from zerorpc.runtime.side_thread import SideThread


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_one_thread_runs_all_in_order_and_ends_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_thread, "_LINGER", 0.01)
    side, ran, where = SideThread("side 1"), [], set()
    for _ in range(3):
        ran.clear()
        for number in range(100):
            side.post(lambda number=number: (ran.append(number), where.add(threading.current_thread().name)))
        eventually(lambda: ran == list(range(100)))
        eventually(lambda: not named("side 1"))
    assert where == {"side 1"}


def test_posts_that_come_as_it_ends_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_thread, "_LINGER", 0.0)
    side, ran = SideThread("side 2"), []

    def post() -> None:
        for number in range(200):
            side.post(lambda number=number: ran.append(number))

    posting = [threading.Thread(target=post) for _ in range(4)]
    for thread in posting:
        thread.start()
    for thread in posting:
        thread.join(PATIENCE)
    eventually(lambda: len(ran) == 800)
    eventually(lambda: not named("side 2"))


def test_it_survives_what_is_raised_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    side, ran = SideThread("side 3"), []
    side.post(lambda: 1 / 0)
    side.post(lambda: sys.exit(3))
    side.post(lambda: ran.append(1))
    eventually(lambda: ran)
    assert caplog.messages == ["what ran beside a client's calls raised"] * 2


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_where_no_thread_can_be_started_it_runs_at_once(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    side, ran = SideThread("side 4"), []

    def refuse(thread: threading.Thread) -> None:
        raise error

    def more() -> None:
        ran.append("more")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        side.post(lambda: (ran.append((threading.current_thread().name, side.is_current)), side.post(more)))

    assert ran == [(threading.current_thread().name, True), "more"]
    assert not side.is_current
    side.post(lambda: ran.append(side.is_current))
    eventually(lambda: ran[2:] == [True])
