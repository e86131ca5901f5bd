"""How one thread wakes another: a bell for who polls, a turn for who waits for its own, a gate for who only waits.

Unlike threading.Event and Condition none has a lock inside, so that a signal handler or a finalizer may use what the
thread that it interrupts is just using.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading

__all__ = ["Bell", "Gate", "Turn"]


class Bell:
    """Its descriptor is readable from ``ring`` to ``hush``. One descriptor where the system has eventfd, otherwise two.

    Safe from any thread. Raises OSError when the process is out of descriptors.
    """

    _pair: tuple[socket.socket, socket.socket] | None = None
    _fileno = -1  # out of descriptors it stays so: then there is only half of a bell to be dropped

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._fileno = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            return
        self._pair = socket.socketpair()
        for end in self._pair:
            end.setblocking(False)
        self._fileno = self._pair[0].fileno()

    def fileno(self) -> int:
        """The descriptor to poll; -1 once it is closed."""
        return self._fileno

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # closed; or the pair is full, and so it rings already
            if self._pair is not None:
                self._pair[1].send(b"\0")
            elif self._fileno >= 0:
                os.eventfd_write(self._fileno, 1)

    def hush(self) -> None:
        with contextlib.suppress(OSError):
            if self._pair is not None:
                self._pair[0].recv(4096)
            elif self._fileno >= 0:
                os.eventfd_read(self._fileno)

    def close(self) -> None:
        """Safe to call twice."""
        fileno, self._fileno = self._fileno, -1
        if self._pair is not None:
            for end in self._pair:
                end.close()
        elif fileno >= 0:
            os.close(fileno)

    def __del__(self) -> None:
        self.close()


class Turn:
    """What one thread waits on until another has something for it: the waiter of a blocking client's channel."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout: float) -> None:
        """Until it is told, for at most ``timeout`` seconds."""
        self._lock.acquire(timeout=timeout)

    def set_result(self, result: None) -> None:
        """Tell it. Once."""
        self._lock.release()


class Gate:
    """Opens once, and lets through who waits."""

    def __init__(self) -> None:
        self.is_open: bool = False
        self._waiting: list[threading.Lock] = []

    def open(self) -> None:
        """Safe to call twice."""
        self.is_open = True
        for turn in tuple(self._waiting):
            with contextlib.suppress(RuntimeError):  # released already
                turn.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is open within ``timeout`` seconds."""
        if not self.is_open and (timeout is None or timeout > 0):
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
            try:
                if not self.is_open:
                    turn.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
            finally:
                self._waiting.remove(turn)
        return self.is_open
