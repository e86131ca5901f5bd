"""``/metrics`` of a server, read by Prometheus' own client."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.service.running import PATIENCE

__all__ = ["HTTP", "Samples", "calls", "read", "scrape"]

HTTP = "http://127.0.0.1:0"

Samples = dict[tuple[str, ...], float]


def scrape(endpoint: str) -> Samples:
    response = httpx.get(f"{endpoint}/metrics", timeout=PATIENCE)
    assert response.status_code == 200, response.text
    return read(response.text)


def read(text: str) -> Samples:
    """Samples by name, without the prefix of all, and the values of their labels."""
    return {
        (sample.name.removeprefix("zerorpc_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def calls(samples: Samples, door: str = "zerorpc") -> dict[tuple[str, str], float]:
    """How many calls there were, by method and outcome, without the zeros."""
    return {
        (key[2], key[3]): value
        for key, value in samples.items()
        if key[0] == "calls_total" and key[1] == door and value
    }
