"""The figures of a soak as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MIB = 1024 * 1024


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
        yield f"  {'offered':>14} {'goodput':>8} {'a core':>7} {'refused':>8} {'late':>6}   refused after, p50 and p99"
        for level in load["levels"]:
            refused = level["refused_ms"]
            after = f"{refused['p50']:.2f} and {refused['p99']:.2f} ms" if refused else ""
            yield (
                f"  {level['factor']:3g}x {level['offered']:9,.0f} {level['goodput']:8,.0f}"
                f" {level['goodput_per_core']:7,.0f} {level['refused']:8,.0f} {level['late']:6,.0f}   {after}"
            )
    yield ""
    yield "all promises were kept" if not figures["broken"] else "NOT KEPT:"
    yield from (f"  {what}" for what in figures["broken"])
