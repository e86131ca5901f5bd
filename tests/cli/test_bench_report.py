"""The report as people and programs get it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys

import pytest

from zerorpc.cli.bench_load import SECOND, Load, Tally
from zerorpc.cli.bench_report import BAR, Subject, bar, duration, number, print_json, print_text
from zerorpc.errors import LostRemote, RemoteError

MS = 1_000_000  # ns
PING = Subject("tcp://127.0.0.1:4242", "_zerorpc_ping", [], 0, 1)


def measured(rate: float | None = None, calls: int = 200) -> Load:
    """Two seconds, in which calls took 1 ms and one of them 80."""

    async def make() -> Load:
        return Load([], 10, rate, 0, 2)

    load = asyncio.run(make())
    load.tally = Tally(0, 2 * SECOND)
    for number_ in range(calls):
        load.tally.latency.record(MS if number_ else 80 * MS)
    return load


def text(load: Load, capsys: pytest.CaptureFixture[str], subject: Subject = PING) -> str:
    print_text(subject, load)
    return capsys.readouterr().out


def test_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    lines = text(measured(), capsys).splitlines()
    assert [line.split() for line in lines[:8]] == [
        ["calls", "200", "in", "2.0", "s"],
        ["calls/s", "100", "10", "at", "once"],
        ["errors", "0"],
        ["p50", "1", "ms"],
        ["p90", "1", "ms"],
        ["p99", "1", "ms"],
        ["p99.9", "80", "ms"],
        ["max", "80", "ms"],
    ]


def test_the_histogram_has_a_bar_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    lines = text(measured(), capsys).splitlines()[9:]
    assert re.sub(" +", " ", lines[0]).strip() == f"1 ms – 1.5 ms 199 {'█' * BAR}"
    assert re.sub(" +", " ", lines[-1]).strip() == "70 ms – 100 ms 1 ▎"
    assert all(re.fullmatch(r" *[\d.]+ ms – [\d.]+ ms +0", line) for line in lines[1:-1])


@pytest.mark.parametrize("has_rich", [False, True])
def test_a_narrow_terminal_has_shorter_bars_and_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_rich: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    load = measured(rate=50_000)
    load.concurrency = 1000
    figures, histogram = text(load, capsys).split("\n\n")[:2]
    assert "of 50,000 asked for, at\n                most 1,000 at once\n" in figures
    assert max(map(len, [*figures.splitlines(), *histogram.splitlines()])) <= 40
    spans = [line[:14].strip() for line in histogram.splitlines()]
    assert all(re.fullmatch(r"[\d.]+ ms – [\d.]+ ms", span) for span in spans)
    assert histogram.splitlines()[0].endswith(f"  199  {'█' * (40 - 14 - 2 - 3 - 2)}")


def test_plain_text_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    load = measured()
    for _ in range(3):
        load.tally.failed(RemoteError("ValueError", "no luck " * 30, None))
    out = text(load, capsys)
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert not any(line != line.rstrip() for line in out.splitlines())


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_text(PING, measured())
    assert "\x1b[36m█" in terminal.getvalue()
    assert max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in terminal.getvalue().splitlines()) <= 80


def test_ascii_where_stdout_has_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    load = measured()
    load.tally.latency.record(900)
    load.tally.latency.record(2_000)
    print_text(PING, load)
    stdout.seek(0)
    out = stdout.read()
    assert "#" * BAR in out
    assert " us - " in out


def test_streams_payloads_and_rates(capsys: pytest.CaptureFixture[str]) -> None:
    load = measured(rate=100)
    load.tally.streams, load.tally.items = 200, 50_000
    out = re.sub(" +", " ", text(load, capsys, PING._replace(method="m", payload=1_000_000)))
    assert "items/s 25,000 50,000 from streams" in out
    assert "calls/s 100 of 100 asked for, at most 10 at once" in out
    assert "MB/s 100 sent, as payloads of 1,000,000 bytes" in out
    assert "p50 1 ms until the first item" in out


def test_errors_are_shown_by_kind_with_their_first_message(capsys: pytest.CaptureFixture[str]) -> None:
    load = measured(calls=9)
    load.tally.failed(RemoteError("ValueError", "no\n[red]luck[/red] \x1b[2J", None))
    out = text(load, capsys)
    assert re.search(r"errors +1 +10\.00% of all", out)
    assert "1 × ValueError, the first: no; [red]luck[/red] \\x1b[2J" in out
    load.tally.failed(LostRemote("gone"))
    assert "1 × LostRemote, the first: gone" in text(load, capsys)


def test_nothing_answered(capsys: pytest.CaptureFixture[str]) -> None:
    load = measured(calls=0)
    assert "p50" not in text(load, capsys)
    print_json(PING, load)
    assert json.loads(capsys.readouterr().out)["latency"]["p50"] is None


def test_what_a_reader_has_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    def said(load: Load) -> str:
        return " ".join(text(load, capsys).split())

    load = measured()
    for word in ("interrupted", "not ended", "not held", "late itself", "busy"):
        assert word not in said(load)
    load.interrupted = True
    assert "interrupted: these are the figures until then" in said(load)
    load.unfinished = 3
    assert "3 more had not ended 5 s after the end; their latencies are missing" in said(load)
    load.cpu = 0.97
    assert "this program kept 97% of a core busy" in said(load)

    load = measured(rate=1000)
    load.was_full = True
    assert "the rate was not held: calls were due while 10 others were under way" in said(load)
    assert "never sent" not in said(load)
    load.unsent = 1234
    assert "1,234 were never sent" in said(load)
    load.tally.lateness.record(MS)
    assert "this program sent calls late itself (p50 1 ms, p99 1 ms)" in said(load)


def test_json_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    load = measured(rate=100)
    load.tally.lateness.record(MS)
    load.tally.failed(LostRemote("gone"))
    print_json(Subject("tcp://h:1", "add", [1, b"\xff"], 0, 2), load)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    told = json.loads(out)
    latency = told.pop("latency")
    assert (latency["p50"], latency["p99.9"], latency["max"]) == (
        pytest.approx(0.001, rel=0.004),
        pytest.approx(0.08, rel=0.004),
        0.08,
    )
    assert told.pop("sent_late")["p99"] == pytest.approx(0.001, rel=0.004)
    histogram = told.pop("histogram")
    assert histogram[0] == {"from": 0.001, "below": 0.0015, "calls": 199}
    assert told == {
        "endpoint": "tcp://h:1",
        "method": "add",
        "params": [1, "/w=="],
        "payload": 0,
        "connections": 2,
        "concurrency": 10,
        "rate": 100,
        "seconds": 2.0,
        "interrupted": False,
        "calls": 200,
        "calls_per_second": 100.0,
        "streams": 0,
        "items": 0,
        "items_per_second": 0.0,
        "errors": {"LostRemote": {"calls": 1, "first": "gone"}},
        "unfinished": 0,
        "unsent": 0,
        "rate_held": True,
        "cpu_cores_used": 0.0,
    }


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 ns"),
        (1, "1 ns"),
        (999, "999 ns"),
        (999.9, "1 µs"),
        (1_000, "1 µs"),
        (12_345, "12.3 µs"),
        (123_456, "123 µs"),
        (999_600, "1 ms"),
        (1_234_567, "1.23 ms"),
        (99_960_000, "100 ms"),
        (1_500_000_000, "1.5 s"),
        (123_456_000_000, "123 s"),
    ],
)
def test_durations_have_three_digits(nanoseconds: float, shown: str) -> None:
    assert duration(nanoseconds) == shown


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (0.123456, "0.123"), (12.345, "12.3"), (1234567, "1,234,567")])
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(("share", "shown"), [(0, ""), (1e-9, "▏"), (1 / BAR, "█"), (1.5 / BAR, "█▌"), (1, "█" * BAR)])
def test_bars(share: float, shown: str) -> None:
    assert bar(share) == shown
