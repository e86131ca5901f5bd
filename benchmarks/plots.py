"""Draws what was measured: ``python -m benchmarks.plots results.json FOLDER``, with the interpreter of the plots' venv.

Each figure as PNG and SVG, all from the runs with both ends on one core. Ours are drawn in colour, floors hatched.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks import cases, roster
from benchmarks.figures import cpu_per_call, has_figures, held_rate, latency_of, value_of
from benchmarks.report import number

matplotlib.use("Agg")

import matplotlib.pyplot as plt

MODE = "one core"
OURS, OLD, OTHERS, FLOOR = "#d1495b", "#edae49", "#66829a", "#d5dbe0"
TEXT = "#22303c"
LINE_COLOURS = ["#00798c", "#66829a", "#8f6aae", "#5b8e4b", "#a0623a", "#3d3d3d", "#c38fb0", "#7fb5c4"]

Measured = Mapping[str, Mapping[str, Any]]
Row = tuple[roster.Peer, float]


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[2])
    plt.rcParams.update(
        {
            "font.size": 10,
            "text.color": TEXT,
            "axes.labelcolor": TEXT,
            "xtick.color": TEXT,
            "ytick.color": TEXT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "zerorpc",  # the same figures make the same file
        }
    )
    measured = report["measured"].get(MODE, {})
    for name, draw in FIGURES.items():
        figure = draw(measured)
        if figure is not None:
            figure.text(0.995, 0.005, footnote(report), ha="right", va="bottom", fontsize=7, color="#8a949c")
            figure.savefig(folder / f"{name}.png", dpi=130)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


def footnote(report: Mapping[str, Any]) -> str:
    facts = report["conditions"]
    return f"both ends on one core; {facts['cpu']}, {facts['python']}, {facts['date']}"


# Bars


def draw_echo(measured: Measured) -> Any:
    """The two figures that matter most, side by side. The floors stand below them: their bars would dwarf the rest."""
    drawn = [peer for peer in roster.PEERS if not peer.floor and peer.key != "asyncio"]
    alone, flight = rows_of(measured, "alone", drawn), rows_of(measured, "flight-100", drawn)
    if not alone or not flight:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(11.5, 5.2), layout="constrained")
    bars(axes[0], sorted(alone, key=lambda row: row[1]), "One call at a time: µs (shorter is better)")
    bars(axes[1], sorted(flight, key=lambda row: -row[1]), "100 in flight: calls/s (longer is better)")
    for side, case in zip(axes, ("alone", "flight-100"), strict=True):
        floors = [peer for peer in roster.PEERS if peer.floor and peer.key != "raw-asyncio"]
        found = [
            f"{peer.title.removeprefix('floor: ')} {number(value)}" for peer, value in rows_of(measured, case, floors)
        ]
        side.text(0, -0.04, f"below any RPC: {', '.join(found)}", transform=side.transAxes, fontsize=8, style="italic")
    return finished(figure, 'Echo of "hello world" between two processes')


def draw_stream(measured: Measured) -> Any:
    rows = sorted(rows_of(measured, "stream"), key=lambda row: -row[1])
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.36 * len(rows)), layout="constrained")
    bars(axes, rows, "")
    return finished(figure, "Stream from a server: items/s (longer is better)")


def draw_cpu(measured: Measured) -> Any:
    """Stacked: what the client and what the server work for one call."""
    results = measured.get("flight-100", {})
    rows = [(peer, *cpu_per_call(results[peer.key])) for peer in roster.PEERS if has_figures(results.get(peer.key))]
    if not rows:
        return None
    rows.sort(key=lambda row: row[1] + row[2])
    figure, axes = plt.subplots(figsize=(8, 1.1 + 0.36 * len(rows)), layout="constrained")
    places = range(len(rows))
    clients, servers = [row[1] for row in rows], [row[2] for row in rows]
    axes.barh(places, clients, color="#00798c", label="client")
    axes.barh(places, servers, left=clients, color="#7fb5c4", label="server")
    for place, client, server in zip(places, clients, servers, strict=True):
        axes.annotate(
            number(client + server), (client + server, place), (4, 0), textcoords="offset points", va="center"
        )
    name_rows(axes, [row[0] for row in rows])
    axes.legend(frameon=False, loc="upper right")
    return finished(figure, "CPU for one call, 100 in flight: µs (shorter is better)")


def rows_of(measured: Measured, case: str, peers: Sequence[roster.Peer] = roster.PEERS) -> list[Row]:
    results = measured.get(case, {})
    found = [peer for peer in peers if has_figures(results.get(peer.key))]
    return [(peer, value_of(cases.BY_KEY[case], results[peer.key])) for peer in found]


def bars(axes: Any, rows: Sequence[Row], title: str) -> None:
    drawn = axes.barh(range(len(rows)), [value for _, value in rows], color=[colour_of(peer) for peer, _ in rows])
    for bar, (peer, value) in zip(drawn, rows, strict=True):
        if peer.floor:
            bar.set_hatch("////")
            bar.set_edgecolor("white")
        weight = "bold" if peer.ours else "normal"
        at = (value, bar.get_y() + bar.get_height() / 2)
        axes.annotate(number(value), at, (4, 0), textcoords="offset points", va="center", fontweight=weight)
    name_rows(axes, [peer for peer, _ in rows])
    axes.set_xlim(0, 1.15 * max(value for _, value in rows))
    axes.set_title(title, fontsize=11, loc="left")


def name_rows(axes: Any, peers: Sequence[roster.Peer]) -> None:
    axes.set_yticks(range(len(peers)), [peer.title for peer in peers])
    for label, peer in zip(axes.get_yticklabels(), peers, strict=True):
        label.set_fontweight("bold" if peer.ours else "normal")
        label.set_style("italic" if peer.floor else "normal")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def colour_of(peer: roster.Peer) -> str:
    if peer.ours:
        return OURS
    return FLOOR if peer.floor else OLD if peer.key == "old" else OTHERS


# Lines


def draw_payload(measured: Measured) -> Any:
    return lines(
        measured,
        [("payload-1k", 1), ("payload-64k", 64), ("payload-1m", 1024), ("payload-16m", 16384)],
        ["1 KiB", "64 KiB", "1 MiB", "16 MiB"],
        "MB/s, both ways",
        "size of a payload",
        "Echo of octets, one at a time (higher is better)",
    )


def draw_concurrency(measured: Measured) -> Any:
    return lines(
        measured,
        [("alone", 1), ("flight-10", 10), ("flight-100", 100), ("flight-1000", 1000)],
        ["1", "10", "100", "1,000"],
        "calls/s",
        "calls in flight",
        "Throughput by calls in flight (higher is better)",
    )


def lines(
    measured: Measured, points: Sequence[tuple[str, int]], ticks: Sequence[str], y: str, x: str, title: str
) -> Any:
    """A line for each peer with two points at least; its name at the line's end."""
    figure, axes = plt.subplots(figsize=(9.5, 5.8))
    figure.subplots_adjust(left=0.09, right=0.76, bottom=0.12, top=0.91)
    ends: list[tuple[float, roster.Peer, str]] = []
    colours = iter(LINE_COLOURS * 3)
    for peer in roster.PEERS:
        found = [(x, in_calls(case, measured[case][peer.key])) for case, x in points if has(measured, case, peer.key)]
        if len(found) < 2 or peer.key in {"asyncio", "raw-asyncio"}:
            continue
        colour = OURS if peer.ours else "#9aa5ad" if peer.floor else OLD if peer.key == "old" else next(colours)
        style = "--" if peer.floor else ":" if peer.key == "blocking" else "-"
        axes.plot(*zip(*found, strict=True), style, color=colour, marker="o", ms=4, lw=2.6 if peer.ours else 1.4)
        ends.append((found[-1][1], peer, colour))
    if not ends:
        plt.close(figure)
        return None
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([x for _, x in points], ticks)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color="#eceff1")
    axes.set_ylabel(y)
    axes.set_xlabel(x)
    name_ends(axes, ends, points[-1][1])
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    return figure


def has(measured: Measured, case: str, peer: str) -> bool:
    return has_figures(measured.get(case, {}).get(peer))


def in_calls(case: str, result: Mapping[str, Any]) -> float:
    """The case's value, or calls a second where the case's own is µs."""
    value = value_of(cases.BY_KEY[case], result)
    return 1e6 / value if cases.BY_KEY[case].unit == "us" else value


def name_ends(axes: Any, ends: Sequence[tuple[float, roster.Peer, str]], x: float) -> None:
    """Names beside the lines' ends, moved apart so that none covers another."""
    axes.figure.canvas.draw()
    points = 72 / axes.figure.dpi
    ends = sorted(ends, key=lambda end: end[0])
    exact = [axes.transData.transform((x, value))[1] * points for value, _, _ in ends]
    for (value, peer, colour), y, place in zip(ends, exact, apart(exact, axes.bbox.y1 * points), strict=True):
        axes.annotate(
            peer.title,
            (x, value),
            (12, place - y),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold" if peer.ours else "normal",
            fontsize=9,
            annotation_clip=False,
        )


def apart(exact: Sequence[float], top: float, distance: float = 12) -> list[float]:
    """The places, in ascending order, moved to be ``distance`` apart at least, and not above ``top``."""
    places: list[float] = []
    for place in exact:
        places.append(max(place, places[-1] + distance) if places else place)
    for index in reversed(range(len(places))):
        places[index] = min(places[index], top)
        top = places[index] - distance
    return places


# Latency


def draw_latency(measured: Measured) -> Any:
    """From the median to the 99.9th percentile, on a logarithmic scale."""
    results = measured.get("rate-1k", {})
    found = [peer for peer in roster.PEERS if has_figures(results.get(peer.key)) and held_rate(results[peer.key])]
    if not found:
        return None
    rows: list[tuple[roster.Peer, float, float, float]] = []
    for peer in found:
        half, most, worst = (latency_of(results[peer.key], share) for share in (0.5, 0.99, 0.999))
        rows.append((peer, half, most, worst))
    rows.sort(key=lambda row: row[1])
    figure, axes = plt.subplots(figsize=(9, 1.3 + 0.36 * len(rows)), layout="constrained")
    for place, (peer, half, most, worst) in enumerate(rows):
        colour = OURS if peer.ours else "#9aa5ad" if peer.floor else OLD if peer.key == "old" else OTHERS
        axes.plot([half, worst], [place, place], color=colour, lw=2, alpha=0.5)
        for value, marker, size in ((half, "o", 9), (most, "D", 6), (worst, "|", 12)):
            axes.plot(value, place, marker, color=colour, ms=size, mew=2)
        text = f"{number(half)} · {number(most)} · {number(worst)}"
        axes.annotate(text, (worst, place), (9, 0), textcoords="offset points", va="center", fontsize=8)
    name_rows(axes, [row[0] for row in rows])
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 3)
    axes.xaxis.set_visible(True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f} µs")
    axes.grid(axis="x", color="#eceff1")
    return finished(figure, "Latency of 1,000 calls/s at fixed times: median ●, 99 % ◆, 99.9 % |   (left is better)")


def finished(figure: Any, title: str) -> Any:
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.01, ha="left")
    figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))
    return figure


FIGURES: dict[str, Callable[[Measured], Any]] = {
    "echo": draw_echo,
    "concurrency": draw_concurrency,
    "stream": draw_stream,
    "payload": draw_payload,
    "latency": draw_latency,
    "cpu": draw_cpu,
}

if __name__ == "__main__":
    main()
