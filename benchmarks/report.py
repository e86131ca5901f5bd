"""results.md: everything that was measured, as tables. Pure: a report goes in, Markdown comes out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks import cases, roster, startup, targets
from benchmarks.cases import Case
from benchmarks.driver import ONE
from benchmarks.figures import QUIET, cpu_per_call, disturbed, has_figures, held_rate, latency_of, value_of

DASH = "–"
PERCENTILES = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
CPU_CASES = {
    "alone": "one at a time",
    "flight-100": "100 in flight",
    "threads-32": "32 threads",
    "stream": "stream, an item",
    "payload-1m": "1 MiB",
    "rate-1k": "1,000/s",
    "connect": "connect, call, close",
}

UNITS = {
    "calls": "Calls a second; one at a time in µs a call.",
    "stream": "Items a second.",
    "payload": "MB/s, there and back added up.",
    "connections": "Calls a second.",
    "rate": "µs from the moment when a call was due, so that waiting counts. A rate that wasn't held is in brackets.",
    "connect": "µs to connect, make one call and close.",
}

Report = Mapping[str, Any]


def markdown(report: Report) -> str:
    parts = ["# Benchmark results", _conditions(report)]
    if all(case.key in report["measured"].get(ONE, {}) for case in cases.CASES):
        parts += ["## Targets", targets.table(report)]
    for mode, measured in report["measured"].items():
        parts.append(f"## Both ends on {mode}")
        parts += _groups(measured)
        parts.append(_cpu(measured))
    if report["startup"]:
        parts.append(_startup(report["startup"]))
    if report["memory"]:
        parts.append(_memory(report["memory"]))
    if report.get("processes"):
        parts.append(_processes(report["processes"]))
    parts += [_peers(report), _dashes(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _conditions(report: Report) -> str:
    facts = report["conditions"]
    return (
        f"{facts['date']}, commit {facts['commit']}, {facts['python']}, {facts['kernel']}, {facts['cpu']}, "
        f"{facts['cores']} cores; {facts['rounds']} rounds of {facts['seconds']:g} s, in rotating order; "
        f"medians. Figures of one run can be compared with each other, not with those of other machines."
        f"{_disturbance(report)}"
    )


def _disturbance(report: Report) -> str:
    share = disturbed(report["measured"].get(ONE, {}))
    if not share:
        return ""
    return (
        f" **The machine was not quiet**: in {share:.0%} of the measurements on one core, other programs had more than "
        f"{QUIET:.0%} of that core, by which times are longer; CPU times are not."
    )


# The cases


def _groups(measured: Mapping[str, Any]) -> Iterable[str]:
    for group, title in cases.GROUPS.items():
        chosen = [case for case in cases.CASES if case.group == group and case.key in measured]
        shown = _latencies if group == "rate" else _values
        table = shown(chosen, measured)
        if table:
            yield f"### {title}\n\n{UNITS[group]}\n\n{table}"


def _values(chosen: Sequence[Case], measured: Mapping[str, Any]) -> str:
    def cell(case: Case, key: str) -> str:
        result = measured[case.key].get(key)
        return number(value_of(case, result)) if has_figures(result) else DASH

    heads = [f"{case.title}{', µs' if case.unit == 'us' else ''}" for case in chosen]
    return _by_peer(heads, lambda key: [cell(case, key) for case in chosen])


def _latencies(chosen: Sequence[Case], measured: Mapping[str, Any]) -> str:
    def cells(case: Case, key: str) -> list[str]:
        result = measured[case.key].get(key)
        if not has_figures(result):
            return [DASH] * len(PERCENTILES)
        figures = [number(latency_of(result, share)) for share, _ in PERCENTILES]
        return figures if held_rate(result) else [f"({figure})" for figure in figures]

    heads = [f"{case.title}, {name}" for case in chosen for _, name in PERCENTILES]
    return _by_peer(heads, lambda key: [cell for case in chosen for cell in cells(case, key)])


def _cpu(measured: Mapping[str, Any]) -> str:
    def cell(case: str, peer: str) -> str:
        result = measured[case].get(peer)
        if not has_figures(result):
            return DASH
        client, server = cpu_per_call(result)
        return f"{number(client)} + {number(server)}"

    chosen = [key for key in CPU_CASES if key in measured]
    table = _by_peer([CPU_CASES[key] for key in chosen], lambda peer: [cell(key, peer) for key in chosen])
    return table and f"### CPU\n\nµs of CPU a call (or item), client + server.\n\n{table}"


def _by_peer(heads: Sequence[str], cells: Callable[[str], list[str]]) -> str:
    """A row for each peer that has a figure; "" if none has."""
    rows = []
    for peer in roster.PEERS:
        row = cells(peer.key)
        if any(cell != DASH for cell in row):
            title = f"**{peer.title}**" if peer.ours else f"*{peer.title}*" if peer.floor else peer.title
            rows.append([title, *row])
    return table_of(["", *heads], rows) if rows else ""


def table_of(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three digits that count, or all of those before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


# What isn't a case


def _startup(found: Mapping[str, Any]) -> str:
    imports = found["import"]
    bare = statistics.median(imports[startup.NOTHING])
    rows = [
        [name, f"{statistics.median(taken) - bare:.0f}"] for name, taken in imports.items() if name != startup.NOTHING
    ]
    lines = [[name, f"{statistics.median(taken):.0f}"] for name, taken in found["command_line"].items()]
    return "\n\n".join(
        [
            "## Start",
            f"Import, ms over bare Python's {bare:.0f}:",
            table_of(["", "ms"], [[name.removesuffix(", AsyncClient"), taken] for name, taken in rows]),
            "One call from the command line, start to exit:",
            table_of(["", "ms"], [[name.removesuffix(", AsyncClient"), taken] for name, taken in lines]),
        ]
    )


def _memory(found: Mapping[str, Any]) -> str:
    names = ["python", "rss", "idle_us_per_second"]
    rows = []
    for key, costs in found.items():
        for what in ("connection", "call"):
            cost = costs.get(what)
            if cost:
                cells = [number(cost[name]) if name in cost else DASH for name in names]
                rows.append(
                    [f"{roster.BY_KEY[key].title}: {'idle ' if what == 'connection' else 'open '}{what}", *cells]
                )
    heads = ["", "octets of Python's memory", "octets of RAM", "µs of CPU in a second"]
    return f"## What one more costs the server\n\n{table_of(heads, rows)}"


def _processes(found: Mapping[str, Any]) -> str:
    if "failed" in found:
        return f"## Server processes\n\nNot measured: {found['failed']}."
    names = ["per_second", "server_us_per_call", "client_us_per_call"]
    rows = [[count, *(number(costs[name]) for name in names)] for count, costs in found.items()]
    heads = ["processes", "calls/s", "µs of CPU a call, servers", "client"]
    return (
        "## Server processes\n\nOn two cores, over 8 connections with 100 calls each; their client sends octets that "
        f"are ready.\n\n{table_of(heads, rows)}"
    )


# Who and who not


def _peers(report: Report) -> str:
    lines = []
    for peer in report["peers"].values():
        versions = ", ".join(f"{name} {version}" for name, version in peer["versions"].items() if name != "python")
        facts = "; ".join(fact for fact in (versions, peer["note"]) if fact)
        lines.append(
            f"- {peer['title']}: missing, {peer['missing']}" if peer["missing"] else f"- {peer['title']}: {facts}"
        )
    return "## Who took part\n\n" + "\n".join(lines)


def _dashes(report: Report) -> str:
    """Each peer's reasons, once."""
    lines = []
    for key, peer in report["peers"].items():
        reasons: dict[str, list[str]] = {}
        for mode, measured in report["measured"].items():
            for case, results in measured.items():
                result = results.get(key, {})
                for failure in result.get("failures", [])[-1:]:
                    when = "in some rounds" if result["rounds"] else "every time"
                    reasons.setdefault(f"failed {when} on {mode}: {failure}", []).append(case)
                if "cannot" in result and case not in reasons.get(result["cannot"], []):
                    reasons.setdefault(result["cannot"], []).append(case)
        lines += [f"- {peer['title']}, {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "## What the dashes mean\n\n" + "\n".join(lines) if lines else ""
