"""The background loop: one for the process, and a new one in a forked child."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from zerorpc.one_way import io_thread
from zerorpc.one_way.io_thread import complete, io_loop
from zerorpc.runtime.loops import new_event_loop


def test_it_is_one_loop_that_runs() -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert io_loop() is io_loop()
    assert asyncio.run_coroutine_threadsafe(where(), io_loop()).result(10) == "zerorpc-io"
    assert next(t for t in threading.enumerate() if t.name == "zerorpc-io").daemon  # it keeps no program alive


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_gets_its_own() -> None:
    async def pid() -> int:
        return os.getpid()

    before = io_loop()
    child = os.fork()
    if child == 0:
        ours = io_loop() is not before
        answered = asyncio.run_coroutine_threadsafe(pid(), io_loop()).result(10) == os.getpid()
        os._exit(0 if ours and answered else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert io_loop() is before


def test_out_of_threads_it_raises_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io_thread, "_loop", None)
    real = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        io_loop()
    monkeypatch.setattr(threading.Thread, "start", real)
    loop = io_loop()
    loop.call_soon_threadsafe(loop.stop)


def test_whoever_comes_in_the_middle_of_a_wait_for_it_may_wait_for_it_too() -> None:
    """A signal handler or a finalizer, at any line."""
    outer, inner, line = 0, 0, 0

    async def count(which: str) -> None:
        nonlocal outer, inner
        await asyncio.sleep(0)
        if which == "outer":
            outer += 1
        else:
            inner += 1

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if Path(frame.f_code.co_filename).name not in ("io_thread.py", "threading.py", "_base.py"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                complete(count("inner"), io_loop())
        return trace

    io_loop()
    before = sys.gettrace()
    while inner == line:
        line = left = line + 1
        sys.settrace(trace)
        try:
            complete(count("outer"), io_loop())
        finally:
            sys.settrace(before)
    assert outer == line
    assert inner > 10


def test_a_finalizer_in_the_middle_of_uvloops_import_gets_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", ModuleType("uvloop"))
    loop = new_event_loop()
    assert isinstance(loop, asyncio.SelectorEventLoop)
    loop.close()


def test_what_it_raises_is_raised_where_that_is_waited_for() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        complete(fail(), io_loop())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_ends_loops_does_not_end_this_one(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer() -> int:
        return 42

    def fail() -> None:
        raise error

    io_loop().call_soon_threadsafe(fail)
    assert asyncio.run_coroutine_threadsafe(answer(), io_loop()).result(10) == 42
    assert "a callback of the sockets' loop raised" in caplog.text
