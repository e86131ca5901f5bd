"""The figures of a soak as text; as Markdown by ``python -m tests.soak.report FILE``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.soak.verdict import share_of_peak

MIB = 1024 * 1024
NAMES = {"async_load": "AsyncClients", "blocking_load": "blocking clients"}


def text(figures: Mapping[str, Any]) -> str:
    return "\n".join(_lines(figures))


def _lines(figures: Mapping[str, Any]) -> Iterator[str]:
    held, ledger = figures["held"], figures["ledger"]
    calls = ledger["calls"]
    yield f"{figures['seconds']:.0f} s, {held['least']:,} to {held['most']:,} connections"
    yield f"{sum(calls.values()):,} calls:"
    yield "  " + ", ".join(f"{count:,} {kind}" for kind, count in calls.items())
    yield f"  {figures['killed']} processes of clients killed; {ledger['latest']:.2f} s past its deadline at most"
    yield f"  the server had {held['most_rss'] / MIB:.1f} MiB at most"
    yield f"  the longest time without a look at it was {held['longest_gap']} s"
    yield ""
    yield f"{'':15} {'':>8} {'MiB':>7} {'blocks':>9} channels links tasks threads workers descriptors"
    for name, states in figures["states"].items():
        for when, found in states.items():
            yield (
                f"{name:15} {when:>8} {found['rss'] / MIB:7.1f} {found['blocks']:9,} {found['channels']:8}"
                f" {found['links']:5} {found['tasks']:5} {len(found['threads']):7} {found['workers']:7}"
                f" {found['descriptors']:11}"
            )
    for load in figures["overload"]:
        yield ""
        yield f"{load['name']}: {load['capacity']['goodput']:,.0f} calls/s"
        quantiles = "refused after ms: p50, p90, p99"
        yield f"  {'offered':>14} {'goodput':>8} {'a core':>7} {'refused':>8} {'late':>6}   {quantiles}"
        for level in load["levels"]:
            after = ", ".join(f"{took:.2f}" for took in level["refused_ms"].values())
            yield (
                f"  {level['factor']:3g}x {level['offered']:9,.0f} {level['goodput']:8,.0f}"
                f" {level['goodput_per_core']:7,.0f} {level['refused']:8,.0f} {level['late']:6,.0f}   {after}"
            )
    yield ""
    yield "all promises were kept" if not figures["broken"] else "NOT KEPT:"
    yield from (f"  {what}" for what in figures["broken"])


def tables(figures: Mapping[str, Any]) -> str:
    """The same for docs/reliability.md, as Markdown."""
    return "\n".join(_tables(figures))


def _tables(figures: Mapping[str, Any]) -> Iterator[str]:
    held, ledger = figures["held"], figures["ledger"]
    yield "| held for | connections | calls | ended wrongly | hung | past its deadline, at most | killed clients |"
    yield "|---|---|---|---|---|---|---|"
    yield (
        f"| {figures['seconds']:.0f} s | {held['least']:,} to {held['most']:,} | {sum(ledger['calls'].values()):,}"
        f" | {len(ledger['wrong'])} | {len(ledger['hung'])} | {ledger['latest']:.2f} s"
        f" | {figures['killed']} processes |"
    )
    yield ""
    yield "| let go | | MiB | objects | channels | tasks | threads | workers | descriptors |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, states in figures["states"].items():
        for when, found in states.items():
            yield (
                f"| {NAMES.get(name, name)} | {when} | {found['rss'] / MIB:.1f} | {found['objects']:,}"
                f" | {found['channels']} | {found['tasks']} | {len(found['threads'])} | {found['workers']}"
                f" | {found['descriptors']} |"
            )
    for load in figures["overload"]:
        yield ""
        quantiles = "after, p50 | p90 | p99"
        yield f"| {load['name']} | offered/s | goodput/s | of its peak | refused/s | {quantiles} | timeouts/s |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for level in load["levels"]:
            refused = level["refused_ms"]
            after = " | ".join(f"{refused[p]:.2f} ms" if refused else "" for p in ("p50", "p90", "p99"))
            yield (
                f"| {level['factor']:g}× | {level['offered']:,.0f} | {level['goodput']:,.0f}"
                f" | {share_of_peak(load, level):.0%} | {level['refused']:,.0f} | {after} | {level['late']:,.0f} |"
            )


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
