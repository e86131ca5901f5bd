"""A process that a method forks ends with the method: the call is its parent's to answer, and so are all others."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Container
from types import CodeType, FrameType
from typing import NoReturn

from zerorpc.shown import trace_of

__all__ = ["NO_LOOP", "end_child", "end_child_where_it_waits"]

NO_LOOP = "a child that a method forks has no event loop: it has to end before it awaits anything"


def end_child(error: BaseException | None = None) -> NoReturn:
    """The method is over in a child that it forked. End the process as Python would if this was the whole program."""
    code = 1
    with contextlib.suppress(BaseException):  # of the error's own methods, or the program's excepthook
        code = _told(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # there may be none, or nobody to read it
            stream.flush()
    os._exit(code)


def _told(error: BaseException | None) -> int:
    """Say what the error is, as Python would; the exit code."""
    if error is None:
        return 0
    if issubclass(type(error), SystemExit):
        return _code(error.code)  # type: ignore[attr-defined]
    sys.excepthook(type(error), error, trace_of(error))
    return 1


def end_child_where_it_waits(tasks: Container[CodeType]) -> None:
    """End this child when the coroutine that forked it lets the loop go on: its other callbacks are the parent's.

    ``tasks`` is the code of the coroutines that are the body of a task: when one yields, its task is about to wait.
    """

    def on_event(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code in tasks:
            end_child(RuntimeError(NO_LOOP))

    sys.setprofile(on_event)  # told of each return and yield in this thread; a method costs it nothing elsewhere


def _code(code: object) -> int:
    """What SystemExit carries, as an exit code."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1
