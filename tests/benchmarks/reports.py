"""A made-up report, small enough to know what its tables have to say."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.histogram import histogram_of


def measured(us: float, calls: int = 1000, **more: Any) -> dict[str, Any]:
    """A round in which each call took so many microseconds: two thirds were the client's CPU, the rest the server's."""
    seconds = us * calls / 1e6
    return {"calls": calls, "seconds": seconds, "client_cpu": seconds * 2 / 3, "server_cpu": seconds / 3, **more}


def rounds(*us: float, **more: Any) -> dict[str, Any]:
    return {"rounds": [measured(one, **more) for one in us]}


def report() -> dict[str, Any]:
    """As results.json has it: it has been JSON."""
    steady = {"asked": 1.0, "histogram": histogram_of([0.0001] * 990 + [0.002] * 10)}
    made = {
        "conditions": {
            "date": "2026-11-22",
            "cpu": "Abacus",
            "cores": 2,
            "kernel": "Linux 6",
            "python": "CPython 3.11",
            "commit": "abc",
            "rounds": 3,
            "seconds": 1.0,
        },
        "peers": {
            "async": {"title": "zerorpc, AsyncClient", "note": "", "versions": {"zerorpc": "1"}, "missing": None},
            "grpc-aio": {"title": "gRPC aio", "note": "a note", "versions": {"grpcio": "2"}, "missing": None},
            "pyro5": {"title": "Pyro5", "note": "", "versions": {}, "missing": "no wheel for this Python"},
            "raw-uvloop": {"title": "floor: uvloop", "note": "", "versions": {}, "missing": None},
        },
        "measured": {
            "one core": {
                "alone": {
                    "async": rounds(20, 21, 90),
                    "grpc-aio": rounds(500),
                    "raw-uvloop": rounds(9.3),
                },
                "flight-100": {
                    "async": rounds(5),
                    "grpc-aio": {"rounds": [], "failures": ["it ended", "no answer in 60 s"]},
                    "raw-uvloop": {"rounds": [], "cannot": "it is made up"},
                },
                "payload-1m": {"async": rounds(1000)},
                "rate-1k": {"async": rounds(1000, **steady), "grpc-aio": rounds(1500, **steady)},
            }
        },
        "startup": {
            "import": {"bare Python": [10, 11, 12], "zerorpc, AsyncClient": [30, 31, 50]},
            "command_line": {"zerorpc, AsyncClient": [120.0]},
        },
        "memory": {"async": {"connection": {"python": 4096, "rss": 5000, "idle_us_per_second": 0.5}, "call": {}}},
        "processes": {
            "1": {"per_second": 100_000, "server_us_per_call": 5.0, "client_us_per_call": 0.1},
            "2": {"per_second": 190_000, "server_us_per_call": 5.1, "client_us_per_call": 0.1},
        },
    }
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found
