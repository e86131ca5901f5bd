"""What a second server process brings: the same load on one and on two, on two cores.

The load comes from peers/replay.py, whose own work is small, so that the cores are the servers'.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import roster
from benchmarks.programs import Failure, Pair

PROCESSES = (1, 2)
CONNECTIONS = 8


def measure(pythons: Mapping[str, Path], cores: list[int], rounds: int, seconds: float) -> dict[str, Any]:
    """For each number of processes: calls a second, and the servers' CPU for a call in µs. Rounds in turns."""
    measured: dict[str, list[dict[str, Any]]] = {str(count): [] for count in PROCESSES}
    task = {"measure": "flight", "connections": CONNECTIONS, "seconds": seconds, "warm_up": min(0.2, seconds / 5)}
    try:
        for _ in range(rounds):
            for count, found in measured.items():
                peer = roster.BY_KEY["async"]._replace(flavour=f"processes-{count}")
                with Pair(pythons["async"], peer, cores) as pair:
                    found.append(pair.measure(task, seconds + 60))
    except Failure as failure:
        return {"failed": str(failure)}
    return {count: summary(found) for count, found in measured.items()}


def summary(found: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "per_second": round(statistics.median(one["calls"] / one["seconds"] for one in found)),
        "server_us_per_call": round(statistics.median(one["server_cpu"] / one["calls"] for one in found) * 1e6, 2),
        "client_us_per_call": round(statistics.median(one["client_cpu"] / one["calls"] for one in found) * 1e6, 2),
    }
