"""How ``zerorpc top`` looks: drawn by rich, as high and wide as the terminal, or as long as it takes."""

from __future__ import annotations

import contextlib
import io
import math
import sys
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zerorpc.cli.top_figures import BlockedStatus, CallStatus, ErrorStatus, Figures, Row, Status

WIDTH = 100  # columns where there is no terminal
STACK_MAX, ERRORS_MAX = 8, 3  # lines at a terminal,
CALLS_MIN, METHODS_MIN = 3, 3  # and rows for which there is always room
LATE = 0.05  # s from which a loop's lag is shown as one: what the server takes for blocked
BAR = 12  # columns of the bar of rates
CURVE = 30

RAMP, PARTS = " ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉█"
PLAIN_RAMP, PLAIN_PARTS = " ..--==##", "        #"  # in an encoding that has no others


class Screen:
    """The picture of one server, which is looked at every ``interval`` seconds."""

    def __init__(self, address: str, interval: float, console: Console | None = None) -> None:
        self._address = address
        self._interval = interval
        self._console = console or Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
        self._is_plain = self._console.options.ascii_only
        self._ramp, self._parts = (PLAIN_RAMP, PLAIN_PARTS) if self._is_plain else (RAMP, PARTS)
        self._gap = " - " if self._is_plain else " · "

    def text(self, figures: Figures) -> str:
        """One picture, whole."""
        if not self._console.is_terminal:
            self._console.width = WIDTH
        with self._console.capture() as captured:
            self._console.print(self.picture(figures))
        return "".join(f"{row.rstrip()}\n" for row in captured.get().splitlines())

    @contextlib.contextmanager
    def live(self) -> Iterator[Callable[[Figures, str, str], None]]:
        """A function that draws the figures, sorted by a column, and a problem, if there is one. The terminal is as it
        was in the end.
        """
        drawn: list[object] = []
        if isinstance(sys.stdout, io.TextIOWrapper):  # names may have characters that its encoding lacks
            sys.stdout.reconfigure(errors="backslashreplace")

        def draw(figures: Figures, sort: str, problem: str) -> None:
            shown = [figures.newest, sort, problem, self._console.size]
            if shown != drawn:
                drawn[:] = shown
                live.update(self.picture(figures, sort, problem, self._console.height), refresh=True)

        with Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            yield draw

    def picture(
        self, figures: Figures, sort: str = "calls/s", problem: str = "", height: int | None = None
    ) -> RenderableType:
        """With ``height`` no higher than that, and with what keys do."""
        status = figures.newest
        head = [self._title(status), self._gauges(figures)]
        if problem:
            head.append(self._cut(Text(line(problem), "bold red")))
        foot = [] if height is None else [self._keys(sort)]
        left = None if height is None else max(0, height - len(head) - len(foot) - 2)
        blocked, left = _fitting(self._blocked(status), left, STACK_MAX + 1)
        errors, left = _fitting(self._errors(status), left, ERRORS_MAX + 1)
        calls = self._calls(status.calls)
        rows = figures.rows(sort)
        wanted = len(rows) + 1  # lines
        if left is not None:
            wanted = max(min(wanted, left - (CALLS_MIN + 2 if calls else 0)), min(len(rows), METHODS_MIN) + 1)
            calls = calls[: max(0, left - wanted)]
        methods = self._methods(rows[: wanted - 1], sort)
        body = [*head, Text(), methods, *calls, *blocked, *errors]
        return Group(*body, *([] if height is None else [Text(), *foot]))

    # Its parts

    def _title(self, status: Status) -> RenderableType:
        facts = [f"zerorpc {line(status.version)}", f"pid {status.pid}"]
        if status.processes > 1:
            facts.append(f"{status.processes} processes")
        facts.append(f"up {duration(status.uptime)}")
        title = Text.assemble((line(status.name), "bold cyan"), "  ", (self._gap.join(facts), "dim"))
        grid = Table.grid(expand=True)
        grid.add_column(no_wrap=True, ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_row(title, Text(line(self._address), "dim"))
        return grid

    def _gauges(self, figures: Figures) -> RenderableType:
        status = figures.newest
        late = status.loop_lag >= LATE
        gauges: list[tuple[str, str, str]] = [
            (number(figures.rate), "calls/s", "bold green"),
            (number(status.running), "running", "bold"),
            (number(status.waiting), "waiting", "bold yellow" if status.waiting else "bold"),
            (number(status.connections), "connections", "bold"),
            (number(status.streams), "streams", "bold"),
            (self._short(status.loop_lag), "loop lag", "bold red" if late else "bold"),
        ]
        told = Text("  ").join(Text.assemble((figure, style), " ", (name, "dim")) for figure, name, style in gauges)
        grid = Table.grid(expand=True)
        grid.add_column(no_wrap=True, ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        room = min(CURVE, self._console.width - told.cell_len - 2)
        grid.add_row(told, Text(self._curve(list(figures.rates)[-room:] if room > 0 else []), "green"))
        return grid

    def _curve(self, rates: Sequence[float]) -> str:
        most = max(rates, default=0.0)
        return "".join(self._ramp[round((len(self._ramp) - 1) * rate / most) if most else 0] for rate in rates)

    def _methods(self, rows: Sequence[Row], sort: str) -> RenderableType:
        table = Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="dim")
        heads = ("method", "calls/s", "", "p50", "p99", "errors", "refused", "running", "calls")
        for head in heads:
            style = "bold underline" if head == sort else ""
            is_left = head in ("method", "")
            table.add_column(
                Text(head, style),
                justify="left" if is_left else "right",
                no_wrap=True,
                overflow="crop" if self._is_plain else "ellipsis",
                ratio=1 if head == "method" else None,
                min_width=BAR if not head else None,
            )
        most = max((row.rate for row in rows), default=0.0)
        for row in rows:
            table.add_row(*self._cells(row, most))
        return table

    def _cells(self, row: Row, most: float) -> Iterator[Text]:
        is_idle = not row.rate and not row.running
        yield Text(line(row.method), "dim" if is_idle else "cyan")
        yield Text(number(row.rate) if row.rate else "", "bold")
        yield Text(self._bar(row.rate / most if most else 0.0), "green")
        yield Text("" if row.p50 is None else self._short(row.p50, 2))
        yield Text("" if row.p99 is None else self._short(row.p99, 2), "yellow" if (row.p99 or 0) >= 1 else "")
        yield Text(number(row.errors) if row.errors else "", "bold red" if row.is_failing else "red")
        yield Text(number(row.refused) if row.refused else "", "yellow")
        yield Text(number(row.running) if row.running else "")
        yield Text(number(row.calls) if row.calls else "", "dim")

    def _bar(self, share: float) -> str:
        eighths = round(share * BAR * 8)
        if share and not eighths:
            eighths = 1
        return self._parts[8] * (eighths // 8) + self._parts[eighths % 8].rstrip()

    def _calls(self, calls: Sequence[CallStatus]) -> list[RenderableType]:
        if not calls:
            return []
        names = max(len(line(call.method)) for call in calls)
        shown: list[RenderableType] = [Text(), self._rule("oldest calls")]
        for call in calls:
            age = f">{self._short(call.seconds)}" if call.at_least else self._short(call.seconds)
            waits = call.state == "waiting"
            told = [(f"{age:>8}", "bold"), ("  waiting  " if waits else "  running  ", "yellow" if waits else "green")]
            told += [(f"{line(call.method):{min(names, 30)}}", "cyan"), (f"  {line(call.caller)}", "dim")]
            shown.append(self._cut(Text.assemble(*told)))
        return shown

    def _blocked(self, status: Status) -> list[RenderableType]:
        if not status.blocked:
            return []
        shown: list[RenderableType] = [Text(), self._rule("what blocked the event loop", "red")]
        newest = status.blocked[0]
        shown.append(self._cut(_blocked_line(newest, status.time)))
        shown += [self._cut(Text(f"  {line(each)}", "dim")) for each in newest.stack.splitlines()]
        shown += [self._cut(_blocked_line(each, status.time)) for each in status.blocked[1:]]
        return shown

    def _errors(self, status: Status) -> list[RenderableType]:
        if not status.errors:
            return []
        rows = [self._cut(_error_line(each, status.time)) for each in status.errors]
        return [Text(), self._rule("newest errors", "red"), *rows]

    def _short(self, seconds: float, digits: int = 3) -> str:
        told = short(seconds, digits)
        return told.replace("µ", "u") if self._is_plain else told

    def _cut(self, text: Text) -> Text:
        """In one line, as wide as there is room."""
        text.no_wrap, text.overflow = True, "crop" if self._is_plain else "ellipsis"
        return text

    def _rule(self, title: str, style: str = "dim") -> RenderableType:
        return Rule(Text(title, style), align="left", style="bright_black")

    def _keys(self, sort: str) -> RenderableType:
        told = [("q", "bold"), (" leaves   ", "dim"), ("s", "bold"), (f" sorts, now by {sort}   ", "dim")]
        return self._cut(Text.assemble(*told, (f"every {self._interval:g} s", "dim")))


def _fitting(lines: list[RenderableType], left: int | None, most: int) -> tuple[list[RenderableType], int | None]:
    """As many of them as there is room for, and what is left then."""
    if left is None:
        return lines, None
    room = min(most + 1, left // 3)
    shown = lines[:room] if room > 2 else []
    return shown, left - len(shown)


def _blocked_line(blocked: BlockedStatus, now: float) -> Text:
    by = "no method" if blocked.method is None else line(blocked.method)
    age = (f"{duration(max(0.0, now - blocked.when)):>8} ago  ", "dim")
    return Text.assemble(age, (by, "bold red"), (" for ", "dim"), (short(blocked.seconds), "bold"))


def _error_line(error: ErrorStatus, now: float) -> Text:
    age = (f"{duration(max(0.0, now - error.when)):>8} ago  ", "dim")
    what = (f"  {line(error.error)}: {line(error.message, 200)}", "red")
    return Text.assemble(age, (line(error.method), "cyan"), what, (f"  {line(error.caller)}", "dim"))


# Figures as texts


def number(value: float) -> str:
    """With a digit after the point, if it is small and has one."""
    return f"{value:.1f}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"


def short(seconds: float, digits: int = 3) -> str:
    """With so many digits at most, and a unit."""
    if not seconds < 60:
        return duration(seconds)
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        value = seconds * factor
        if value >= 1:
            return f"{value:.{digits}g} {unit}" if value < 10**digits else f"{value:.0f} {unit}"
    return "0 s" if not seconds else "<1 µs"


def duration(seconds: float) -> str:
    """In the two largest units."""
    if not math.isfinite(seconds):
        return "?"
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((place for place, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value or first == 3)
