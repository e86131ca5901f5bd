"""What is measured."""

from __future__ import annotations

from typing import Any, NamedTuple

RATE, HIGH_RATE = 1_000, 20_000  # calls a second at fixed times
KIB, MIB = 1 << 10, 1 << 20


class Case(NamedTuple):
    """One measurement of every peer that can do it. ``task`` is what its client is told (peers/harness.py)."""

    key: str
    title: str
    group: str
    unit: str  # see `value_of` in figures.py
    task: dict[str, Any]
    quick: bool = False
    longer: float = 1.0  # times the seconds of the others
    rounds: int | None = None  # at most
    only: tuple[str, ...] = ()  # for these peers


MANY = ("async", "asyncio", "old", "grpc-aio", "raw-uvloop", "raw-asyncio")  # for whom many connections were made

ENCRYPTED = ("alone", "flight-100", "payload-64k", "payload-1m", "connect")  # for peers with TLS or CURVE

GROUPS = {
    "calls": 'Echo of "hello world"',
    "stream": "Server stream",
    "payload": "Echo of octets, one at a time",
    "connections": "Open connections, 100 calls in flight over them",
    "rate": "Latency at a fixed rate",
    "connect": "One more connection",
}

CASES = [
    Case("alone", "one at a time", "calls", "us", {"measure": "alone"}, quick=True),
    Case("flight-10", "10 in flight", "calls", "per_second", {"measure": "flight", "callers": 10}),
    Case("flight-100", "100 in flight", "calls", "per_second", {"measure": "flight", "callers": 100}, quick=True),
    Case("flight-1000", "1,000 in flight", "calls", "per_second", {"measure": "flight", "callers": 1000}),
    Case("threads-32", "32 threads", "calls", "per_second", {"measure": "threads", "callers": 32}, quick=True),
    Case(
        "plain-100",
        "100 in flight, plain def on threads",
        "calls",
        "per_second",
        {"measure": "flight", "callers": 100, "method": "plain"},
        quick=True,
    ),
    Case("stream", "items/s", "stream", "per_second", {"measure": "stream", "method": "items"}, quick=True),
    Case(
        "stream-plain",
        "items/s, plain generator on a thread",
        "stream",
        "per_second",
        {"measure": "stream", "method": "plain_items"},
    ),
    Case("payload-1k", "1 KiB", "payload", "megabytes", {"measure": "payload", "size": KIB}),
    Case("payload-64k", "64 KiB", "payload", "megabytes", {"measure": "payload", "size": 64 * KIB}),
    Case("payload-1m", "1 MiB", "payload", "megabytes", {"measure": "payload", "size": MIB}, quick=True),
    Case("payload-16m", "16 MiB", "payload", "megabytes", {"measure": "payload", "size": 16 * MIB}),
    Case(
        "array-8m",
        "8 MiB of float32 in an array",
        "payload",
        "megabytes",
        {"measure": "payload", "size": 8 * MIB, "array": True},
        quick=True,
        only=("async", "blocking", "raw-socket"),  # to whom it is as many octets
    ),
    *(
        Case(
            f"connections-{count}",
            f"{count:,}, {active} of them active" if active else f"{count:,}",
            "connections",
            "per_second",
            {"measure": "flight", "callers": 100, "connections": count, "active": active},
            quick=count == 100,
            rounds=rounds,
            only=only,
        )
        for count, active, rounds, only in (
            (1, 0, None, MANY),
            (100, 0, None, MANY),
            (5_000, 0, 2, MANY),
            (10_000, 100, 2, ("async", "raw-uvloop")),
        )
    ),
    Case("rate-1k", f"{RATE:,}/s", "rate", "latency", {"measure": "rate", "rate": RATE}, quick=True, longer=2),
    Case(
        "rate-20k",
        f"{HIGH_RATE:,}/s",
        "rate",
        "latency",
        {"measure": "rate", "rate": HIGH_RATE},
        longer=2,
        only=("async", "blocking", "asyncio", "raw-uvloop", "raw-asyncio", "raw-socket"),
    ),
    Case("connect", "connect, call, close", "connect", "us", {"measure": "connect", "count": 100}, rounds=3),
]

BY_KEY = {case.key: case for case in CASES}
