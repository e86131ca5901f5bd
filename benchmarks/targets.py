"""The targets that this project set itself, and what was measured: a table for docs/performance.md.

The table stands between two comments in the page; what is around it is written by hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import cases, startup
from benchmarks.driver import ONE
from benchmarks.figures import has_figures, value_of

BEGIN, END = "<!-- targets: made by `make bench` -->", "<!-- end of targets -->"

Report = Mapping[str, Any]


class Target(NamedTuple):
    """One line. ``measured`` is a number or None; ``beside`` are the peers and floors to see it by."""

    case: str
    wanted: str
    measured: Callable[[Report], float | None]
    is_met: Callable[[float, Report], bool | None]  # None: it takes figures that are not there
    shown: Callable[[float], str]
    beside: Callable[[Report], str]


def table(report: Report) -> str:
    lines = ["| case | target | measured | met | beside it, in the same run |", "|---|---|---|---|---|"]
    for target in TARGETS:
        value = target.measured(report)
        met = None if value is None else target.is_met(value, report)
        shown = "not measured" if value is None else target.shown(value)
        verdict = {True: "yes", False: "**no**", None: "?"}[met]
        lines.append(f"| {target.case} | {target.wanted} | {shown} | {verdict} | {target.beside(report)} |")
    return "\n".join(lines)


def put_into(page: str, report: Report) -> str:
    """The page with its table made anew. Raises ValueError if it has no place for one."""
    head, found, rest = page.partition(BEGIN)
    _, found_end, tail = rest.partition(END)
    if not found or not found_end:
        raise ValueError(f"no {BEGIN} and {END} in the page")
    return f"{head}{BEGIN}\n\n{table(report)}\n\n{END}{tail}"


# Where the numbers are


def value(report: Report, case: str, peer: str, mode: str = ONE) -> float | None:
    result = report["measured"].get(mode, {}).get(case, {}).get(peer)
    return value_of(cases.BY_KEY[case], result) if has_figures(result) else None


def of(case: str, peer: str) -> Callable[[Report], float | None]:
    return lambda report: value(report, case, peer)


def best_of(case: str, *peers: str) -> Callable[[Report], float | None]:
    def best(report: Report) -> float | None:
        found = [number for peer in peers if (number := value(report, case, peer)) is not None]
        return max(found, default=None)

    return best


def import_time(report: Report, title: str = "zerorpc, AsyncClient") -> float | None:
    taken = report["startup"].get("import", {})
    if title not in taken:
        return None
    return statistics.median(taken[title]) - statistics.median(taken[startup.NOTHING])


def command_line(report: Report, title: str = "zerorpc, AsyncClient") -> float | None:
    taken = report["startup"].get("command_line", {}).get(title)
    return statistics.median(taken) if taken else None


def memory(report: Report, peer: str = "async", kind: str = "python") -> float | None:
    found: float | None = report["memory"].get(peer, {}).get("connection", {}).get(kind)
    return found


def many_to_few(report: Report) -> float | None:
    many, few = value(report, "connections-10000", "async"), value(report, "connections-100", "async")
    return many / few if many and few else None


def processes(count: int) -> Callable[[Report], float | None]:
    return lambda report: report.get("processes", {}).get(str(count), {}).get("per_second")


def scaling(report: Report) -> float | None:
    one, two = processes(1)(report), processes(2)(report)
    return two / one if one and two else None


# How they are judged and shown


def at_least(limit: float, times: Sequence[tuple[float, str, str]] = ()) -> Callable[[float, Report], bool | None]:
    """At least ``limit``, and so many times what peers reach in a case."""

    def judge(number: float, report: Report) -> bool | None:
        others = [(factor, value(report, case, peer)) for factor, case, peer in times]
        if number < limit or any(other is not None and number < factor * other for factor, other in others):
            return False
        return None if any(other is None for _, other in others) else True

    return judge


def at_most(limit: float, below: Sequence[tuple[str, str]] = ()) -> Callable[[float, Report], bool | None]:
    """At most ``limit``, and less than what peers take in a case."""

    def judge(number: float, report: Report) -> bool | None:
        others = [value(report, case, peer) for case, peer in below]
        if number > limit or any(other is not None and number >= other for other in others):
            return False
        return None if None in others else True

    return judge


def per_second(number: float) -> str:
    return f"{number:,.0f} /s"


def us(number: float) -> str:
    return f"{number:.1f} µs"


def ms(number: float) -> str:
    return f"{number:.0f} ms"


def megabytes(number: float) -> str:
    return f"{number:,.0f} MB/s"


def times(number: float) -> str:
    return f"{number:.2f} ×"


def beside(
    shown: Callable[[float], str], *others: tuple[str, Callable[[Report], float | None]]
) -> Callable[[Report], str]:
    def text(report: Report) -> str:
        found = [(name, measured(report)) for name, measured in others]
        return ", ".join(f"{name} {shown(number)}" for name, number in found if number is not None)

    return text


TARGETS = [
    Target(
        "echo, 100 in flight, async handler",
        "≥ 170,000 /s, ≥ 60 × gRPC aio, ≥ 6 × Cap'n Proto",
        of("flight-100", "async"),
        at_least(170_000, [(60, "flight-100", "grpc-aio"), (6, "flight-100", "pycapnp")]),
        per_second,
        beside(
            per_second,
            ("gRPC aio", of("flight-100", "grpc-aio")),
            ("Cap'n Proto", of("flight-100", "pycapnp")),
            ("zerorpc 0.6.3", of("flight-100", "old")),
            ("pyzmq without codec", of("flight-100", "raw-pyzmq")),
            ("raw uvloop", of("flight-100", "raw-uvloop")),
        ),
    ),
    Target(
        "echo, 100 in flight, plain `def` handler on threads",
        "≥ 90,000 /s",
        of("plain-100", "async"),
        at_least(90_000),
        per_second,
        beside(
            per_second,
            ("gRPC sync", of("plain-100", "grpc-sync")),
            ("gRPC aio", of("plain-100", "grpc-aio")),
            ("FastAPI", of("plain-100", "fastapi")),
        ),
    ),
    Target(
        "one call at a time, AsyncClient",
        "≤ 22 µs",
        of("alone", "async"),
        at_most(22),
        us,
        beside(
            us,
            ("raw uvloop", of("alone", "raw-uvloop")),
            ("Cap'n Proto", of("alone", "pycapnp")),
            ("gRPC aio", of("alone", "grpc-aio")),
        ),
    ),
    Target(
        "one call at a time, blocking Client",
        "≤ 16 µs, less than thriftpy2",
        of("alone", "blocking"),
        at_most(16, [("alone", "thriftpy2")]),
        us,
        beside(us, ("thriftpy2", of("alone", "thriftpy2")), ("raw sockets", of("alone", "raw-socket"))),
    ),
    Target(
        "one call at a time, plain asyncio without uvloop",
        "≤ 30 µs",
        of("alone", "asyncio"),
        at_most(30),
        us,
        beside(us, ("raw asyncio", of("alone", "raw-asyncio"))),
    ),
    Target(
        "server stream",
        "≥ 500,000 items/s",
        of("stream", "async"),
        at_least(500_000),
        per_second,
        beside(
            per_second,
            ("gRPC aio", of("stream", "grpc-aio")),
            ("zerorpc 0.6.3", of("stream", "old")),
            ("pyzmq without codec", of("stream", "raw-pyzmq")),
        ),
    ),
    Target(
        "1 MiB echo of octets, both ways, the faster client",
        "≥ 3,500 MB/s",
        best_of("payload-1m", "async", "blocking"),
        at_least(3_500),
        megabytes,
        beside(
            megabytes,
            ("pyzmq", of("payload-1m", "raw-pyzmq")),
            ("raw sockets", of("payload-1m", "raw-socket")),
            ("gRPC aio", of("payload-1m", "grpc-aio")),
        ),
    ),
    Target(
        "`import zerorpc`, over bare Python",
        "≤ 60 ms",
        import_time,
        at_most(60),
        ms,
        beside(ms, ("zerorpc 0.6.3", lambda report: import_time(report, "zerorpc 0.6.3"))),
    ),
    Target(
        "`zerorpc-client`, a call from start to exit",
        "≤ 150 ms",
        command_line,
        at_most(150),
        ms,
        beside(ms, ("zerorpc 0.6.3", lambda report: command_line(report, "zerorpc 0.6.3"))),
    ),
    Target(
        "idle connection on the server, Python's memory",
        "≤ 6 KiB",
        memory,
        at_most(6 * cases.KIB),
        lambda number: f"{number / cases.KIB:.1f} KiB",
        beside(
            lambda number: f"{number / cases.KIB:.1f} KiB",
            ("raw uvloop", lambda report: memory(report, "raw-uvloop")),
            ("of RAM: zerorpc", lambda report: memory(report, "async", "rss")),
            ("zerorpc 0.6.3", lambda report: memory(report, "old", "rss")),
            ("gRPC aio", lambda report: memory(report, "grpc-aio", "rss")),
        ),
    ),
    Target(
        "10,000 connected clients, 1 % active, against 100 clients",
        "≥ 0.85 ×",
        many_to_few,
        at_least(0.85),
        times,
        beside(
            per_second,
            ("10,000 clients:", of("connections-10000", "async")),
            ("100 clients:", of("connections-100", "async")),
        ),
    ),
    Target(
        "`processes=2` on two cores, against one process",
        "≥ 1.8 ×",
        scaling,
        at_least(1.8),
        times,
        beside(per_second, ("one:", processes(1)), ("two:", processes(2))),
    ),
]
