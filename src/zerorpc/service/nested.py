"""Requests that a method waits for: it has called a function of its caller's, which calls here in turn.

They have places of their own, or the method would never end where it has the only one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from zerorpc.service.invocation import Invocation

__all__ = ["Nested", "Queued"]

_WAITING_MAX = 1024  # requests of one call that wait for others of it,
_OCTETS_MAX = 64 * 1024 * 1024  # and what they may hold


class Nested:
    """All of them, by ``outer``: what can't go on without them. ``start`` runs one. Belongs to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Callable[[Invocation], None]) -> None:
        self._loop = loop
        self._start = start
        self._of: dict[object, _Few] = {}
        self.running: dict[Invocation, _Few] = {}

    def submit(self, invocation: Invocation, outer: object, count: int) -> bool:
        """Run one, or let it wait where ``count`` of the same call run already; whether it wasn't too much."""
        few = self._of.get(outer)
        if few is None:
            few = self._of[outer] = _Few(outer, count)
        if few.running < few.count:
            self._run(invocation, few)
        elif len(few.waiting) >= _WAITING_MAX or few.octets >= _OCTETS_MAX:
            return False
        else:
            invocation.runner = _QUEUED
            few.keep(invocation)
        return True

    def _run(self, invocation: Invocation, few: _Few) -> None:
        few.running += 1
        self.running[invocation] = few
        self._start(invocation)

    def finish(self, invocation: Invocation) -> None:
        """A request has ended, perhaps one of these."""
        few = self.running.pop(invocation, None)
        if few is None:
            return
        few.running -= 1
        if few.waiting:
            self._loop.call_soon(self._start_waiting, few)  # not from here: this may be inside of a task
        elif not few.running:
            del self._of[few.outer]

    def _start_waiting(self, few: _Few) -> None:
        while few.waiting and few.running < few.count:
            invocation = few.take()
            if not invocation.closed:
                invocation.runner = None
                self._run(invocation, few)
                invocation.flush_soon()
        if not few.running and not few.waiting:
            self._of.pop(few.outer, None)

    def clear(self) -> list[Invocation]:
        """Take out all that wait."""
        return [few.take() for few in self._of.values() for _ in range(len(few.waiting))]

    def __repr__(self) -> str:
        return f"<Nested {len(self.running)} running>"


class _Few:
    """Those of one call; of these ``count`` may run at a time."""

    __slots__ = ("count", "octets", "outer", "running", "waiting")

    def __init__(self, outer: object, count: int) -> None:
        self.outer = outer
        self.count = count
        self.running = 0
        self.waiting: deque[Invocation] = deque()
        self.octets = 0  # of those that wait

    def keep(self, invocation: Invocation) -> None:
        self.waiting.append(invocation)
        self.octets += invocation.octets

    def take(self) -> Invocation:
        invocation = self.waiting.popleft()
        self.octets -= invocation.octets
        return invocation


class Queued:
    """The runner of a request that waits for its turn: nothing to wake."""

    def wake(self) -> None: ...


_QUEUED = Queued()
