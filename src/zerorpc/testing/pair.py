"""An in-process client and its server: the connection between them, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from zerorpc.testing.clock import Clock
from zerorpc.testing.faults import Faults
from zerorpc.testing.host import Host
from zerorpc.testing.memory import Lane

__all__ = ["Pair"]


class Pair:
    """Both sides, as the clock and the faults see them. When the connection is lost, there is another at once."""

    def __init__(
        self, host: Host, loop: asyncio.AbstractEventLoop, clock: Clock | None = None, faults: Faults | None = None
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self._host = host
        self._clock = clock
        self._faults = Faults() if faults is None else faults
        self._lanes: tuple[Lane, ...] = ()  # to the client, to the server; none when it is not connected
        self._open = False

    def _opened(self) -> None:
        self._open = True
        if self._clock is not None:
            self._clock.attach(self)
        self._faults.attach(self)
        if not self._faults.refused:
            self._connect()

    def _closed(self) -> None:
        self._open = False
        if self._clock is not None:
            self._clock.detach(self)

    def _connect(self) -> None:
        """Be connected anew."""
        time = monotonic if self._clock is None else self._clock.time
        directions = self._faults.to_client, self._faults.to_server
        self._lanes = to_client, to_server = tuple(Lane(direction, time, self._later) for direction in directions)
        self._join(to_client, to_server)

    def _later(self, when: float, act: Callable[[], object]) -> None:
        if self._clock is not None:
            self._clock.call_at(self.loop, when, act)
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(lambda: self.loop.call_later(when - monotonic(), act))

    def _connect_again(self) -> None:
        """The connection is lost, for whatever reason."""
        if self._open and not self._faults.refused and self._host.serves:
            self._connect()

    @property
    def _is_connected(self) -> bool:
        raise NotImplementedError

    def _join(self, to_client: Lane, to_server: Lane) -> None:
        raise NotImplementedError

    # For the faults. One at a time, and none while a connection is made: a second one would be nobody's.

    def cut(self) -> None:
        self._apart(self._cut)

    def changed(self) -> None:
        """It looks at them by itself."""

    def healed(self) -> None:
        self._apart(self._heal)

    def _apart(self, act: Callable[[], None]) -> None:
        """Do it while nobody makes a connection."""
        raise NotImplementedError

    def _cut(self) -> None:
        for lane in self._lanes:
            lane.cut()
        self._lanes = ()
        if self._open and not self._faults.refused:
            self._connect()

    def _heal(self) -> None:
        if not self._is_connected or any(lane.is_broken for lane in self._lanes):
            self._cut()
        else:
            for lane in self._lanes:
                lane.heal()

    # For the clock

    @property
    def busy(self) -> bool:
        return any(lane.readable for lane in self._lanes)

    @property
    def progress(self) -> int:
        return sum(lane.taken for lane in self._lanes)

    @property
    def next_wake(self) -> float | None:
        raise NotImplementedError

    def look_after(self) -> None:
        raise NotImplementedError

    def run(self, act: Callable[[], None], turns: int) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'open' if self._open else 'closed'} {list(self._lanes)}>"
