"""What a server pays for clients that do nothing: memory for a connection and for an open call, and CPU."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import roster
from benchmarks.peers.harness import cpu_of
from benchmarks.programs import Failure, Program

CONNECTIONS = 1_000
CALLS = 10_000  # open at once, on one connection
HEARTBEATS = 10.0  # seconds of idleness: two of zerorpc's heartbeats
TAKERS = ("async", "old", "grpc-aio", "raw-uvloop")  # those that can hold connections, each on a loop of its own
PATIENCE = 120.0


def measure(pythons: Mapping[str, Path], core: int, idle: float = HEARTBEATS) -> dict[str, Any]:
    """For each peer: octets for a connection and an open call (of the process, and of Python's), and idle CPU."""
    return {key: _of_one(pythons[key], roster.BY_KEY[key], core, idle) for key in TAKERS if key in pythons}


def _of_one(python: Path, peer: roster.Peer, core: int, idle: float) -> dict[str, Any]:
    connections, calls = {"connections": CONNECTIONS}, {"count": CALLS, "method": "wait"}
    found: dict[str, Any] = {}
    try:
        found["connection"] = {
            **_held(python, peer, core, connections, CONNECTIONS, traced=False, idle=idle),
            **_held(python, peer, core, connections, CONNECTIONS, traced=True),
        }
        found["call"] = {
            **_held(python, peer, core, calls, CALLS, traced=False),
            **_held(python, peer, core, calls, CALLS, traced=True),
        }
    except Failure as failure:
        found["failed"] = str(failure)
    return found


def _held(
    python: Path, peer: roster.Peer, core: int, what: Mapping[str, Any], count: int, traced: bool, idle: float = 0
) -> dict[str, float]:
    """What ``count`` held things cost each; nothing for a peer that can't hold such."""
    extra = ["--tracemalloc"] if traced else []
    with Program(python, peer, [core], "server", peer.flavour, *extra) as server:
        endpoint = server.read()["endpoint"]
        with Program(python, peer, [core], "client", peer.flavour, endpoint) as client:
            client.read()
            few = {name: min(value, 10) if isinstance(value, int) else value for name, value in what.items()}
            answer = client.ask({"measure": "hold", **few}, PATIENCE)  # so that what is made once is there
            if "cannot" in answer:
                return {}
            client.ask({}, PATIENCE)
            before = server.ask({}, PATIENCE)
            client.ask({"measure": "hold", **what}, PATIENCE)
            after = server.ask({}, PATIENCE)
            name = "python" if traced else "rss"
            found = {name: round((after[name] - before[name]) / count)}
            if idle:
                begun = cpu_of(server.pid)
                time.sleep(idle)
                found["idle_us_per_second"] = round((cpu_of(server.pid) - begun) / count / idle * 1e6, 2)
            client.ask({}, PATIENCE)
    return found
