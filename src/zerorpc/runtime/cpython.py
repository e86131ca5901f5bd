"""Every private name of CPython that zerorpc uses, and what is done without it.

Each one says what nothing public says, or saves what every call would pay. A release of Python may change them:
``tests/runtime/test_cpython.py`` fails then, and also runs what is done instead. Nobody else uses such a name.

A blocking client needs this file and no event loop: asyncio is imported where it is used.
"""

from __future__ import annotations

import contextlib
import operator
import sys
import threading
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

__all__ = [
    "TaskSharing",
    "find_running_loop",
    "frame_of_thread",
    "imports_main_script",
    "lock_and_owner",
    "report_no_pending",
    "task_sharing",
]

# Loops and tasks


def find_running_loop() -> Callable[[], asyncio.AbstractEventLoop | None]:
    """What returns the event loop that runs in this thread, None if none does.

    What is public raises instead, which before Python 3.12 takes 0.25 us.
    """
    import asyncio

    def running_loop() -> asyncio.AbstractEventLoop | None:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None

    return getattr(asyncio, "_get_running_loop", running_loop)


def report_no_pending(task: asyncio.Task[object]) -> None:
    """Have asyncio say nothing when the task is dropped before its end. Where that can't be had, asyncio warns."""
    with contextlib.suppress(AttributeError):
        task._log_destroy_pending = False  # type: ignore[attr-defined]


class TaskSharing(NamedTuple):
    """What it takes to run several coroutines in one task."""

    enter: Callable[[asyncio.AbstractEventLoop, asyncio.Task[object]], None]  # the task is the current one,
    leave: Callable[[asyncio.AbstractEventLoop, asyncio.Task[object]], None]  # and no more
    callbacks: Callable[[asyncio.Task[object]], object]  # None if nobody waits for its end


def task_sharing() -> TaskSharing | None:
    """What it takes to run several coroutines in one task, None where that can't be had.

    For Python 3.11: from 3.12 on asyncio itself begins a task at once.
    """
    import asyncio

    enter = getattr(asyncio.tasks, "_enter_task", None)
    leave = getattr(asyncio.tasks, "_leave_task", None)
    if enter is None or leave is None or not hasattr(asyncio.Task, "_callbacks"):
        return None
    callbacks = operator.attrgetter("_callbacks")  # 220 instructions a call less than a function of ours
    return TaskSharing(enter, leave, callbacks)


# Locks


def lock_and_owner() -> tuple[threading.RLock, Callable[[], bool]]:
    """A new reentrant lock, and what tells whether this thread holds it: nothing public does."""
    lock = threading.RLock()
    is_owned: Callable[[], bool] | None = getattr(lock, "_is_owned", None)
    if is_owned is not None:
        return lock, is_owned
    owned = _OwnedLock()
    return cast("threading.RLock", owned), owned.is_owned


class _OwnedLock:
    """A reentrant lock that knows its owner. An interrupt (Ctrl-C) between two of its steps may leave it held: that is
    why it is the second choice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = get_ident()
        if self._owner != me:
            if not self._lock.acquire(blocking, timeout):
                return False
            self._owner = me
        self._depth += 1
        return True

    def release(self) -> None:
        if not self.is_owned():
            raise RuntimeError("this thread doesn't hold the lock")
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._lock.release()

    def is_owned(self) -> bool:
        return self._owner == get_ident()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


# Threads


def frame_of_thread(ident: int) -> FrameType | None:
    """What runs in another thread just now; None where that can't be had."""
    frames: Callable[[], dict[int, FrameType]] | None = getattr(sys, "_current_frames", None)
    return None if frames is None else frames().get(ident)


# Processes


def imports_main_script() -> bool:
    """Whether this is a new process of multiprocessing's that still imports the script of the one that started it."""
    module = sys.modules.get("multiprocessing.process")
    if module is None:  # not imported: then nobody has started this one
        return False
    return bool(getattr(module.current_process(), "_inheriting", False)) or _is_called_by_spawn()


def _is_called_by_spawn() -> bool:
    """The same, as our callers show it: one module of multiprocessing imports, another runs a process's function.

    Not in a thread that the script has started.
    """
    import inspect

    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_globals.get("__name__")
        if caller == "multiprocessing.process":
            return False
        if caller == "multiprocessing.spawn":
            return True
        frame = frame.f_back
    return False
