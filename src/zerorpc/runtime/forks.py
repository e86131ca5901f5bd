"""Forks: what has to happen in a child before it uses anything that it has from its parent.

Python runs it right after ``os.fork``. Of a fork that passes Python by (uWSGI's by default, a C library's) nobody is
told: the first use in the child finds another process id and runs it then. So whoever holds what two processes must
not share looks at each use, which takes 50 ns::

    if getpid() != forks.pid:
        forks.catch_up()
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["catch_up", "in_child", "pid", "watch"]

pid: int = os.getpid()  # the process for which everything has been done

_acts: list[Callable[[], None]] = []
_watched: dict[weakref.ref[Forks], None] = {}
# Both by process id: one of the parent's may be held by a thread that doesn't exist here.
_locks: dict[int, threading.RLock] = {}
_left: dict[int, deque[Callable[[], None]]] = {}  # what is still to be done


class Forks(Protocol):
    def forked(self) -> None:
        """This is a forked child. Once, unless it is interrupted; takes no lock that the parent may have held; raises
        nothing.
        """


def in_child(act: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in each forked child; what ``Forks.forked`` says holds for it too. A decorator."""
    _acts.append(act)
    return act


def watch(thing: Forks) -> None:
    """Have ``thing.forked()`` called in each forked child, as long as somebody else keeps the thing."""
    _watched[weakref.ref(thing, _forget)] = None


def _forget(thing: weakref.ref[Forks], watched: dict[weakref.ref[Forks], None] = _watched) -> None:
    watched.pop(thing, None)


def catch_up() -> None:
    """In a child, do what is not done yet. Of several threads that come at once each returns when it is done.

    Between any two steps a finalizer may come in this very thread, and want it done, too: it does what is left, and the
    others wait on. What it has used then is not told once more that this is a child.
    """
    global pid  # noqa: PLW0603 - it is the process's
    found = os.getpid()
    with _locks.setdefault(found, threading.RLock()):
        if pid == found:
            return
        outermost = found not in _left
        left = _left.setdefault(found, deque())
        try:
            if outermost:
                left.extend(_acts)
                left.extend(thing.forked for ref in list(_watched) if (thing := ref()) is not None)
            while left:
                _do(left)
            if outermost:
                pid = found
        finally:
            if outermost:
                _left.clear()
        if outermost:
            _locks.clear()  # those who wait for this one have it already


def _do(left: deque[Callable[[], None]]) -> None:
    """The next of what is left; interrupted, it stays to be done."""
    act = left.popleft()
    try:
        act()
    except BaseException:
        left.append(act)
        raise


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=catch_up)
