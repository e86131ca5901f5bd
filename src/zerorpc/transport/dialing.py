"""Connecting in a thread of its own, since names may take long to resolve and addresses long to answer."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from time import monotonic
from typing import Protocol

from zerorpc.logs import Logger
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.sockets import Listener, connect_blocking
from zerorpc.transport.waking import Gate

__all__ = ["Dial"]

logger: Logger = Logger("zerorpc.transport")


class Dialing(Protocol):
    """Who wants a connection."""

    sockets: weakref.WeakSet[Listener | socket.socket]

    def adopt(self, sock: socket.socket, dial: Dial) -> None:
        """There is one; it is the hub's from now on, to close it too."""

    def dial_ended(self, dial: Dial) -> None:
        """The thread is about to end. Safe to call twice."""


class Dial(threading.Thread):
    """Connects a dialer after ``delay`` seconds, and tries until it works or is cancelled."""

    def __init__(self, hub: Dialing, dialer: Dialer, delay: float) -> None:
        super().__init__(name=f"zerorpc-dial {dialer.endpoint.text}", daemon=True)
        self.dialer = dialer
        self._hub = hub
        self._delay = delay
        self._end = Gate()
        self._sock: socket.socket | None = None  # that is being connected

    def cancel(self) -> None:
        """End soon: a pause is over at once, and so is an attempt; a look-up can't be ended. Safe anywhere."""
        self._end.open()
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            while not (self.dialer.closed or self._end.wait(self._delay)):
                if self._attempt():
                    return
        finally:
            self._hub.dial_ended(self)

    def _attempt(self) -> bool:
        """Whether it is over."""
        began = monotonic()
        try:
            sock = connect_blocking(self.dialer.endpoint, self._made)
            self._sock = None
            self._hub.adopt(sock, self)
        except BaseException as error:
            self._sock = None
            if self._end.is_open:
                return True
            self._delay = self.dialer.failed(error, monotonic() - began)
            if not isinstance(error, OSError):
                name = self.dialer.endpoint.text
                logger.error("connecting to %s failed; it will be tried again", name, raised=error)
            return False
        return True

    def _made(self, sock: socket.socket) -> None:
        """A socket is about to be connected."""
        self._hub.sockets.add(sock)
        self._sock = sock
        if self._end.is_open:
            sock.close()
            raise ConnectionAbortedError("cancelled")
