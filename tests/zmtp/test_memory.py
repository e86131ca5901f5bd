"""``memory_for``: what nobody has any more is used again, and nothing else ever is."""

from __future__ import annotations

import sys
import threading
import types
from collections import deque
from typing import Any

import numpy as np
import pytest

from tests.zmtp.links import encoded
from zerorpc.zmtp import memory
from zerorpc.zmtp.frames import FrameDecoder, Limits
from zerorpc.zmtp.memory import memory_for, use_again

SIZE = 256 * 1024

pytestmark = pytest.mark.skipif("t" in sys.abiflags, reason="there references are counted in several places")


@pytest.fixture(autouse=True)
def nothing_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_used", deque(maxlen=memory._used.maxlen))


def used(size: int = SIZE) -> bytearray:
    made = bytearray(size)
    use_again(made)
    return made


def test_what_nobody_has_is_used_again() -> None:
    place = id(used())
    again = memory_for(SIZE)
    assert id(again) == place
    assert memory_for(SIZE) is None, "somebody has it"
    assert again is not None


@pytest.mark.parametrize(
    "holder",
    [
        lambda held: held,
        lambda held: [held],
        memoryview,
        lambda held: memoryview(held)[5:6],
        lambda held: np.frombuffer(held, "u1"),
        lambda held: np.frombuffer(memoryview(held), "u1")[1:].reshape(-1, 3).T[2:3],
        lambda held: lambda: held,
        iter,
    ],
    ids=["name", "list", "view", "part", "array", "array of a view", "closure", "iterator"],
)
def test_what_somebody_has_is_not(holder: object) -> None:
    held = holder(used())  # type: ignore[operator]
    assert memory_for(SIZE) is None
    del held
    assert memory_for(SIZE) is not None


def test_the_references_of_a_debugger_mislead_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    held = used()
    monkeypatch.setattr(memory, "_OURS", memory._OURS + 1)  # as they were counted while it looked on
    assert memory_for(SIZE) is None
    del held

    def trace(frame: types.FrameType, event: str, arg: object) -> Any:
        return trace if frame.f_locals is not None else None

    held = used()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        taken = [memory_for(SIZE) for _ in range(4)]
    finally:
        sys.settrace(before)
    assert all(each is not held for each in taken)


def test_one_of_another_size_stays_for_later() -> None:
    used()
    assert memory_for(SIZE + 1) is None
    assert memory_for(SIZE) is not None


@pytest.mark.parametrize("size", [SIZE - 1, 16 * 1024 * 1024 + 1])
def test_small_ones_and_very_large_ones_are_left_to_malloc(size: int) -> None:
    used(size)
    assert memory_for(size) is None


def test_no_more_than_four_are_kept() -> None:
    for _ in range(10):
        used()
    taken = [memory_for(SIZE) for _ in range(10)]
    assert len([each for each in taken if each is not None]) == 4


def test_no_two_threads_get_the_same() -> None:
    for size in (SIZE, SIZE + 1, SIZE, SIZE):
        used(size)
    wrong: list[int] = []

    def take(number: int) -> None:
        for _ in range(300):
            mine = memory_for(SIZE)
            if mine is None:
                mine = bytearray(SIZE)
            use_again(mine)  # as it is by then: another one looks while it is still had
            mine[0] = number
            wrong.extend(mine[0] for _ in range(20) if mine[0] != number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_another_thread_may_have_taken_them_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    class Emptied(deque[bytearray]):
        def popleft(self) -> bytearray:
            raise IndexError

    monkeypatch.setattr(memory, "_used", Emptied([bytearray(SIZE)]))
    monkeypatch.setattr(memory, "_next", lambda used: (used.popleft(), 0) if type(used) is Emptied else (None, 0))
    assert memory_for(SIZE) is None


def received(decoder: FrameDecoder, body: bytes) -> bytearray:
    wire = encoded([body])
    out: list[list[bytearray]] = []
    for start in range(0, len(wire), 100_000):
        decoder.receive(wire[start : start + 100_000], out)  # type: ignore[arg-type]
    return out[0][0]


def test_frames_of_one_size_are_received_in_the_same_memory_one_after_the_other() -> None:
    decoder = FrameDecoder(Limits())
    first = received(decoder, b"a" * SIZE)
    second = received(decoder, b"b" * SIZE)
    assert (first, second) == (b"a" * SIZE, b"b" * SIZE)
    place = id(first)
    del first
    third = received(decoder, b"c" * SIZE)
    assert id(third) == place
    assert (second, third) == (b"b" * SIZE, b"c" * SIZE)


def test_malloc_keeps_the_memory_of_the_largest_frame_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_kept", SIZE)
    for size, kept in ((SIZE, SIZE), (2 * SIZE, 2 * SIZE), (SIZE + 1, 2 * SIZE)):
        memory.keep_memory_for(size)
        assert memory._kept == kept
