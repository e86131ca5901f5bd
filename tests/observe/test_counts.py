"""What is counted, and that rows of several processes can be added up."""

from __future__ import annotations

import pytest

from zerorpc.errors import SERVER_ERRORS, ServerOverloaded, UnknownMethod
from zerorpc.observe.counts import (
    BUCKETS,
    DOORS,
    GONE,
    LAG_BUCKETS,
    OK,
    OTHER,
    OUTCOMES,
    RAISED,
    Counts,
    Gauges,
    outcome_of,
)

METHODS = {"add": object(), "sub": object()}


def laid_out() -> Counts:
    counts = Counts()
    counts.lay_out(METHODS)
    return counts


def found(counts: Counts, values: list[float]) -> dict[tuple[str, str], dict[str, float]]:
    """Calls by door and method, each by outcome, without the zeros."""
    told = {
        (door, method): {name: number for name, number in zip(OUTCOMES, outcomes, strict=True) if number}
        for door, method, outcomes, _ in counts.calls(values)
    }
    return {key: outcomes for key, outcomes in told.items() if outcomes}


def test_calls_are_counted_by_door_method_and_outcome() -> None:
    counts = laid_out()
    rpc, http = (counts.tallies[door] for door in DOORS)
    rpc.end(METHODS["add"], OK, 0.1)
    rpc.end(METHODS["add"], OK, 0.1)
    rpc.end(METHODS["add"], RAISED, 0.1)
    rpc.end(METHODS["sub"], GONE, 0.1)
    http.end(METHODS["sub"], outcome_of(ServerOverloaded), 0.1)
    http.end(None, outcome_of(UnknownMethod), 0.1)
    http.end(object(), OK, 0.1)
    assert found(counts, counts.values(Gauges())) == {
        ("zerorpc", "add"): {"ok": 2, "raised": 1},
        ("zerorpc", "sub"): {"gone": 1},
        ("http", "sub"): {"ServerOverloaded": 1},
        ("http", OTHER): {"UnknownMethod": 1, "ok": 1},
    }


def test_each_error_of_a_server_is_an_outcome() -> None:
    assert [OUTCOMES[outcome_of(kind)] for kind in SERVER_ERRORS.values()] == list(SERVER_ERRORS)
    assert OUTCOMES[outcome_of(None)] == OUTCOMES[outcome_of(ValueError)] == "raised"


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.0001, 0), (0.00011, 1), (1.0, BUCKETS.index(1.0)), (30.0, len(BUCKETS) - 1), (31.0, len(BUCKETS))],
)
def test_a_bucket_holds_its_bound(seconds: float, bucket: int) -> None:
    counts = laid_out()
    counts.tallies["zerorpc"].end(METHODS["add"], OK, seconds)
    _, _, _, histogram = next(counts.calls(counts.values(Gauges())))
    assert [place for place, number in enumerate(histogram.buckets) if number] == [bucket]
    assert histogram.sum == seconds


def test_lag_octets_and_gauges() -> None:
    counts = laid_out()
    counts.add_lag(0.02)
    counts.add_lag(100.0)
    counts.tallies["http"].received += 5
    counts.tallies["zerorpc"].sent += 7
    values = counts.values(Gauges(running=3, processes=1))
    lag = counts.lag(values)
    assert [place for place, number in enumerate(lag.buckets) if number] == [2, len(LAG_BUCKETS)]
    assert lag.sum == pytest.approx(100.02)
    assert (counts.octets(values, "zerorpc"), counts.octets(values, "http")) == ((0, 7), (5, 0))
    assert counts.gauges(values) == Gauges(running=3, processes=1)
    assert len(values) == counts.width


def test_the_rows_of_two_processes_add_up_and_another_goes_on_with_one() -> None:
    one, two = laid_out(), laid_out()
    one.tallies["zerorpc"].end(METHODS["add"], OK, 0.5)
    one.tallies["zerorpc"].received += 10
    one.add_lag(0.5)
    two.tallies["zerorpc"].end(METHODS["add"], RAISED, 0.5)
    both = [a + b for a, b in zip(one.values(Gauges(running=1)), two.values(Gauges(running=2)), strict=True)]
    assert found(one, both) == {("zerorpc", "add"): {"ok": 1, "raised": 1}}
    assert one.gauges(both).running == 3
    next_one = laid_out()
    next_one.go_on_from(both)
    next_one.tallies["zerorpc"].end(METHODS["add"], OK, 0.5)
    values = next_one.values(Gauges())
    assert found(next_one, values) == {("zerorpc", "add"): {"ok": 2, "raised": 1}}
    assert next_one.gauges(values) == Gauges()
    assert next_one.octets(values, "zerorpc") == (10, 0)
    assert next_one.lag(values).sum == 0.5
    assert repr(next_one.tallies["zerorpc"]) == "<Tally 3 calls>"
    assert repr(next_one).startswith("<Counts of 3 methods ")
