"""Soaks a service: ``python -m tests.soak --help``, or ``make soak``.

First a warm-up of the same shape, which fills pools and allocators; everything is let go, and the server's and the
load programs' state taken down. Then the same for as long as asked, and the states are compared. Then the overload.
The exit code is 0 if every promise was kept (``verdict``).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import zerorpc
from benchmarks.peers.harness import cpu_of
from tests.soak import ledger, report, state, verdict
from tests.soak.commands import settled
from tests.soak.programs import Failure, Program

CONNECTIONS = 2_000
BLOCKING = 150  # of these are blocking clients, each with a thread
WARM_UP = (20.0, 60.0)  # s at least and at most; between that a tenth of the whole
AFTER = 90.0  # s that load programs may take to let everything go: a slow reader reads to its end
LOOK = 1.0  # s between two looks at the server
KILL = 5.0  # s between two killed processes

FACTORS = (0.5, 1.0, 2.0, 3.0)
LEVEL = (2.0, 5.0)  # s that one level of the overload takes at least and at most
# What is overloaded: a method that waits and one that computes, by callers of ours and by old ones. The latter are
# taken to wait for 30 s; these wait for one, so that the server has to be told.
LOADS: list[dict[str, Any]] = [
    {"name": "waiting method", "method": "wait", "pool_size": 10, "max_wait": None, "old": False},
    {"name": "computing method", "method": "work", "pool_size": 2, "max_wait": None, "old": False},
    {"name": "waiting method, old callers", "method": "wait", "pool_size": 10, "max_wait": 0.3, "old": True},
    {"name": "computing method, old callers", "method": "work", "pool_size": 2, "max_wait": 0.3, "old": True},
]


def main() -> int:
    options = arguments()
    state.raise_limit()
    figures: dict[str, Any] = {"seconds": options.seconds, "python": sys.version.split()[0]}
    try:
        figures.update(soak(options.seconds, options.connections))
        figures["overload"] = overload(clamp(options.seconds / 60, LEVEL))
    except Failure as failure:
        print(f"soak: {failure}", file=sys.stderr)
        return 1
    figures["broken"] = verdict.broken(figures)
    print(report.text(figures))
    if options.output:
        options.output.write_text(json.dumps(figures, indent=1) + "\n")
    return bool(figures["broken"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600, help="of load after the warm-up (default: 600)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="held at any time (default: 2000)")
    parser.add_argument("--output", type=Path, help="write the figures there, as JSON")
    return parser.parse_args()


def clamp(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


# The load


def soak(seconds: float, connections: int) -> dict[str, Any]:
    with ExitStack() as stack:
        server = stack.enter_context(Program("service", "null", "null"))
        endpoint = server.read()["endpoint"]
        blocking = min(BLOCKING, connections // 10)
        loads = {
            "async_load": (stack.enter_context(Program("async_load", endpoint)), connections - blocking),
            "blocking_load": (stack.enter_context(Program("blocking_load", endpoint)), blocking),
        }
        looking = stack.enter_context(zerorpc.Client(endpoint))
        idle = settled_server(looking)
        warm_up = hold(endpoint, loads, looking, clamp(seconds / 10, WARM_UP), seed=1)
        before = settled_server(looking)
        main_part = hold(endpoint, loads, looking, seconds, seed=2)
        after = settled_server(looking)
        return {
            "held": held(main_part, idle, connections),
            "ledger": ledger.total([answer["ledger"] for answer in main_part["answers"].values()]),
            "killed": main_part["killed"],
            "idle": idle,
            "states": {
                "server": {"before": before, "after": after},
                **{
                    name: {"before": warm_up["answers"][name]["state"], "after": main_part["answers"][name]["state"]}
                    for name in loads
                },
            },
            "looks": main_part["looks"],
        }


def hold(
    endpoint: str, loads: dict[str, tuple[Program, int]], looking: zerorpc.Client, seconds: float, seed: int
) -> dict[str, Any]:
    """Keep the load up for so long, look on, kill clients; what the load programs answer once they let go."""
    for number, (program, connections) in enumerate(loads.values()):
        program.tell({"connections": connections, "seconds": seconds, "seed": seed * 10 + number})
    for program, _ in loads.values():
        program.read()
    start = time.monotonic()
    for program, _ in loads.values():  # all of them hold from now on: the first to stand would be the first to let go
        program.tell({"all": "held"})
    looks: list[dict[str, Any]] = []
    killed = 0
    while (now := time.monotonic()) < start + seconds:
        look = {"at": round(now - start, 1), **looking.pulse()}
        if time.monotonic() > start + seconds:
            break  # it may have seen how they let go
        looks.append(look)
        if now > start + killed * KILL:
            killed += 1
            with Program("victim", endpoint) as victim:
                with suppress(Failure):
                    victim.read()
                victim.kill()
        time.sleep(max(0.0, now + LOOK - time.monotonic()))
    answers = {name: program.read(seconds + AFTER) for name, (program, _) in loads.items()}
    return {"answers": answers, "looks": looks, "killed": killed}


def settled_server(looking: zerorpc.Client) -> dict[str, Any]:
    """The server's state once it is left alone, less the one call, on one link, that looks at it."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = looking.state()
        found["channels"] -= 1
        found["links"] -= 1
        return found

    return settled(look)


def held(part: dict[str, Any], idle: dict[str, Any], wanted: int) -> dict[str, Any]:
    """How many connections the server had whenever it was looked at; and whether it could be, each second."""
    connections = [look["descriptors"] - idle["descriptors"] for look in part["looks"]]
    memory = [look["rss"] for look in part["looks"]]
    times = [look["at"] for look in part["looks"]]
    gap = max((after - before for before, after in itertools.pairwise(times)), default=0.0)
    return {
        "wanted": wanted,
        "least": min(connections),
        "most": max(connections),
        "most_rss": max(memory),
        "longest_gap": round(gap, 1),  # between two looks: more than LOOK if the machine, or the server, stood still
    }


# The overload


def overload(seconds: float) -> list[dict[str, Any]]:
    return [overload_one(load, seconds) for load in LOADS]


def overload_one(load: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One server, offered more and more of what it could do when its callers waited for each other."""
    pool_size, method, old = load["pool_size"], load["method"], load["old"]
    # what computes has just as much of a core as its callers, and whatever else runs here, leave it
    measures = ["goodput", "goodput_per_core"] if method == "work" else ["goodput"]
    with Program("service", json.dumps(pool_size), json.dumps(load["max_wait"])) as server:
        with Program("overload", server.read()["endpoint"]) as callers:

            def offer(factor: float, **how: Any) -> dict[str, Any]:
                cpu = cpu_of(server.pid)
                callers.tell({"method": method, "seconds": seconds, "old": old, **how})
                found = callers.read(seconds + AFTER)
                found["goodput_per_core"] = round(found["goodput"] * seconds / (cpu_of(server.pid) - cpu), 1)
                return {"factor": factor, **found}

            capacity = offer(0, at_once=2 * pool_size)
            levels = [offer(factor, rate=factor * capacity["goodput"]) for factor in FACTORS]
    return {**load, "seconds": seconds, "measures": measures, "capacity": capacity, "levels": levels}


if __name__ == "__main__":
    sys.exit(main())
