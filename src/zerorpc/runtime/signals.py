"""SIGINT and SIGTERM for the time of a server's ``run``.

The handlers are Python's own and not the event loop's: they are in place before the loop turns, and what arrives is
kept until the server looks. uvloop forgets a signal that comes before its first turn, and a program's own handlers
can't be called by either loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["ENDING", "Signals", "children_apart", "hold_signals", "release_signals"]

ENDING = (signal.SIGINT, signal.SIGTERM)

_active: Signals | None = None  # whose handlers are in place
_served: set[object] = set()  # one for each loop of the program's that something is served on
_forking = threading.local()


class Signals:
    """Takes signals while it is active, and says by ``wakeups``, which becomes readable, that some have arrived.

    A program's own handler is called, and what it raises is kept: raised right there it might end up in a method that
    happens to run. What the program ignores, and a SIGINT that it lets kill the process, isn't touched. On the main
    thread, and one at a time.
    """

    def __init__(self, *numbers: int) -> None:
        self.wakeups: socket.socket
        self.wakeups, self._bell = socket.socketpair()
        self.wakeups.setblocking(False)
        self._bell.setblocking(False)
        self._numbers = numbers
        self._arrived: deque[tuple[int, BaseException | None]] = deque()
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}  # what was there
        self._wakeup = -1
        self._pid = os.getpid()

    def take(self) -> None:
        """Set the handlers. Call it while signals are held back, or one may come when only some are in place."""
        global _active  # noqa: PLW0603 - handlers are the process's
        _active = self
        # A loop that waits in the system goes on waiting unless something can be read. uvloop sets its own as it runs.
        self._wakeup = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            handler = signal.getsignal(number)
            if callable(handler) or _is_default(number, handler):
                self._before[number] = handler
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Between any two instructions of the main thread."""
        before = self._before[number]
        if _active is not self or os.getpid() != self._pid:  # over, or a child of a fork that Python heard nothing of
            self.give_back()
            signal.signal(number, before)
            os.kill(os.getpid(), number)
            return
        error = None
        if callable(before) and not _is_default(number, before):
            try:
                before(number, frame)
                return
            except BaseException as raised:
                error = raised
        self._arrived.append((number, error))
        self.ring()

    def ring(self) -> None:
        """Make ``wakeups`` readable. Safe from any thread, and when closed."""
        with contextlib.suppress(OSError):  # one that is full rings already
            self._bell.send(b"\0")

    def arrived(self) -> Iterator[tuple[int, BaseException | None]]:
        """What has arrived since the last time: each signal's number, and what a handler of the program's raised."""
        with contextlib.suppress(OSError):
            self.wakeups.recv(4096)
        while self._arrived:
            yield self._arrived.popleft()

    def give_back(self) -> None:
        """Have everything as it was before ``take``. Safe to call twice."""
        global _active  # noqa: PLW0603
        if _active is not self:
            return
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup)
        _active = None

    def close(self) -> None:
        self.give_back()
        self.wakeups.close()
        self._bell.close()


def _is_default(number: int, handler: object) -> bool:
    """Whether nobody has said what is to be done with a signal. Python itself has for SIGINT: KeyboardInterrupt."""
    if number == signal.SIGINT:
        return handler is signal.default_int_handler
    return handler is signal.SIG_DFL or (number not in ENDING and handler is signal.SIG_IGN)  # SIGCHLD: can't wait


def hold_signals() -> set[int | signal.Signals]:
    """Have SIGINT and SIGTERM wait, as far as this thread goes, until ``release_signals`` of what this returns."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return set()
    return signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def release_signals(held: set[int | signal.Signals]) -> None:
    """Let those through that wait; their handlers run, and may raise, here."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


# Forks: a child is a program like any other, which signals end.


@contextlib.contextmanager
def children_apart() -> Iterator[None]:
    """While it lasts, a forked child has none of the handlers that event loops have set in this process, such as a
    program's own loop that serves: they would tell the parent's loop of the child's signals.
    """
    serving = object()
    _served.add(serving)
    try:
        yield
    finally:
        _served.discard(serving)


def _before_fork() -> None:
    """A signal that comes before the child has its own handlers would be lost."""
    if _active is not None or _served:
        _forking.held = hold_signals()


def _after_fork() -> None:
    held = _forking.__dict__.pop("held", None)
    if held is not None:
        release_signals(held)


def _after_fork_in_child() -> None:
    if _active is not None:
        _active.give_back()
    if _served:
        _served.clear()
        _let_go_of_loops()
    _after_fork()


def _let_go_of_loops() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if _is_a_loops(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _is_a_loops(handler: object) -> bool:
    """Whether asyncio or uvloop has set it."""
    function = getattr(handler, "func", handler)  # that of asyncio.run for Ctrl-C is a partial
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("asyncio", "uvloop")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
