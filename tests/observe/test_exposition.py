"""The text, read by Prometheus' own client."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from zerorpc.observe.counts import OK, RAISED, Counts, Gauges
from zerorpc.observe.exposition import CONTENT_TYPE, exposition

ODD = 'a "b"\\\nc\udc80'


def read(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and the values of their labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_it_is_what_prometheus_reads() -> None:
    counts = Counts()
    key = object()
    counts.lay_out({"add": key, ODD: None, "_zerorpc_ping": "ping"})
    for seconds in (0.00005, 0.2, 0.3, 100.0):
        counts.tallies["zerorpc"].end(key, OK, seconds)
    counts.tallies["zerorpc"].end(None, RAISED, 1.0)
    counts.tallies["zerorpc"].sent += 2**53
    told = read(exposition(counts, counts.values(Gauges(running=2, connections=1))).decode())
    odd = 'a "b"\\\nc\\udc80'
    calls = {key[1:]: value for key, value in told.items() if key[0] == "zerorpc_calls_total"}
    assert calls == {
        ("zerorpc", "add", "ok"): 4,
        ("zerorpc", "add", "raised"): 0,  # so that a first failure is an increase
        ("zerorpc", odd, "ok"): 0,
        ("zerorpc", odd, "raised"): 1,
    }
    buckets = {
        key[3]: value
        for key, value in told.items()
        if key[:3] == ("zerorpc_call_duration_seconds_bucket", "zerorpc", "add")
    }
    assert (buckets["0.0001"], buckets["0.1"], buckets["0.25"], buckets["30.0"], buckets["+Inf"]) == (1, 1, 2, 3, 4)
    assert told["zerorpc_call_duration_seconds_count", "zerorpc", "add"] == 4
    assert abs(told["zerorpc_call_duration_seconds_sum", "zerorpc", "add"] - 100.50005) < 1e-9
    assert told["zerorpc_reply_bytes_total", "zerorpc"] == 2**53
    assert told["zerorpc_calls_running",] == 2
    assert told["zerorpc_connections", "zerorpc"] == 1
    assert told["zerorpc_event_loop_lag_seconds_count",] == 0
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_each_family_is_told_once_with_its_kind_and_meaning() -> None:
    counts = Counts()
    counts.lay_out({"add": 1})
    families = list(text_string_to_metric_families(exposition(counts, counts.values(Gauges())).decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) > 10
    assert all(family.documentation and family.type in {"counter", "gauge", "histogram"} for family in families)
    assert all(name.startswith("zerorpc_") for name in names)
