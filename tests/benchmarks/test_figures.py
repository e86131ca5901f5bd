"""From raw rounds to figures."""

from __future__ import annotations

import pytest

from benchmarks import cases
from benchmarks.figures import cpu_per_call, disturbed, has_figures, held_rate, latency_of, value_of
from benchmarks.histogram import histogram_of, merged, percentile
from tests.benchmarks.reports import measured, rounds


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 50), (0.9, 90), (0.99, 99), (1, 100)])
def test_a_percentile_is_within_two_per_cent(share: float, expected: float) -> None:
    histogram = histogram_of(number / 1e6 for number in range(1, 101))
    assert percentile(histogram, share) == pytest.approx(expected, rel=0.02)


def test_a_slow_call_in_a_thousand_shows_only_behind_it() -> None:
    histogram = histogram_of([0.0001] * 998 + [0.5] * 2)
    assert percentile(histogram, 0.99) == pytest.approx(100, rel=0.02)
    assert percentile(histogram, 0.999) == pytest.approx(500_000, rel=0.02)


def test_histograms_of_rounds_add_up() -> None:
    few, many = histogram_of([0.001]), histogram_of([0.001, 0.1, 0.1])
    total = merged([few, many])
    assert sum(total.values()) == 4
    assert list(total) == sorted(total, key=int)
    assert percentile(total, 0.5) == pytest.approx(1000, rel=0.02)


@pytest.mark.parametrize(
    ("case", "expected"),
    [("alone", 20.0), ("flight-100", 50_000.0), ("payload-1m", 2 * cases.MIB / 20.0), ("stream", 50_000.0)],
)
def test_a_value_is_the_median_of_the_rounds_in_the_cases_unit(case: str, expected: float) -> None:
    assert value_of(cases.BY_KEY[case], rounds(10, 20, 400)) == pytest.approx(expected)


def test_cpu_is_told_apart_by_end() -> None:
    assert cpu_per_call(rounds(30)) == pytest.approx((20, 10))


def test_latencies_are_of_all_rounds_together() -> None:
    slow, quick = histogram_of([0.01]), histogram_of([0.0001] * 3)
    result = {"rounds": [measured(1000, histogram=slow), measured(1000, histogram=quick)]}
    assert latency_of(result, 0.5) == pytest.approx(100, rel=0.02)
    assert latency_of(result, 1) == pytest.approx(10_000, rel=0.02)


def test_a_rate_is_held_when_the_calls_took_no_longer_than_they_were_due() -> None:
    assert held_rate(rounds(1000, asked=1.0))
    assert not held_rate(rounds(1200, asked=1.0))


def test_what_is_missing_of_one_core_was_taken_by_others() -> None:
    quiet = measured(20)
    crowded = {**quiet, "client_cpu": 0.0}
    assert disturbed({"alone": {"async": {"rounds": [quiet]}}}) == 0
    assert disturbed({"alone": {"async": {"rounds": [quiet, crowded]}}}) == 0.5
    assert disturbed({"alone": {"grpc-sync": {"rounds": [crowded]}}}) is None  # that one may wait
    assert disturbed({}) is None


def test_no_rounds_are_no_figures() -> None:
    assert has_figures(rounds(1))
    assert not has_figures({"rounds": [], "cannot": "it can't"})
    assert not has_figures(None)
