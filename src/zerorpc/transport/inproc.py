"""inproc://name: peers in one process, joined by socket pairs, so that both shells can use them like any socket.

The name's listener looks like a listening socket: readable when somebody connected, ``accept`` gives the pair's
other end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque

from zerorpc.errors import AddressInUse
from zerorpc.runtime import forks
from zerorpc.transport.endpoints import Endpoint

__all__ = ["InprocListener", "connect_inproc"]

_listeners: dict[str, InprocListener] = {}
_lock = threading.Lock()


class InprocListener:
    """Takes connections to a name. Safe to connect to from any thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        _heed_fork()
        self._name = endpoint.path
        self._arrived: deque[socket.socket] = deque()
        with _lock:
            if self._name in _listeners:
                raise AddressInUse(endpoint.text)
            self._readable, self._bell = socket.socketpair()
            self._readable.setblocking(False)
            self._bell.setblocking(False)
            _listeners[self._name] = self

    def fileno(self) -> int:
        return self._readable.fileno()

    def arrive(self, end: socket.socket) -> None:
        self._arrived.append(end)
        with contextlib.suppress(OSError):  # a full bell rings already
            self._bell.send(b"\0")

    def accept(self) -> socket.socket:
        """The next connection's end; BlockingIOError when there is none."""
        with contextlib.suppress(BlockingIOError):
            self._readable.recv(1)
        if not self._arrived:
            raise BlockingIOError
        return self._arrived.popleft()

    def close(self) -> None:
        with _lock:
            if _listeners.get(self._name) is self:
                del _listeners[self._name]
        for end in (*self._arrived, self._readable, self._bell):
            end.close()
        self._arrived.clear()


def connect_inproc(name: str) -> socket.socket:
    """A connection to the name's listener; ConnectionRefusedError when nobody listens."""
    _heed_fork()
    with _lock:
        listener = _listeners.get(name)
        if listener is None:
            raise ConnectionRefusedError(f"nobody listens on inproc://{name}")
        ours, theirs = socket.socketpair()
        listener.arrive(theirs)
    return ours


def _heed_fork() -> None:
    if os.getpid() != forks.pid:
        forks.catch_up()


@forks.in_child
def _forget_listeners() -> None:
    """A forked child has none of its parent's servers, and a thread that held the lock doesn't exist there."""
    global _lock  # noqa: PLW0603
    _listeners.clear()
    _lock = threading.Lock()
