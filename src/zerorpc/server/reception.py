"""Where connections to a server in several processes are accepted, and which of the processes gets each."""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable

from zerorpc.transport.handover import Accepted, Outlet, choose
from zerorpc.transport.sockets import OUT_OF_DESCRIPTORS, Listener

__all__ = ["Reception"]

_PATIENCE = 2.0  # s that connections wait for a process that is starting; measured: 0.03 s from fork to ready
_BATCH = 128  # connections accepted before anything else has its turn
_PAUSE = 0.1  # s without accepting when the system has no descriptors left
_RETRY = 0.05  # s until a connection that no process could be given is tried again


class Reception:
    """Accepts while there is a process to take connections; otherwise they wait in the system's queue.

    They also wait a moment for a process that is starting: it would never get its share if all clients of the one
    before it were back already, with the others.

    Arguments: ``listeners`` where to accept, watched by ``selector``, whose keys' data is called; ``outlets`` to the
    processes that live; ``starting`` tells when each process was started that isn't ready yet.
    """

    def __init__(
        self,
        listeners: list[Listener],
        selector: selectors.BaseSelector,
        outlets: Callable[[], list[Outlet]],
        starting: Callable[[], list[float]],
    ) -> None:
        self._listeners = listeners
        self._selector = selector
        self._outlets = outlets
        self._starting = starting
        self._unassigned: deque[Accepted] = deque()  # and with no process
        self._listening = False
        self._accept_at = 0.0
        self._ended = False

    def listen(self, now: float) -> None:
        """Watch the listeners, or don't for now, whichever is right."""
        wanted = not self._ended and now >= max(self._moments())
        wanted = wanted and not self._unassigned and choose(self._outlets()) is not None
        if wanted is self._listening:
            return
        self._listening = wanted
        for number, listener in enumerate(self._listeners):
            if wanted:
                self._selector.register(listener, selectors.EVENT_READ, lambda each=number: self._accept(each))
            else:
                self._selector.unregister(listener)

    def _moments(self) -> list[float]:
        """When each reason to wait with accepting comes to an end, if nothing else ends it before."""
        return [self._accept_at, *(started + _PATIENCE for started in self._starting())]

    def due(self, now: float) -> list[float]:
        """When there will be something to do, if nothing else happens."""
        due = [moment for moment in self._moments() if moment > now]
        if self._unassigned and choose(self._outlets()) is not None:
            due.append(now + _RETRY)
        return due

    def _accept(self, number: int) -> None:
        for _ in range(_BATCH):
            if self._ended or self._unassigned or choose(self._outlets()) is None:
                return
            try:
                self._unassigned.append(Accepted(self._listeners[number].accept(), number))
            except OSError as error:  # mostly BlockingIOError: that was the last one
                if error.errno in OUT_OF_DESCRIPTORS:
                    self._accept_at = time.monotonic() + _PAUSE
                return
            self.assign()

    def take_back(self, connections: list[Accepted]) -> None:
        """A process didn't take these: others shall."""
        self._unassigned.extend(connections)

    def assign(self) -> None:
        """Give those that wait to the processes."""
        while self._unassigned and (outlet := choose(self._outlets())) is not None:
            if not outlet.give(*self._unassigned[0]):
                break
            self._unassigned.popleft()
        if self._ended:
            self.drop()

    def end(self) -> None:
        """Accept no more."""
        self._ended = True
        self.listen(0.0)

    def drop(self) -> None:
        """Close those that no process will take."""
        while self._unassigned:
            self._unassigned.popleft().connection.close()

    def __repr__(self) -> str:
        state = "ended" if self._ended else "listening" if self._listening else "not listening"
        return f"<Reception {state} unassigned={len(self._unassigned)}>"
