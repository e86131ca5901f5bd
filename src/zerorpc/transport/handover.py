"""Connections handed from one process to another: a parent accepts them, server processes take them.

The two ends of a socket pair speak in single octets; a connection travels along with one, as a descriptor. The parent
keeps a connection until the process says that it has taken it, so that one which dies, or leaves, takes along only
what it had begun to serve.

Why not leave it to the kernel, measured with 2 processes on uvloop and bursts of 100 clients: a listening socket that
both watch gave one of them 98 to 100 in 4 bursts of 5; SO_REUSEPORT hashes, 42 to 58 each, knows no ipc, and resets
what waits in the backlog of a process that ends. This way costs the parent 50 us a connection, and a call nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["LISTENERS_MAX", "Accepted", "Intake", "Outlet", "choose"]

# What the parent says
CONNECTION = 0x80  # take this one; the other bits are the number of the listener where it came,
LISTENERS_MAX = 0x80  # of so many
STOP = b"s"  # also what the end of the parent means
FORCE = b"h"
WATCH = b"w"  # somebody asks another process how the server is: count, too

# What a process says
READY = b"r"
TAKEN = b"+"  # the oldest connection that it was given and hasn't answered for
REFUSED = b"f"  # no descriptor left for it: it is not ready until it says so again
ENDED = b"-"  # one that it had taken
LEAVING = b"d"  # it will take no more
STOP_ALL = b"q"  # the same, and so shall the others
WATCHED = b"w"  # somebody asks it how the server is

_UNANSWERED_MAX = 64  # connections; more than wait for a loop that turns, and a fraction of what the pair holds
_BATCH = 128  # octets in one turn of the loop
_PAUSE = 0.1  # s without taking when the process has no descriptors left
_RETRY = 0.05  # s until what the parent didn't read is sent again; it reads at once unless it is suspended

_turns = itertools.count(1)


class Accepted(NamedTuple):
    """A connection, and the number of the listener where it came."""

    connection: socket.socket
    listener: int = 0


class Outlet:
    """The parent's end: what one process holds, and what it said. Owns the connections that aren't taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unanswered: deque[Accepted] = deque()
        self._refused: list[Accepted] = []
        self._taken = 0
        self.ready: bool = False
        self.leaving: bool = False
        self.stops_all: bool = False
        self.is_watched: bool = False  # it has said so, and the others don't know it yet
        self.last_turn: int = 0  # when it was given its last connection, compared with others
        self.fileno: Callable[[], int] = sock.fileno

    @property
    def connections(self) -> int:
        """How many the process has, or will have."""
        return self._taken + len(self._unanswered)

    @property
    def has_room(self) -> bool:
        return self.ready and not self.leaving and len(self._unanswered) < _UNANSWERED_MAX

    def give(self, connection: socket.socket, listener: int = 0) -> bool:
        """Hand over a connection that came to the listener with this number, below ``LISTENERS_MAX``. False if that
        isn't possible now, and it stays the caller's.
        """
        try:
            socket.send_fds(self._socket, [bytes((CONNECTION | listener,))], [connection.fileno()])
        except OSError as error:  # its end is closed, or too many descriptors are under way (ETOOMANYREFS)
            if isinstance(error, ConnectionError):
                self.leaving = True
            return False
        self._unanswered.append(Accepted(connection, listener))
        self.last_turn = next(_turns)
        return True

    def stop(self) -> None:
        self._tell(STOP)

    def force(self) -> None:
        self._tell(FORCE)

    def watch(self) -> None:
        self._tell(WATCH)

    def _tell(self, what: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(what)

    def read(self) -> bool:
        """Heed what the process says, all of it; False when it says no more."""
        try:
            while said := self._socket.recv(4096):
                for octet in said:
                    self._heed(bytes((octet,)))
        except BlockingIOError:
            return True
        except OSError:
            pass  # ConnectionResetError: it died before it read what was given
        self.leaving = True
        return False

    def _heed(self, said: bytes) -> None:
        if said == TAKEN:
            self._unanswered.popleft().connection.close()
            self._taken += 1
        elif said == ENDED:
            self._taken -= 1
        elif said == READY:
            self.ready = True
        elif said == REFUSED:
            self.ready = False
            self._refused.append(self._unanswered.popleft())
        elif said == WATCHED:
            self.is_watched = True
        else:
            self.leaving = True
            self.stops_all = self.stops_all or said == STOP_ALL

    def take_back(self) -> list[Accepted]:
        """The connections that have to go elsewhere."""
        back, self._refused = self._refused, []
        if self.leaving:
            back.extend(self._unanswered)
            self._unanswered.clear()
        return back

    def close(self) -> None:
        """Close this end, and with it what nobody took. For the process this is the end of its parent."""
        for connection, _ in (*self._unanswered, *self._refused):
            connection.close()
        self._unanswered.clear()
        self._refused.clear()
        self._socket.close()

    def __repr__(self) -> str:
        state = "leaving" if self.leaving else "ready" if self.ready else "not ready"
        return f"<Outlet {state} connections={self._taken}+{len(self._unanswered)}>"


def choose(outlets: Iterable[Outlet]) -> Outlet | None:
    """Who gets the next connection: of those that have room the one with the fewest; of several each in its turn."""
    able = (outlet for outlet in outlets if outlet.has_room)
    return min(able, key=lambda outlet: (outlet.connections, outlet.last_turn), default=None)


class Intake:
    """The process's end. Belongs to its event loop, once opened."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.alone = False  # whether this process leaves while the others stay
        self._socket = sock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving = False
        self._resting = False
        self._unsent = b""
        self._retrying = False

    def obey(self, stop: Callable[[], None], force: Callable[[], None], watch: Callable[[], None]) -> None:
        """What to do when the parent says so. Before ``open``."""
        self._stop, self._force, self._watch = stop, force, watch

    def open(
        self, loop: asyncio.AbstractEventLoop, adopt: Callable[[socket.socket, int], asyncio.Future[bool]]
    ) -> None:
        """Begin to take connections. ``adopt`` gets each, and its listener's number, and tells whether it could make
        use of it.
        """
        self._loop = loop
        self._adopt = adopt
        loop.add_reader(self._socket.fileno(), self._read)
        self._tell(READY)

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                command, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                command, descriptors = b"", []
            if command >= b"\x80":
                self._take(descriptors, command[0] & ~CONNECTION)
            elif command == FORCE:
                self._force()
            elif command == WATCH:
                self._watch()
            else:
                self._stop()
                if not command:  # the parent is gone, and would be so at each turn of the loop
                    self._unwatch()
                    return

    def _take(self, descriptors: list[int], listener: int) -> None:
        if not descriptors:  # the system could give us none
            assert self._loop is not None
            self._tell(REFUSED)
            if not self._resting:
                self._resting = True
                self._loop.call_later(_PAUSE, self._ready_again)
            return
        connection = socket.socket(fileno=descriptors[0])
        if self._leaving:  # the parent has it too, and finds another process for it
            connection.close()
            return
        connection.set_inheritable(False)
        self._tell(TAKEN)
        self._adopt(connection, listener).add_done_callback(self._adopted)

    def _adopted(self, task: asyncio.Future[bool]) -> None:
        if task.cancelled() or task.exception() is not None or not task.result():
            self.lost()

    def _ready_again(self) -> None:
        self._resting = False
        if not self._leaving:
            self._tell(READY)

    def lost(self) -> None:
        """A connection that was taken has ended."""
        self._tell(ENDED)

    def watched(self) -> None:
        """Somebody asks how the server is: the others shall count, too."""
        self._tell(WATCHED)

    def leave(self) -> None:
        """Take no more."""
        self._leaving = True
        self._tell(LEAVING if self.alone else STOP_ALL)

    def _tell(self, what: bytes) -> None:
        self._unsent += what
        if not self._retrying:
            self._send()

    def _send(self) -> None:
        assert self._loop is not None
        self._retrying = False
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            self._retrying = True
            self._loop.call_later(_RETRY, self._send)
        except OSError:  # the parent is gone, or we are
            self._unsent = b""

    def _unwatch(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._unwatch()
            self._socket.close()

    def __repr__(self) -> str:
        return f"<Intake{' leaving' if self._leaving else ''}>"
