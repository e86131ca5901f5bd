"""A process that is a fork of this one, with nothing to read on its stdin."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from multiprocessing.util import Finalize

__all__ = ["ForkedProcess", "at_process_end"]

_starting = threading.local()


class ForkedProcess(ForkProcess):
    """A fork whose stdin is empty, as multiprocessing has it, but not by closing the one that it got.

    A thread of the parent that reads stdin holds its lock, in the child for good: closing it would wait for ever. So
    another has its place when multiprocessing comes to close it.
    """

    def start(self) -> None:
        _starting.here = True
        try:
            super().start()
        finally:
            _starting.here = False


def at_process_end(act: Callable[[], object]) -> None:
    """Have ``act()`` called when this process ends: also one that multiprocessing has forked, in which ``atexit`` runs
    nothing before Python 3.13.
    """
    Finalize(None, act, exitpriority=0)


def _empty_stdin() -> None:
    """In a child, before anything else runs in it: but only in a fork that ``start`` makes."""
    if _starting.__dict__.pop("here", False) and sys.stdin is not None:  # else 0 is whatever the program opened first
        os.closerange(0, 1)  # so that it becomes 0; the old object lives on as sys.__stdin__: closing it would wait
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - multiprocessing closes it


os.register_at_fork(after_in_child=_empty_stdin)
