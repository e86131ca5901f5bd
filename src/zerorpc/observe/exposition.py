"""Counts as Prometheus' text format has them (https://prometheus.io/docs/instrumenting/exposition_formats/, 0.0.4).

Names and units are as its conventions want them: a prefix, base units, ``_total`` for what only grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from zerorpc.observe.counts import BUCKETS, DOORS, LAG_BUCKETS, OTHER, OUTCOMES, Counts, Gauges, Histogram

__all__ = ["CONTENT_TYPE", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ALWAYS = OUTCOMES[:2]  # told of each exposed method from the start: a first failure is an increase, then


def exposition(counts: Counts, values: Sequence[float]) -> bytes:
    """``values`` under the names of ``counts``."""
    return "".join(f"{line}\n" for line in _lines(counts, values)).encode(errors="backslashreplace")


def _lines(counts: Counts, values: Sequence[float]) -> Iterator[str]:
    yield from _calls(counts, values)
    yield from _octets(counts, values)
    yield from _gauges(counts.gauges(values))
    yield from _head("event_loop_lag_seconds", "histogram", "How late a timer of the event loop came, four a second.")
    yield from _histogram("event_loop_lag_seconds", {}, LAG_BUCKETS, counts.lag(values))


def _calls(counts: Counts, values: Sequence[float]) -> Iterator[str]:
    rows = list(counts.calls(values))
    used = {door for door, _, outcomes, _ in rows if any(outcomes)} | {DOORS[0]}
    yield from _head("calls_total", "counter", "Calls that have ended, by outcome: ok, raised, gone, or a refusal.")
    for door, method, outcomes, _ in rows:
        is_told = door in used and method != OTHER and not method.startswith("_")
        for outcome, number in zip(OUTCOMES, outcomes, strict=True):
            if number or (is_told and outcome in _ALWAYS):
                labels = {"door": door, "method": method, "outcome": outcome}
                yield f"zerorpc_calls_total{_labels(labels)} {_number(number)}"
    name = "call_duration_seconds"
    yield from _head(name, "histogram", "From a request to the end of its answer; of a stream, to its end.")
    for door, method, outcomes, histogram in rows:
        if any(outcomes):
            yield from _histogram(name, {"door": door, "method": method}, BUCKETS, histogram)


def _octets(counts: Counts, values: Sequence[float]) -> Iterator[str]:
    told = [counts.octets(values, door) for door in DOORS]
    for place, name, meaning in (
        (0, "request_bytes_total", "Octets of the requests of calls that have ended, without what frames them."),
        (1, "reply_bytes_total", "Octets of replies and of items of streams, without what frames them."),
    ):
        yield from _head(name, "counter", meaning)
        for door, octets in zip(DOORS, told, strict=True):
            yield f"zerorpc_{name}{_labels({'door': door})} {_number(octets[place])}"


def _gauges(gauges: Gauges) -> Iterator[str]:
    for name, meaning, value in (
        ("calls_running", "Methods that run.", gauges.running),
        ("calls_waiting", "Requests that wait for their turn.", gauges.waiting),
        ("streams_open", "Calls that stream.", gauges.streams),
        ("threads", "Threads for plain methods.", gauges.threads),
        ("process_workers", "Processes for methods that are marked with @process.", gauges.workers),
        ("process_workers_busy", "Those of them that run one.", gauges.busy_workers),
        ("serving_processes", "Processes that serve.", gauges.processes),
    ):
        yield from _head(name, "gauge", meaning)
        yield f"zerorpc_{name} {value}"
    yield from _head("connections", "gauge", "Connections, by door.")
    for door, number in zip(DOORS, (gauges.connections, gauges.http_connections), strict=True):
        yield f"zerorpc_connections{_labels({'door': door})} {number}"


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP zerorpc_{name} {meaning}"
    yield f"# TYPE zerorpc_{name} {kind}"


def _histogram(name: str, labels: dict[str, str], bounds: Sequence[float], histogram: Histogram) -> Iterator[str]:
    """Each bucket counts what is in those before it too."""
    total: float = 0
    for bound, total in zip((*map(str, bounds), "+Inf"), accumulate(histogram.buckets), strict=True):
        yield f"zerorpc_{name}_bucket{_labels({**labels, 'le': bound})} {_number(total)}"
    yield f"zerorpc_{name}_sum{_labels(labels)} {_number(histogram.sum)}"
    yield f"zerorpc_{name}_count{_labels(labels)} {_number(total)}"


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
