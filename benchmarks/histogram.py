"""Latencies as a histogram: small enough to keep every round's, and histograms of several rounds add up.

Buckets stand at equal ratios, so that a percentile is known to about 1 % whether it is microseconds or seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

PER_DOUBLING = 32  # buckets from one value to twice that value: 2.2 % apart


def histogram_of(seconds: Iterable[float]) -> dict[str, int]:
    """How many of the values fall into each bucket. The keys are text, as JSON's are."""
    counts = Counter(round(math.log2(max(value * 1e6, 1.0)) * PER_DOUBLING) for value in seconds)
    return {str(bucket): counts[bucket] for bucket in sorted(counts)}


def merged(histograms: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return {bucket: total[bucket] for bucket in sorted(total, key=int)}


def percentile(histogram: Mapping[str, int], share: float) -> float:
    """The value in microseconds that ``share`` (0 to 1) of the calls didn't exceed."""
    wanted = share * sum(histogram.values())
    seen = 0
    bucket = 0
    for bucket in sorted(map(int, histogram)):
        seen += histogram[str(bucket)]
        if seen >= wanted:
            break
    return 2 ** (bucket / PER_DOUBLING)
