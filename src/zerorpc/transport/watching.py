"""``on_connection``: a program's function that is told of connections made and lost."""

from __future__ import annotations

import contextlib
import functools
import socket
from typing import Protocol

from zerorpc.logs import Logger
from zerorpc.runtime import forks
from zerorpc.runtime.side_thread import SideThread
from zerorpc.settings import ClientSettings, ConnectionEvent, OnConnection
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import address_text

__all__ = ["ConnectionWatch", "watch_for"]

logger: Logger = Logger("zerorpc.transport")


class Watched(Protocol):
    """A link."""

    why: Exception | None
    dialer: Dialer | None

    @property
    def name(self) -> str: ...


class Identified(Protocol):
    """A caller's rights."""

    @property
    def identity(self) -> str: ...


class ConnectionWatch:
    """Tells ``function`` on a thread of its own, in order: so it holds nothing up, and nothing waits for it.

    By whoever drives the links, one at a time.
    """

    def __init__(self, function: OnConnection, side: str) -> None:
        self._function = function
        self._side = side
        self.forked()
        forks.watch(self)

    def forked(self) -> None:
        """In a forked child: the connections are the parent's, and so is the thread."""
        self._known: dict[Watched, ConnectionEvent] = {}
        self._thread = SideThread("zerorpc-connections")

    def made(self, link: Watched, sock: socket.socket | None, who: Identified | None = None) -> None:
        """The handshake is over, on this socket, if there is one. ``who`` is known of a caller who was asked."""
        dialer = link.dialer
        endpoint = _accepted_at(link.name, sock) if dialer is None else (dialer.name or dialer).endpoint.text
        identity = None if who is None else who.identity
        self._known[link] = event = ConnectionEvent(True, self._side, endpoint, link.name, identity)
        self._tell(event)

    def lost(self, link: Watched) -> None:
        """The connection is over; one whose handshake wasn't was never told of."""
        event = self._known.pop(link, None)
        if event is not None:
            self._tell(event._replace(connected=False, why=str(link.why or "")))

    def _tell(self, event: ConnectionEvent) -> None:
        self._thread.post(functools.partial(self._call, event))

    def _call(self, event: ConnectionEvent) -> None:
        try:
            self._function(event)
        except BaseException as error:
            logger.error("on_connection raised", raised=error)

    def __repr__(self) -> str:
        return f"<ConnectionWatch {self._side} of {len(self._known)}>"


def watch_for(settings: ClientSettings) -> ConnectionWatch | None:
    """A client's, if it has one."""
    return None if settings.on_connection is None else ConnectionWatch(settings.on_connection, "client")


def _accepted_at(peer: str, sock: socket.socket | None) -> str:
    """This side's address of a connection; "" where it has none, as by inproc."""
    with contextlib.suppress(OSError):
        address = None if sock is None else sock.getsockname()
        if isinstance(address, tuple):
            return address_text(address, peer.partition("://")[0])
        if isinstance(address, str) and address:
            return f"ipc://{address}"
    return ""
