"""Latencies in a bounded room: a histogram with logarithmic buckets, as HdrHistogram has it.

Pure: times are passed in, in nanoseconds. A latency is kept with 8 significant bits, so what is read from the
histogram is within 0.4% of the truth, at any size and any number of calls, in 60 KB. (The hdrhistogram package has a
C extension, which an installation of ours must not need; and what is needed of it is the few lines below.)
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import NamedTuple

SIGNIFICANT_BITS = 8
HALF = SIGNIFICANT_BITS - 1
LONGEST_BITS = 63  # 292 years
SIZE = (LONGEST_BITS - SIGNIFICANT_BITS + 2) << HALF

# Where the lines of a drawn histogram may begin: steps per power of ten, the finest first.
STEPS: list[tuple[float, ...]] = [
    (1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1,),
]


class Row(NamedTuple):
    """How many latencies were at least `low` and below `high`, in nanoseconds."""

    low: float
    high: float
    calls: int


class Histogram:
    """Counts latencies. `count` and `longest` (ns) are exact; the rest is within 0.4%."""

    __slots__ = ("_buckets", "longest")

    def __init__(self) -> None:
        self.longest: int = 0
        self._buckets = [0] * SIZE

    def record(self, nanoseconds: int) -> None:
        """Count one latency."""
        shift = nanoseconds.bit_length() - SIGNIFICANT_BITS
        if shift > 0:  # the leading bits say which bucket of its power of two, from HALF's bits upwards
            self._buckets[(shift << HALF) + (nanoseconds >> shift)] += 1
        else:
            self._buckets[nanoseconds] += 1
        if nanoseconds > self.longest:  # noqa: PLR1730 - max() would make recording half as slow again
            self.longest = nanoseconds

    @property
    def count(self) -> int:
        """How many were recorded; summed up here, since recording has to be quick."""
        return sum(self._buckets)

    def percentile(self, percent: float) -> float:
        """The latency in ns that so many per cent of the calls did not exceed; NaN when there was no call."""
        rank = max(1, math.ceil(round(percent * self.count / 100, 6)))  # 99.9% of 1,000 is 999, not 999.0000000001
        for value, count in self._filled():
            rank -= count
            if rank <= 0:
                return value
        return math.nan

    def mean(self) -> float:
        """In ns; NaN when there was no call."""
        count = self.count
        return sum(value * times for value, times in self._filled()) / count if count else math.nan

    def rows(self, limit: int) -> list[Row]:
        """The whole histogram in at most `limit` rows (19 if that is less than 19), of logarithmic width.

        From the row with the shortest latency to that with the longest, empty ones between them included.
        """
        filled = [(max(1.0, value), count) for value, count in self._filled()]  # 0 has no logarithm
        if not filled:
            return []
        edges: list[float] = []
        for steps in STEPS:
            edges = _edges(steps, filled[0][0], filled[-1][0])
            if len(edges) <= limit + 1:
                break
        counts = [0] * (len(edges) - 1)
        for value, count in filled:
            counts[bisect_right(edges, value) - 1] += count
        return [Row(*row) for row in zip(edges[:-1], edges[1:], counts, strict=True)]

    def _filled(self) -> list[tuple[float, int]]:
        """The middle of each bucket that isn't empty, and its count, in order."""
        return [(min(_middle(index), self.longest), count) for index, count in enumerate(self._buckets) if count]


def _middle(index: int) -> float:
    shift = (index >> HALF) - 1
    if shift <= 0:
        return index
    return ((index - (shift << HALF)) << shift) + ((1 << shift) - 1) / 2


def _edges(steps: tuple[float, ...], lowest: float, highest: float) -> list[float]:
    """The steps from the last one that is not above the lowest value to the first one above the highest."""
    decades = range(math.floor(math.log10(lowest)), math.floor(math.log10(highest)) + 2)
    edges = [round(step * 10.0**decade, 1) for decade in decades for step in steps]
    return edges[bisect_right(edges, lowest) - 1 : bisect_right(edges, highest) + 1]
