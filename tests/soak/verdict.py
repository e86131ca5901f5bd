"""What has to hold after a soak. Pure: figures in, broken promises out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.soak.state import KEPT

MEMORY = 0.05  # by so much more than before it may be
# Of the same as the system counts it. A minute after the start it still grew by 7 to 10%, with no more blocks.
RESIDENT = 0.15
SAME = ("channels", "links", "tasks", "threads", "descriptors")  # before and after
GOODPUT = 0.8  # of its peak, however much is offered
# In ms, a quarter of what the callers would wait, for nine of ten. The tenth may wait for its turn by a wrong guess,
# and be refused when ``max_wait`` is over: so were less than 5% while other programs kept both cores busy.
REFUSED_MS = 250.0
LATE = 0.02  # of what is offered may end by its timeout instead of an answer
ALL = 0.95  # of what is offered: then it was no overload
OVER = 2.0  # times the capacity, from which on it is overload


def broken(figures: Mapping[str, Any]) -> list[str]:
    """Every promise that was not kept, in words."""
    return [
        *_broken_by_calls(figures["ledger"]),
        *_broken_connections(figures["held"]),
        *(f"{name}: {what}" for name, states in figures["states"].items() for what in _broken_by_state(**states)),
        *(f"overload, {load['name']}: {what}" for load in figures["overload"] for what in _broken_by_load(load)),
    ]


def _broken_by_calls(ledger: Mapping[str, Any]) -> Iterator[str]:
    for wrong in ledger["wrong"]:
        yield f"a call ended as it should not: {wrong}"
    for hung in ledger["hung"]:
        yield f"a call hung: {hung}"
    if not ledger["calls"]:
        yield "no call was made"


def _broken_connections(held: Mapping[str, Any]) -> Iterator[str]:
    if held["least"] < held["wanted"]:
        yield f"{held['least']} connections at one time, and {held['wanted']} were to be held"


def _broken_by_state(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name, most in (("rss", RESIDENT), ("blocks", MEMORY)):
        if after[name] > before[name] * (1 + most):
            yield f"{name} grew by {after[name] / before[name] - 1:.1%}: {before[name]:,} before, {after[name]:,} after"
    for name in SAME:
        if after[name] != before[name]:
            yield f"{name}: {before[name]} before, {after[name]} after"
    if after["workers"] > KEPT:
        yield f"{after['workers']} worker threads"
    for complaint in after["complaints"]:
        yield f"asyncio complained: {complaint}"


def share_of_peak(load: Mapping[str, Any], level: Mapping[str, Any]) -> float:
    """How much of the most was answered in time: by the clock, or by the server's CPU time where ``measures`` say so.

    The larger of the two: when other programs take some of the core meanwhile, they don't take it from both.
    """
    return max(float(level[by] / max(other[by] for other in load["levels"])) for by in load["measures"])


def _broken_by_load(load: Mapping[str, Any]) -> Iterator[str]:
    for level in load["levels"]:
        factor = f"{level['factor']:g} times the capacity"
        for other in level["other"]:
            yield f"{factor}: {other}"
        if level["factor"] < OVER:
            continue
        if (share := share_of_peak(load, level)) < GOODPUT:
            yield f"{factor}: goodput is {share:.0%} of its peak"
        if level["late"] > LATE * level["offered"]:
            yield f"{factor}: {level['late'] / level['offered']:.0%} of the calls ended by their timeout"
        # else this machine has become quicker since its capacity was measured
        if not level["refused"] and level["goodput"] <= ALL * level["offered"]:
            yield f"{factor}: nothing was refused"
        for quantile, limit in (("p90", REFUSED_MS), ("p99", REFUSED_MS + (load["max_wait"] or 0) * 1000)):
            if (took := level["refused_ms"].get(quantile, 0.0)) > limit:
                yield f"{factor}: it took {took:.0f} ms to refuse a call ({quantile})"
