"""What ``zerorpc top`` makes of a server's answers."""

from __future__ import annotations

from typing import Any

import pytest

from zerorpc.cli.top_figures import SORTS, WINDOW, Figures, quantile, read_status

BOUNDS = [0.001, 0.01, 0.1]


def told(time: float, pid: int = 1, **methods: tuple[int, int, list[int]]) -> dict[str, Any]:
    """An answer: of each method calls, errors, and how many took how long."""
    return {
        "time": time,
        "pid": pid,
        "methods": [
            {"name": name, "calls": calls, "errors": errors, "seconds": {"bounds": BOUNDS, "counts": counts}}
            for name, (calls, errors, counts) in methods.items()
        ],
    }


def figures(*answers: dict[str, Any]) -> Figures:
    made = Figures()
    for answer in answers:
        status = read_status(answer)
        assert status is not None
        made.add(status)
    return made


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 0.0005),
        ([0, 10, 0, 0], 0.5, 0.001 + 0.009 / 2),
        ([50, 50, 0, 0], 0.5, 0.001),
        ([50, 50, 0, 0], 0.75, 0.001 + 0.009 / 2),
        ([99, 0, 1, 0], 0.99, 0.001),
        ([98, 0, 2, 0], 0.99, 0.01 + 0.09 / 2),
        ([0, 0, 0, 3], 0.5, 0.1),  # beyond the last bound: nobody knows how far
    ],
)
def test_quantiles_of_a_histogram(counts: list[int], share: float, seconds: float | None) -> None:
    assert quantile(BOUNDS, counts, share) == (seconds if seconds is None else pytest.approx(seconds))


def test_rates_and_latencies_are_those_of_the_last_seconds() -> None:
    made = figures(
        told(100.0, move=(1000, 7, [1000, 0, 0, 0]), home=(5, 0, [5, 0, 0, 0])),
        told(102.0, move=(1010, 7, [1000, 10, 0, 0]), home=(5, 0, [5, 0, 0, 0])),
    )
    move, home = made.rows("calls/s")
    assert (move.method, move.rate, move.errors, move.is_failing, move.calls) == ("move", 5.0, 7, False, 1010)
    assert move.p50 == pytest.approx(0.0055)
    assert (home.rate, home.p50, home.p99) == (0, None, None)
    assert made.rate == 5.0
    assert list(made.rates) == [5.0]


def test_what_is_older_than_the_window_counts_no_more() -> None:
    answers = [told(float(n), move=(n * n, 0, [n * n, 0, 0, 0])) for n in range(20)]
    (row,) = figures(*answers).rows("calls/s")
    assert row.rate == (19 * 19 - 14 * 14) / WINDOW


def test_a_server_that_has_started_again_begins_anew() -> None:
    first, fewer = told(1.0, move=(100, 0, [100, 0, 0, 0])), told(2.0, move=(3, 0, [3, 0, 0, 0]))
    other = told(2.0, 2, move=(200, 0, [200, 0, 0, 0]))
    for second in (fewer, other):
        made = figures(first, second)
        assert [row.rate for row in made.rows("calls/s")] == [0]
        assert not made.rates


def test_one_answer_alone_has_no_rates() -> None:
    (row,) = figures(told(1.0, move=(100, 0, [100, 0, 0, 0]))).rows("calls/s")
    assert (row.rate, row.p50, row.calls) == (0.0, None, 100)


def test_sorted_by_each_column() -> None:
    made = figures(
        told(1.0, a=(0, 0, [0, 0, 0, 0]), b=(0, 0, [0, 0, 0, 0]), c=(0, 0, [0, 0, 0, 0])),
        told(2.0, a=(1, 1, [0, 0, 1, 0]), b=(3, 0, [3, 0, 0, 0]), c=(2, 2, [0, 2, 0, 0])),
    )
    made.newest.methods[1].running = 4
    found = {sort: "".join(row.method for row in made.rows(sort)) for sort in SORTS}
    assert found == {"calls/s": "bca", "p99": "acb", "errors": "cab", "running": "bac", "method": "abc"}
    assert [row.is_failing for row in made.rows("method")] == [True, False, True]


@pytest.mark.parametrize("answer", [None, [], {}, {"time": 1}, {"time": "1", "methods": []}, {"methods": [{}]}, "x"])
def test_what_is_no_status(answer: object) -> None:
    assert read_status(answer) is None


def test_a_status_of_another_version_is_read_as_far_as_it_goes() -> None:
    status = read_status({"time": 1, "methods": [{"name": "m", "new": 1}], "newer": {}})
    assert status is not None
    made = Figures()
    made.add(status)
    assert made.rows("p99")[0].p99 is None
