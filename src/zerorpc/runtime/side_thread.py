"""A thread for what a program has given us to run: it may take long there, or wait, and holds nothing of ours up."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import deque
from collections.abc import Callable
from threading import get_ident

from zerorpc.logs import Logger
from zerorpc.runtime import threads

__all__ = ["SideThread", "SideThreads"]

logger: Logger = Logger("zerorpc")

_LINGER = 1.0  # s for which it waits for more before it ends; starting another takes some 60 µs


class SideThread:
    """Runs one thing after the other, in their order. There is a thread only while there is something to run, and a
    moment longer.

    Safe from any thread, also in a signal handler or a finalizer that comes in the middle: nobody holds its locks.
    """

    def __init__(self, name: str, start: Callable[[threading.Thread], None] = threads.start) -> None:
        self._name = name
        self._start = start
        self._acts: deque[Callable[[], object]] = deque()
        self._idle = [True]  # who takes this out, in one step, runs the acts
        self._more = threading.Lock()  # released when there is more to run
        self._more.acquire()
        self._ident: int | None = None

    def post(self, act: Callable[[], object]) -> None:
        """Have ``act()`` run. If no thread can be started, that is here."""
        self._acts.append(act)
        if not self._begins():
            with contextlib.suppress(RuntimeError):  # released already
                self._more.release()
            return
        try:
            self._start(threading.Thread(target=self._run, name=self._name, daemon=True))
        except (RuntimeError, MemoryError):
            self._run_waiting()

    @property
    def is_current(self) -> bool:
        """Whether the caller is what runs in it."""
        return self._ident == get_ident()

    def _begins(self) -> bool:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return False

    def _run(self) -> None:
        while True:
            self._run_acts()
            if not self._more.acquire(timeout=_LINGER) and self._rests():
                return

    def _run_waiting(self) -> None:
        while True:
            self._run_acts()
            if self._rests():
                return

    def _run_acts(self) -> None:
        self._ident = get_ident()
        while self._acts:
            act = self._acts.popleft()
            try:
                act()
            except BaseException as error:
                logger.error("what ran beside a client's calls raised", raised=error)
            del act  # and with it, perhaps, the last reference to a client

    def _rests(self) -> bool:
        """Whether nothing has come since we looked, which whoever put it there left to us."""
        self._ident = None
        self._idle.append(True)
        return not self._acts or not self._begins()

    def __repr__(self) -> str:
        return f"<SideThread {self._name} {'idle' if self._idle else 'running'} waiting={len(self._acts)}>"


class SideThreads:
    """As many of them as there are things to run: none waits for another. ``start`` starts a thread. As safe."""

    def __init__(self, name: str, start: Callable[[threading.Thread], None] = threads.start) -> None:
        self._name = name
        self._start = start
        self._idle: deque[SideThread] = deque()

    def post(self, act: Callable[[], object]) -> None:
        """Have ``act()`` run."""
        try:
            side = self._idle.pop()
        except IndexError:
            side = SideThread(self._name, self._start)
        side.post(functools.partial(self._run, side, act))

    def _run(self, side: SideThread, act: Callable[[], object]) -> None:
        try:
            act()
        finally:
            self._idle.append(side)

    def __repr__(self) -> str:
        return f"<SideThreads {self._name} idle={len(self._idle)}>"
