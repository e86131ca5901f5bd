"""The histogram: what goes in comes out, within 0.4%."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerorpc.cli.latency import Histogram

PRECISION = 1 / 256  # 0.4%
LATENCIES = st.lists(st.integers(0, 2**40), min_size=1, max_size=200)


def filled(*latencies: int) -> Histogram:
    histogram = Histogram()
    for latency in latencies:
        histogram.record(latency)
    return histogram


@given(LATENCIES, st.sampled_from([0, 1, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_that_of_the_sorted_list(latencies: list[int], percent: float) -> None:
    rank = max(1, math.ceil(round(percent * len(latencies) / 100, 6)))
    truth = sorted(latencies)[rank - 1]
    assert filled(*latencies).percentile(percent) == pytest.approx(truth, rel=PRECISION, abs=0)


@given(LATENCIES)
def test_count_longest_and_mean(latencies: list[int]) -> None:
    histogram = filled(*latencies)
    assert (histogram.count, histogram.longest) == (len(latencies), max(latencies))
    assert histogram.mean() == pytest.approx(sum(latencies) / len(latencies), rel=PRECISION, abs=0)


@given(LATENCIES, st.integers(12, 40))
def test_rows_hold_every_latency_once(latencies: list[int], limit: int) -> None:
    rows = filled(*latencies).rows(max(19, limit))
    assert len(rows) <= max(19, limit)
    assert sum(row.calls for row in rows) == len(latencies)
    assert rows[0].calls
    assert rows[-1].calls
    assert all(row.low < row.high for row in rows)
    assert [row.low for row in rows[1:]] == [row.high for row in rows[:-1]]


@pytest.mark.parametrize("latency", [0, 1, 255, 256, 257, 999, 1000, 10**6, 2**62, 2**63 - 1])
def test_a_single_latency(latency: int) -> None:
    histogram = filled(latency)
    assert histogram.percentile(50) == pytest.approx(latency, rel=PRECISION)
    (row,) = histogram.rows(19)
    assert row.calls == 1
    assert row.low * (1 - PRECISION) <= max(1, latency) <= row.high * (1 + PRECISION)


@pytest.mark.parametrize(
    ("latencies", "limit", "edges"),
    [
        ([1_300_000, 1_700_000], 19, [1_200_000, 1_500_000]),
        ([100, 99_000], 19, [100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000]),
        ([100, 99_000], 9, [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000]),
        ([100, 99_000_000], 9, [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000]),
    ],
)
def test_rows_are_as_fine_as_their_number_allows(latencies: list[int], limit: int, edges: list[float]) -> None:
    assert [row.low for row in filled(*latencies).rows(limit)][: len(edges)] == edges[: len(edges)]


def test_empty() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.longest, histogram.rows(20)) == (0, 0, [])
    assert math.isnan(histogram.percentile(50))
    assert math.isnan(histogram.mean())
