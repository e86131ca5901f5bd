"""What ``zerorpc top`` makes of what a server tells: rates and latencies, from two answers and the time between them.

Pure. A server may tell anything: ``read_status`` takes what makes sense.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from msgspec import Struct, ValidationError, convert, field

WINDOW = 5.0  # s over which rates and latencies are told: long enough for a figure, short enough for a change
SORTS = ("calls/s", "p99", "errors", "running", "method")
HISTORY = 120  # rates that are kept for the curve


class Buckets(Struct):
    """How many calls took how long: up to each of the bounds, in seconds, and longer."""

    bounds: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)


class MethodStatus(Struct):
    name: str
    calls: float = 0
    errors: float = 0
    refused: float = 0
    running: float = 0
    seconds: Buckets = field(default_factory=Buckets)


class CallStatus(Struct):
    method: str
    caller: str = ""
    seconds: float = 0
    state: str = "running"
    at_least: bool = False


class BlockedStatus(Struct):
    method: str | None = None
    seconds: float = 0
    when: float = 0
    stack: str = ""


class ErrorStatus(Struct):
    method: str
    error: str = ""
    message: str = ""
    when: float = 0
    caller: str = ""


class Status(Struct):
    """One answer to ``_zerorpc_status`` (docs/protocol.md)."""

    time: float
    methods: list[MethodStatus]
    uptime: float = 0
    name: str = ""
    pid: int = 0
    version: str = ""
    processes: int = 1
    loop_lag: float = 0
    connections: int = 0
    streams: int = 0
    running: int = 0
    waiting: int = 0
    calls: list[CallStatus] = field(default_factory=list)
    blocked: list[BlockedStatus] = field(default_factory=list)
    errors: list[ErrorStatus] = field(default_factory=list)


def read_status(answer: Any) -> Status | None:
    """None if it is none."""
    try:
        return convert(answer, Status)
    except ValidationError:
        return None


class Row(NamedTuple):
    """One method: ``rate`` in calls a second; latencies in seconds, None where nothing was called; and whether the
    latest of its ``errors`` came in the last seconds.
    """

    method: str
    rate: float
    p50: float | None
    p99: float | None
    errors: float
    is_failing: bool
    refused: float
    running: float
    calls: float


class Figures:
    """What the answers of the last seconds come to. ``add`` each of them."""

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=HISTORY)  # of all methods, from one answer to the next
        self._answers: deque[Status] = deque()

    @property
    def newest(self) -> Status:
        return self._answers[-1]

    def add(self, status: Status) -> None:
        before = self._answers[-1] if self._answers else None
        if before is not None and (status.pid != before.pid or _calls(status) < _calls(before)):
            self._answers.clear()  # it has started again, or another process answers
        elif before is not None and status.time > before.time:
            self.rates.append((_calls(status) - _calls(before)) / (status.time - before.time))
        self._answers.append(status)
        while len(self._answers) > 2 and status.time - self._answers[1].time >= WINDOW:
            self._answers.popleft()

    @property
    def rate(self) -> float:
        """Calls a second, of all methods."""
        return sum(row.rate for row in self.rows("method"))

    def rows(self, sort: str) -> list[Row]:
        """The methods, those first of which there is most."""
        newest, oldest = self._answers[-1], self._answers[0]
        seconds = newest.time - oldest.time
        before = {method.name: method for method in oldest.methods}
        rows = [_row(method, before.get(method.name), seconds) for method in newest.methods]
        return sorted(sorted(rows, key=lambda row: row.method), key=_KEYS[sort], reverse=sort != "method")


def _calls(status: Status) -> float:
    return sum(method.calls for method in status.methods)


def _row(now: MethodStatus, before: MethodStatus | None, seconds: float) -> Row:
    counts, bounds = now.seconds.counts, now.seconds.bounds
    calls = errors = 0.0
    recent: Sequence[float] = ()
    if before is not None and len(before.seconds.counts) == len(counts) == len(bounds) + 1:
        calls, errors = now.calls - before.calls, now.errors - before.errors
        recent = [max(0.0, a - b) for a, b in zip(counts, before.seconds.counts, strict=True)]
    rate = max(0.0, calls) / seconds if seconds > 0 else 0.0
    p50, p99 = (quantile(bounds, recent, share) for share in (0.5, 0.99))
    return Row(now.name, rate, p50, p99, now.errors, errors > 0, now.refused, now.running, now.calls)


def quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """How long so great a share of the calls took at most: as if those of one bucket were spread over it evenly, as
    Prometheus' histogram_quantile does it. The last bound for those beyond it; None if there are none at all.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    for place, up_to in enumerate(accumulate(counts)):
        if up_to >= wanted and counts[place]:
            if place >= len(bounds):
                break
            lower = bounds[place - 1] if place else 0.0
            return lower + (bounds[place] - lower) * (wanted - (up_to - counts[place])) / counts[place]
    return bounds[-1] if bounds else None


_KEYS = {
    "calls/s": lambda row: (row.rate, row.calls),
    "p99": lambda row: row.p99 or 0.0,
    "errors": lambda row: row.errors,
    "running": lambda row: row.running,
    "method": lambda row: row.method,
}
