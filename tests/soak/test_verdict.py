"""Each promise that a soak checks is broken here once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.soak import report
from tests.soak.verdict import broken

STATE = {
    "rss": 100_000,
    "blocks": 1000,
    "channels": 0,
    "links": 0,
    "tasks": 1,
    "threads": ["MainThread"],
    "workers": 1,
    "descriptors": 12,
    "complaints": [],
}
LEVEL = {
    "factor": 1.0,
    "offered": 100.0,
    "goodput": 99.0,
    "goodput_per_core": 120.0,
    "refused": 0.0,
    "late": 0.0,
    "other": [],
    "refused_ms": {},
}
OVER = {**LEVEL, "factor": 3.0, "offered": 300.0, "refused": 200.0, "refused_ms": {"p50": 1.0, "p90": 5.0, "p99": 20.0}}
FIGURES: dict[str, Any] = {
    "seconds": 60.0,
    "held": {"wanted": 2000, "least": 2003, "most": 2010, "most_rss": 120_000, "longest_gap": 1.2},
    "ledger": {"calls": {"plain": 1}, "wrong": [], "hung": [], "latest": 0.1},
    "killed": 1,
    "states": {"server": {"before": STATE, "after": {**STATE, "rss": 104_000, "workers": 2}}},
    "overload": [{"name": "x", "max_wait": None, "measures": ["goodput"], "capacity": LEVEL, "levels": [LEVEL, OVER]}],
}


def test_all_is_well() -> None:
    assert broken(FIGURES) == []
    assert report.text({**FIGURES, "broken": []}).endswith("\nall promises were kept")


def test_what_was_no_overload_after_all_has_no_refusals() -> None:
    figures = copy.deepcopy(FIGURES)
    figures["overload"][0]["levels"][1].update(goodput=299.0, refused=0.0, refused_ms={})
    assert broken(figures) == []


def test_who_waited_for_a_turn_may_be_refused_when_max_wait_is_over() -> None:
    figures = copy.deepcopy(FIGURES)
    load = figures["overload"][0]
    load["max_wait"] = 0.3
    load["levels"][1]["refused_ms"] = {"p50": 1.0, "p90": 5.0, "p99": 345.0}
    assert broken(figures) == []
    load["levels"][1]["refused_ms"] = {"p50": 1.0, "p90": 310.0, "p99": 551.0}
    assert broken(figures) == [
        "overload, x: 3 times the capacity: it took 310 ms to refuse a call (p90)",
        "overload, x: 3 times the capacity: it took 551 ms to refuse a call (p99)",
    ]


def set_after(**what: Any) -> Callable[[dict[str, Any]], None]:
    return lambda figures: figures["states"]["server"]["after"].update(what)


def set_over(**what: Any) -> Callable[[dict[str, Any]], None]:
    return lambda figures: figures["overload"][0]["levels"][1].update(what)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda f: f["ledger"]["wrong"].append("plain: x"), "a call ended as it should not: plain: x"),
        (lambda f: f["ledger"]["hung"].append("plain: x"), "a call hung: plain: x"),
        (lambda f: f["ledger"].update(calls={}), "no call was made"),
        (lambda f: f["held"].update(least=1999), "1999 connections at one time, and 2000 were to be held"),
        (set_after(rss=116_000), "server: rss grew by 16.0%: 100,000 before, 116,000 after"),
        (set_after(blocks=1060), "server: blocks grew by 6.0%: 1,000 before, 1,060 after"),
        (set_after(channels=1), "server: channels: 0 before, 1 after"),
        (set_after(links=1), "server: links: 0 before, 1 after"),
        (set_after(tasks=2), "server: tasks: 1 before, 2 after"),
        (set_after(threads=["MainThread", "x"]), "server: threads: ['MainThread'] before, ['MainThread', 'x'] after"),
        (set_after(descriptors=13), "server: descriptors: 12 before, 13 after"),
        (set_after(workers=9), "server: 9 worker threads"),
        (set_after(complaints=["Task was destroyed"]), "server: asyncio complained: Task was destroyed"),
        (set_over(goodput=70.0), "overload, x: 3 times the capacity: goodput is 71% of its peak"),
        (set_over(late=30.0), "overload, x: 3 times the capacity: 10% of the calls ended by their timeout"),
        (set_over(refused=0.0), "overload, x: 3 times the capacity: nothing was refused"),
        (
            set_over(refused_ms={"p50": 1.0, "p90": 5.0, "p99": 300.0}),
            "overload, x: 3 times the capacity: it took 300 ms to refuse a call (p99)",
        ),
        (set_over(other=["LostRemote()"]), "overload, x: 3 times the capacity: LostRemote()"),
    ],
)
def test_a_broken_promise_is_named(change: Callable[[dict[str, Any]], Any], complaint: str) -> None:
    figures = copy.deepcopy(FIGURES)
    change(figures)
    assert broken(figures) == [complaint]
    assert report.text({**figures, "broken": [complaint]}).endswith(f"\nNOT KEPT:\n  {complaint}")
