"""What wakes another thread, and may be used by a signal handler in the middle of its own use."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.service.running import PATIENCE, acting_when
from zerorpc.transport.waking import Bell, Gate, Turn


@pytest.fixture(params=["eventfd", "pair"])
def bell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bell]:
    if request.param == "pair":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this system has none")
    bell = Bell()
    yield bell
    bell.close()


def _rings(bell: Bell) -> bool:
    return bool(select.select([bell.fileno()], [], [], 0)[0])


def test_half_a_bell_is_dropped_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings are errors: what a finalizer raises is one."""

    def out_of_descriptors(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "eventfd", out_of_descriptors, raising=False)
    with pytest.raises(OSError, match="Too many open files"):
        Bell()
    gc.collect()


def test_a_bell_rings_until_it_is_hushed(bell: Bell) -> None:
    assert not _rings(bell)
    bell.hush()
    for _ in range(3):
        bell.ring()
    assert _rings(bell)
    bell.hush()
    assert not _rings(bell)


def test_a_bell_never_blocks_however_often_it_is_rung(bell: Bell) -> None:
    for _ in range(100_000):
        bell.ring()
    assert _rings(bell)


def test_a_closed_bell_does_nothing(bell: Bell) -> None:
    bell.close()
    bell.close()
    bell.ring()
    bell.hush()
    assert bell.fileno() == -1


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="a socket pair tells of it itself")
def test_a_dropped_bell_is_closed() -> None:
    bell = Bell()
    fileno = bell.fileno()
    del bell
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fileno)


def test_a_turn_is_waited_for_until_it_is_told() -> None:
    turn = Turn()
    turn.wait(0)  # nobody has told it
    thread = threading.Thread(target=turn.wait, args=(PATIENCE,))
    thread.start()
    turn.set_result(None)
    thread.join(PATIENCE / 2)
    assert not thread.is_alive()


def test_a_gate_lets_everybody_through_once_it_is_open() -> None:
    gate, through = Gate(), []
    threads = [threading.Thread(target=lambda: through.append(gate.wait(PATIENCE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert not gate.wait(0)
    assert not gate.wait(0.01)
    gate.open()
    gate.open()
    for thread in threads:
        thread.join(PATIENCE)
    assert through == [True] * 4
    assert gate.wait()
    assert gate.is_open


def test_a_gate_may_be_waited_for_and_opened_by_a_handler_that_interrupts_its_wait() -> None:
    gate, seen = Gate(), []

    def act() -> None:
        seen.append(gate.wait(0.01))
        gate.open()

    with acting_when(lambda: gate._waiting, act):
        assert gate.wait(None)
    assert seen == [False]
    assert not gate._waiting


def test_the_pair_is_non_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd", raising=False)
    bell = Bell()
    assert bell._pair is not None
    assert all(isinstance(end, socket.socket) and not end.getblocking() for end in bell._pair)
    bell.close()
