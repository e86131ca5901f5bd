"""A thread's start that a signal's handler interrupts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.service.running import PATIENCE
from zerorpc.runtime import threads

STARTS = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"


class Alarm(Exception):
    """What a program's handler raises."""


def test_what_a_handler_raises_when_the_thread_has_begun_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython raises a KeyError in its place: it forgets the thread, which has begun, a second time."""
    ended, real = threading.Event(), getattr(threading, STARTS)

    def interrupted(*args: Any, **options: Any) -> None:
        real(*args, **options)
        assert ended.wait(PATIENCE)
        raise Alarm

    thread = threading.Thread(target=ended.set)
    with monkeypatch.context() as patch:
        patch.setattr(threading, STARTS, interrupted)
        with pytest.raises(Alarm):
            threads.start(thread)
    thread.join()


def test_a_key_error_of_a_handler_comes_out_as_one() -> None:
    class Thread(threading.Thread):
        def start(self) -> None:
            raise KeyError("of a handler")

    try:
        raise Alarm
    except Alarm:
        with pytest.raises(KeyError, match="of a handler"):
            threads.start(Thread())
