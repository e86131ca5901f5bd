"""What one process of a server has counted: a row of numbers, whose order follows from the names of the methods.

So processes that have the same methods can add theirs up, number by number, and a process can go on where another one
ended. Nothing here knows what time it is, nor who reads the numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from zerorpc.errors import SERVER_ERRORS
from zerorpc.observe.failures import Failures

__all__ = [
    "BUCKETS",
    "DOORS",
    "GONE",
    "LAG_BUCKETS",
    "OK",
    "OTHER",
    "OUTCOMES",
    "RAISED",
    "Counts",
    "Gauges",
    "Histogram",
    "Tally",
    "outcome_of",
]

DOORS = ("zerorpc", "http")
OUTCOMES = ("ok", "raised", "gone", *SERVER_ERRORS)  # by number; "gone": its caller waited no longer
OK, RAISED, GONE = range(3)
OTHER = "(other)"  # all calls of what was not exposed when the server began to serve: so labels stay few

# Upper bounds in seconds. From 2.5 ms to 10 s those of Prometheus' own clients, which dashboards expect; below, since a
# short coroutine method takes 20 us and a plain one 100; and 30 s, the usual timeout of a call.
BUCKETS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# From what a busy machine does to any timer, to a loop that stands still for longer than heartbeats wait.
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_REFUSED: dict[type[BaseException], int] = {kind: OUTCOMES.index(name) for name, kind in SERVER_ERRORS.items()}


def outcome_of(refused: type[BaseException] | None) -> int:
    """The number of the outcome of a call that failed: what the server said in place of the method, if it did."""
    return RAISED if refused is None else _REFUSED.get(refused, RAISED)


class Gauges(NamedTuple):
    """How a process stands just now."""

    running: int = 0  # methods
    waiting: int = 0  # requests
    streams: int = 0  # that are open
    connections: int = 0  # of zerorpc
    http_connections: int = 0
    threads: int = 0  # for plain methods
    workers: int = 0  # processes for methods that are marked with @process,
    busy_workers: int = 0  # and those that run one
    processes: int = 0  # that serve


class Histogram(NamedTuple):
    """``buckets``: how many fell into each, those above the last bound at the end; ``sum`` of all."""

    buckets: Sequence[float]
    sum: float


_LAG_AT = len(Gauges._fields)
_OCTETS_AT = _LAG_AT + len(LAG_BUCKETS) + 2
_ROWS_AT = _OCTETS_AT + 2 * len(DOORS)
# Of a row, which a method has at each door: the sum of its seconds; how many calls had each outcome but the first one,
# which had all others; the histogram.
_BUCKETS_AT = len(OUTCOMES)
_ROW = _BUCKETS_AT + len(BUCKETS) + 1
_SHORTEST = BUCKETS[0]


class Tally:
    """What counts the calls of one door. On the loop, but for ``streams``, which is safe from any thread.

    ``received`` and ``sent`` are octets, which whoever counts adds to: that is cheaper than to hand them over.
    """

    __slots__ = ("_other", "_rows", "failures", "received", "sent", "streams")

    def __init__(self, streams: set[object]) -> None:
        self.streams: set[object] = streams  # the calls that stream
        self.failures: Failures | None = None  # where failed calls are noted while somebody wants to know
        self.received: float = 0
        self.sent: float = 0
        self._rows: dict[object, list[float]] = {}
        self._other: list[float] = [0] * _ROW

    def lay_out(self, keys: Iterable[object]) -> None:
        self._rows.update((key, [0] * _ROW) for key in keys)

    def end(self, method: object, outcome: int, seconds: float) -> None:
        """A call has ended, ``seconds`` after its request came."""
        try:
            row = self._rows[method]
        except KeyError:
            row = self._other
        row[0] += seconds
        if outcome:
            row[outcome] += 1
        row[_BUCKETS_AT if seconds <= _SHORTEST else _BUCKETS_AT + bisect_left(BUCKETS, seconds)] += 1

    @property
    def rows(self) -> list[list[float]]:
        """In the order of the methods, and all others last."""
        return [*self._rows.values(), self._other]

    def __repr__(self) -> str:
        return f"<Tally {sum(sum(row[_BUCKETS_AT:]) for row in self.rows):g} calls>"


class Counts:
    """All numbers of one process, and the names that they belong to. Belongs to the loop."""

    def __init__(self) -> None:
        self.methods: tuple[str, ...] = ()  # none until ``lay_out``
        self.streams: set[object] = set()
        self.tallies: dict[str, Tally] = {door: Tally(self.streams) for door in DOORS}
        self._lag: list[float] = [0] * (len(LAG_BUCKETS) + 2)

    def lay_out(self, methods: Mapping[str, Hashable]) -> None:
        """Make room for these, by name, each with what ``Tally.end`` is told in its place. Once, before any call."""
        self.methods = (*methods, OTHER)
        for tally in self.tallies.values():
            tally.lay_out(methods.values())

    @property
    def width(self) -> int:
        """How many numbers there are."""
        return _ROWS_AT + _ROW * len(DOORS) * len(self.methods)

    def add_lag(self, seconds: float) -> None:
        """A timer of the event loop came so late."""
        self._lag[bisect_left(LAG_BUCKETS, seconds)] += 1
        self._lag[-1] += seconds

    def values(self, gauges: Gauges) -> list[float]:
        """All numbers now."""
        tallies = self.tallies.values()
        values = [*gauges, *self._lag]
        for tally in tallies:
            values += (tally.received, tally.sent)
        for tally in tallies:
            values += chain.from_iterable(tally.rows)
        return values

    def go_on_from(self, values: Sequence[float]) -> None:
        """Begin with what a process had counted that has ended: counters never fall."""
        self._lag[:] = values[_LAG_AT:_OCTETS_AT]
        at = _ROWS_AT
        for door, tally in self.tallies.items():
            tally.received, tally.sent = self.octets(values, door)
            for row in tally.rows:
                row[:] = values[at : at + _ROW]
                at += _ROW

    # To read ``values``, of this process or of several, added up

    @staticmethod
    def gauges(values: Sequence[float]) -> Gauges:
        return Gauges(*map(int, values[:_LAG_AT]))

    @staticmethod
    def lag(values: Sequence[float]) -> Histogram:
        return Histogram(values[_LAG_AT : _OCTETS_AT - 1], values[_OCTETS_AT - 1])

    @staticmethod
    def octets(values: Sequence[float], door: str) -> tuple[float, float]:
        """Received and sent."""
        at = _OCTETS_AT + 2 * DOORS.index(door)
        return values[at], values[at + 1]

    def calls(self, values: Sequence[float]) -> Iterator[tuple[str, str, Sequence[float], Histogram]]:
        """Door, method, how many calls had each outcome, and how long they took."""
        at = _ROWS_AT
        for door in DOORS:
            for method in self.methods:
                seconds, *failed = values[at : at + _BUCKETS_AT]
                buckets = values[at + _BUCKETS_AT : at + _ROW]
                yield door, method, (sum(buckets) - sum(failed), *failed), Histogram(buckets, seconds)
                at += _ROW

    def __repr__(self) -> str:
        return f"<Counts of {len(self.methods)} methods {self.tallies}>"
