"""What a measurement found, for people and for programs.

The text for people is drawn by drawing.py, with colours where there can be some.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, NamedTuple

from zerorpc.cli.bench_load import GRACE
from zerorpc.cli.drawing import Cells, Line, Styled, draw, room_beside
from zerorpc.cli.printing import json_ready, to_json, write
from zerorpc.shown import line

if TYPE_CHECKING:
    from zerorpc.cli.bench_load import Load
    from zerorpc.cli.latency import Histogram, Row

ROWS = 18  # of the histogram, at most: a report fits into a window of 40 lines
BAR = 36  # columns, where there are so many
EIGHTHS = "▏▎▍▌▋▊▉█"
PERCENTILES = (50, 90, 99, 99.9)
UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
LATE_MATTERS = 0.5  # of the median latency
BUSY = 0.9  # of a core: from here on it may be this program that is too slow

IN_ASCII = str.maketrans({**dict.fromkeys(EIGHTHS, "#"), "µ": "u", "–": "-", "×": "x"})


class Subject(NamedTuple):
    """What was measured: the service and the call."""

    endpoint: str
    method: str
    params: list[object]
    payload: int  # bytes of a further parameter, 0 for none
    connections: int


def print_text(subject: Subject, load: Load) -> None:
    """Print the report for people."""
    tables = [_figures(subject, load)]
    if load.tally.latency.count:
        tables.append(_drawn(load.tally.latency))
    write(_in_encoding(draw(tables, _remarks(load))))


def print_json(subject: Subject, load: Load) -> None:
    """Print the report for programs: one JSON object, times in seconds."""
    write(to_json(facts(subject, load)) + "\n")


# For programs


def facts(subject: Subject, load: Load) -> dict[str, object]:
    """All that was found, as JSON can say it. Latencies are null when no call was answered."""
    tally = load.tally
    return {
        **subject._asdict(),
        "params": json_ready(subject.params),
        "concurrency": load.concurrency,
        "rate": load.rate,
        "seconds": tally.seconds,
        "interrupted": load.interrupted,
        "calls": tally.latency.count,
        "calls_per_second": _per_second(tally.latency.count, load),
        "streams": tally.streams,
        "items": tally.items,
        "items_per_second": _per_second(tally.items, load),
        "errors": {kind: failures._asdict() for kind, failures in tally.failures.items()},
        "unfinished": load.unfinished,
        "unsent": load.unsent,
        "rate_held": None if load.rate is None else not load.was_full,
        "cpu_cores_used": load.cpu,
        "latency": _seconds_of(tally.latency),
        "sent_late": None if load.rate is None else _seconds_of(tally.lateness),
        "histogram": [
            {"from": row.low / 1e9, "below": row.high / 1e9, "calls": row.calls} for row in tally.latency.rows(ROWS)
        ],
    }


def _seconds_of(histogram: Histogram) -> dict[str, float]:
    percentiles = {f"p{percent}": histogram.percentile(percent) / 1e9 for percent in PERCENTILES}
    return {"mean": histogram.mean() / 1e9, **percentiles, "max": histogram.longest / 1e9}


def _per_second(count: int, load: Load) -> float:
    return count / load.tally.seconds if load.tally.seconds else 0.0


# For people


def _figures(subject: Subject, load: Load) -> list[Cells]:
    tally = load.tally
    calls = tally.latency.count
    rows = [
        _figure("calls", f"{calls:,}", f"in {tally.seconds:.1f} s"),
        _figure("calls/s", number(_per_second(calls, load)), _asked(load)),
    ]
    if tally.streams:
        rows.append(_figure("items/s", number(_per_second(tally.items, load)), f"{tally.items:,} from streams"))
    if subject.payload:
        sent = _per_second(calls * subject.payload, load) / 1e6
        rows.append(_figure("MB/s", number(sent), f"sent, as payloads of {subject.payload:,} bytes"))
    rows.append(_figure("errors", f"{tally.errors:,}", _share(load), "red" if tally.errors else "green"))
    if calls:
        until = "until the first item" if tally.streams else ""
        for percent in PERCENTILES:
            rows.append(_figure(f"p{percent}", duration(tally.latency.percentile(percent)), until))
            until = ""
        rows.append(_figure("max", duration(tally.latency.longest), ""))
    return rows


def _figure(name: str, value: str, remark: str, style: str = "bold") -> Cells:
    return Styled(name), Styled(value, style), Styled(remark)


def _asked(load: Load) -> str:
    at_once = f"{load.concurrency:,} at once"
    return at_once if load.rate is None else f"of {number(load.rate)} asked for, at most {at_once}"


def _share(load: Load) -> str:
    ended = load.tally.errors + load.tally.latency.count
    return f"{load.tally.errors / ended:.2%} of all" if load.tally.errors else ""


def _drawn(latency: Histogram) -> list[Cells]:
    """The histogram: a bar for each row."""
    rows = latency.rows(ROWS)
    most = max(row.calls for row in rows)
    texts = [(_span(row), f"{row.calls:,}") for row in rows]
    longest = min(room_beside(texts), BAR)
    return [
        (Styled(span), Styled(calls), Styled(bar(row.calls / most, longest), "cyan"))
        for row, (span, calls) in zip(rows, texts, strict=True)
    ]


def _span(row: Row) -> str:
    return f"{duration(row.low)} – {duration(row.high)}"


def bar(share: float, longest: int = BAR) -> str:
    """A bar of a share of ``longest`` columns, in eighths of one. What is not nothing is to be seen."""
    eighths = math.ceil(share * longest * 8)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def _remarks(load: Load) -> list[Line]:
    """What went wrong, and what a reader has to know before trusting the figures."""
    failed: list[Line] = [
        (Styled(f"{calls:,} × {line(kind)}", "red"), Styled(f", the first: {line(first)}"))
        for kind, (calls, first) in load.tally.failures.items()
    ]
    return failed + [(Styled(warning, "yellow"),) for warning in warnings(load)]


def warnings(load: Load) -> list[str]:
    """What a reader has to know before trusting the figures."""
    found = []
    if load.interrupted:
        found.append("interrupted: these are the figures until then")
    if load.unfinished:
        found.append(f"{load.unfinished:,} more had not ended {GRACE:g} s after the end; their latencies are missing")
    if load.was_full:
        unsent = f"; {load.unsent:,} were never sent, and their latencies are missing" if load.unsent else ""
        found.append(
            f"the rate was not held: calls were due while {load.concurrency:,} others were under way, which is the "
            f"limit (--concurrency){unsent}"
        )
    if load.tally.lateness.percentile(99) > LATE_MATTERS * load.tally.latency.percentile(50):
        found.append(
            f"this program sent calls late itself (p50 {duration(load.tally.lateness.percentile(50))}, "
            f"p99 {duration(load.tally.lateness.percentile(99))}), which the latencies include"
        )
    if load.cpu > BUSY:
        found.append(
            f"this program kept {load.cpu:.0%} of a core busy: it may be what limits, and not the service; "
            "run several at once to know"
        )
    return found


def number(value: float) -> str:
    """With thousands separated, and decimals only where they say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(nanoseconds: float) -> str:
    """Three digits and a unit: 1.5 ms."""
    size, unit = next((known for known in UNITS if nanoseconds >= 0.9995 * known[0]), UNITS[-1])
    value = nanoseconds / size
    return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.3g} {unit}"


def _in_encoding(text: str) -> str:
    """The text, in ASCII where stdout can't have the blocks that bars are made of."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return text.translate(IN_ASCII)
    return text
