"""What a server counts, beside its calls: how it stands, how late its loop is; and what its other processes count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from zerorpc.observe.counts import Counts, Gauges
from zerorpc.observe.exposition import exposition
from zerorpc.server.slabs import Slabs
from zerorpc.service.registry import Registry

__all__ = ["Metering"]

_TICK = 0.25  # s between two looks at how late the loop is; each takes some microseconds
_TICKS = 4  # of these from one time that others are told what this process has counted to the next


class Metering:
    """Of one server that has ``metrics``. On its loop, once that runs.

    ``look`` tells how the process stands.
    """

    def __init__(self, registry: Registry, look: Callable[[], Gauges]) -> None:
        self.counts: Counts = Counts()
        self.slabs: Slabs | None = None  # of several processes
        self._registry = registry
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ticks = 0

    def lay_out(self, processes: int = 1) -> None:
        """All methods are registered. Before the first fork, if there are several processes."""
        if self.counts.methods:
            return
        self.counts.lay_out(self._registry.answering)
        if processes > 1:
            self.slabs = Slabs(processes, self.counts.width)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """This process serves, and counts. It may do so again after ``close``."""
        self.lay_out()
        if self._timer is None and self.slabs is not None and self.slabs.mine is not None:
            self.counts.go_on_from(self.slabs.read())
        self._wait(loop)
        self._publish()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = monotonic() + _TICK
        self._timer = loop.call_later(_TICK, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.counts.add_lag(max(0.0, monotonic() - self._due))
        self._wait(loop)
        self._ticks += 1
        if self._ticks % _TICKS == 0:
            self._publish()

    def _publish(self) -> None:
        if self.slabs is not None and self.slabs.mine is not None:
            self.slabs.write(self.counts.values(self._look()))

    def text(self) -> bytes:
        """What it has counted, and all others, as Prometheus has it."""
        return exposition(self.counts, self.sums())

    def sums(self) -> list[float]:
        """What it has counted, and all others.

        Others see at once what is told here: else it would be more than what they tell when this process has died.
        """
        values = self.counts.values(self._look())
        if self.slabs is not None:
            self._publish()
            values = [sum(numbers) for numbers in zip(values, *self.slabs.others(), strict=True)]
        return values

    def close(self) -> None:
        """It counts no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._publish()

    def __repr__(self) -> str:
        return f"<Metering {self.counts!r} {self.slabs!r}>"
