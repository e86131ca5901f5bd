"""How a server is just now, for who asks for it: ``_zerorpc_status``, and ``GET /status``.

What it tells is counted, and looked for, only while somebody asks: from the first asking on, until nobody has asked for
ten seconds. Of several processes each leaves a note for the others meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from time import monotonic
from typing import Any

from zerorpc.doors.open_calls import OpenCall, of_invocations, of_peers
from zerorpc.errors import SERVER_ERRORS
from zerorpc.observe.counts import BUCKETS, GONE, OTHER, OUTCOMES, RAISED, Counts
from zerorpc.observe.failures import KEPT, Failures
from zerorpc.server.loop_watch import LoopWatch
from zerorpc.server.metering import Metering
from zerorpc.server.parts import Service
from zerorpc.server.status_notes import CALLS_MAX, Note, read_notes, write_note
from zerorpc.service.rights import STATUS
from zerorpc.version import VERSION

__all__ = ["Status"]

_UNASKED = 10.0  # s after the last asking that counting ends
_NOTE_EVERY = 1.0  # s; what others know of a process is no older, unless its loop is blocked
_DIED = OUTCOMES.index("WorkerDied")  # what a method did, though the server tells it
_REFUSED = [number for number, name in enumerate(OUTCOMES) if name in SERVER_ERRORS and number != _DIED]


class Status:
    """Of one server, which serves on ``loop`` since it ``began``, by ``time.monotonic()``. On that loop.

    ``count`` has all doors count calls from now on, or end that, and returns where they are counted.
    """

    def __init__(
        self, service: Service, loop: asyncio.AbstractEventLoop, began: float, count: Callable[[bool], Metering]
    ) -> None:
        self._service = service
        self._loop = loop
        self._count = count
        self._began = began
        self._metering: Metering | None = None  # while somebody asks
        self._counting_since = 0.0
        self._asked = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._failures: Failures = deque(maxlen=KEPT)
        self._watch = LoopWatch(loop)
        self._seen: dict[object, float] = {}  # when calls were first told of, whose beginning isn't known

    @property
    def is_asked(self) -> bool:
        """Whether somebody wants to know."""
        return self._metering is not None

    def tell(self) -> dict[str, Any]:
        """What docs/protocol.md says."""
        metering = self.heed()
        service, values, own = self._service, metering.sums(), self._note()
        gauges = Counts.gauges(values)
        whole = own.joined(() if metering.slabs is None else read_notes(metering.slabs.notes()))
        return {
            "time": own.time,
            "uptime": monotonic() - self._began,
            "counting_since": self._counting_since,
            "name": service.registry.name,
            "pid": own.pid,
            "version": VERSION,
            "processes": gauges.processes,
            "loop_lag": whole.lag,
            "connections": gauges.connections + gauges.http_connections,
            "streams": whole.streams,
            "running": gauges.running,
            "waiting": gauges.waiting,
            "threads": gauges.threads,
            "methods": list(_methods(metering.counts, values, service.registry.methods, whole.running)),
            "calls": whole.calls,
            "blocked": whole.blocked,
            "errors": whole.errors,
        }

    # Of this process

    def _note(self) -> Note:
        calls, now, pid = [call for call in self._open_calls() if call.method != STATUS], monotonic(), os.getpid()
        return Note(
            time=time.time(),
            pid=pid,
            lag=self._watch.lag,
            streams=sum(call.streams for call in calls),
            running=Counter(call.method for call in calls if not call.waits),
            calls=[{**self._told(call, now), "pid": pid} for call in self._oldest(calls, now)],
            blocked=[
                {"method": each.method, "seconds": each.seconds, "when": each.when, "stack": each.stack, "pid": pid}
                for each in reversed(self._watch.blocked)
            ],
            errors=[{**each._asdict(), "pid": pid} for each in reversed(self._failures)],
        )

    def _open_calls(self) -> Iterator[OpenCall]:
        service = self._service
        invocations = () if service.http is None else service.http.door.open_calls
        return chain(of_peers(link.peer for link in service.door.hub.links), of_invocations(invocations))

    def _oldest(self, calls: Iterable[OpenCall], now: float) -> list[OpenCall]:
        """The first of them, and of those whose beginning isn't known the time when they were first seen."""
        before, self._seen = self._seen, {}
        for call in calls:
            if call.came is None:
                self._seen[call.key] = before.get(call.key, now)
        return heapq.nsmallest(CALLS_MAX, calls, key=self._came)

    def _came(self, call: OpenCall) -> float:
        return self._seen[call.key] if call.came is None else call.came

    def _told(self, call: OpenCall, now: float) -> dict[str, Any]:
        state = "waiting" if call.waits else "running"
        told = {"method": call.method, "caller": call.caller, "seconds": max(0.0, now - self._came(call))}
        return {**told, "state": state, "at_least": call.came is None}

    # While somebody asks

    def heed(self) -> Metering:
        """Somebody asks, here or another process."""
        self._asked = monotonic()
        metering = self._metering
        if metering is None:
            metering = self._metering = self._count(True)
            self._counting_since = time.time()
            for tally in metering.counts.tallies.values():
                tally.failures = self._failures
            self._watch.start()
            self._go_on(metering)
        return metering

    def _go_on(self, metering: Metering) -> None:
        """Leave a note once a second, until nobody has asked for long."""
        if metering.slabs is not None and metering.slabs.mine is not None:
            metering.slabs.note(write_note(self._note()))
        self._timer = self._loop.call_later(min(_NOTE_EVERY, _UNASKED), self._look, metering)

    def _look(self, metering: Metering) -> None:
        if monotonic() - self._asked >= _UNASKED:
            self.close()
        else:
            self._go_on(metering)

    def close(self) -> None:
        """Nobody asks any more."""
        metering, self._metering = self._metering, None
        if metering is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        for tally in metering.counts.tallies.values():
            tally.failures = None
        if metering.slabs is not None and metering.slabs.mine is not None:
            metering.slabs.note(b"")
        self._count(False)
        self._watch.close()
        self._watch = LoopWatch(self._loop)
        self._seen = {}

    def __repr__(self) -> str:
        return f"<Status {'asked' if self.is_asked else 'idle'} {self._watch!r}>"


def _methods(
    counts: Counts, values: list[float], exposed: Iterable[str], running: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """What was counted of each method, whatever door its callers came by."""
    names = {*exposed, OTHER}
    outcomes = {name: [0.0] * len(OUTCOMES) for name in counts.methods if name in names}
    buckets = {name: [0.0] * (len(BUCKETS) + 1) for name in outcomes}
    for _, name, ended, histogram in counts.calls(values):
        if name in outcomes:
            outcomes[name] = [a + b for a, b in zip(outcomes[name], ended, strict=True)]
            buckets[name] = [a + b for a, b in zip(buckets[name], histogram.buckets, strict=True)]
    for name, ended in outcomes.items():
        if name == OTHER and not any(ended):
            continue
        yield {
            "name": name,
            "calls": int(sum(ended)),
            "errors": int(ended[RAISED] + ended[_DIED]),
            "refused": int(sum(ended[number] for number in _REFUSED)),
            "gone": int(ended[GONE]),
            "seconds": {"bounds": list(BUCKETS), "counts": list(map(int, buckets[name]))},
            "running": running.get(name, 0),
        }
