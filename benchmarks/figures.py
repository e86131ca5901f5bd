"""What the raw measurements come to. Pure: a report goes in, figures come out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.cases import Case
from benchmarks.histogram import merged, percentile

QUIET = 0.1  # of a core: what the system itself takes stays below
BUSY_PEERS = ("async", "raw-uvloop", "raw-socket")
BUSY_CASES = ("alone", "flight-10", "flight-100", "flight-1000", "stream", "payload-1k")
HELD = 1.1  # times the time that calls at a fixed rate were to take; later means that the rate isn't held

Result = Mapping[str, Any]  # of one peer in one case: its rounds, or why there are none


def value_of(case: Case, result: Result) -> float:
    """The median over the rounds, in the case's unit; for latencies the 50th percentile in microseconds."""
    if case.unit == "latency":
        return latency_of(result, 0.5)
    return float(statistics.median(_value(case, measured) for measured in result["rounds"]))


def _value(case: Case, measured: Mapping[str, Any]) -> float:
    seconds_a_call = measured["seconds"] / measured["calls"]
    if case.unit == "us":
        return float(seconds_a_call * 1e6)
    if case.unit == "megabytes":  # a second, both ways
        return float(2 * case.task["size"] / seconds_a_call / 1e6)
    return float(1 / seconds_a_call)


def cpu_per_call(result: Result) -> tuple[float, float]:
    """Microseconds of CPU that the client and the server used for one call."""
    client = statistics.median(measured["client_cpu"] / measured["calls"] for measured in result["rounds"])
    server = statistics.median(measured["server_cpu"] / measured["calls"] for measured in result["rounds"])
    return client * 1e6, server * 1e6


def latency_of(result: Result, share: float) -> float:
    """A percentile in microseconds, of all rounds' calls together."""
    return percentile(merged(measured["histogram"] for measured in result["rounds"]), share)


def held_rate(result: Result) -> bool:
    """Whether the calls came back at the rate at which they were due."""
    ratios = (measured["seconds"] / measured["asked"] for measured in result["rounds"])
    return bool(statistics.median(ratios) < HELD)


def has_figures(result: Result | None) -> bool:
    return result is not None and bool(result["rounds"])


def disturbed(measured: Mapping[str, Mapping[str, Result]]) -> float | None:
    """The share of the measurements on one core in which other programs had more than QUIET of that core.

    Pinned to one core, a peer that waits for nothing keeps it busy with one end or the other. So the time in which
    neither ran was others', and what was measured is longer by it. None where there is nothing to tell it by.
    """
    rounds = [
        one
        for case in BUSY_CASES
        for peer in BUSY_PEERS
        for one in measured.get(case, {}).get(peer, {"rounds": []})["rounds"]
    ]
    shares = [1 - (one["client_cpu"] + one["server_cpu"]) / one["seconds"] for one in rounds]
    return sum(share > QUIET for share in shares) / len(shares) if shares else None
