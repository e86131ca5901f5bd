"""Lists of methods in terminals of several widths."""

from __future__ import annotations

import io
import re
import sys

import pytest

from tests.cli.test_bench_report import Terminal
from zerorpc.cli.layout import Entry, Listing, format_all, format_one

LONG = "calibrate_all_axes"
SERVICE = Listing(
    "Stage",
    [
        Entry(LONG, "(points: list[tuple[float, float]], note: str = 'a, b')", "", "dict[str, float]"),
        Entry("home", "()", "Go to the end switch, slowly, and count from there.\n\nMore."),
    ],
)


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())


def colourless(text: str) -> str:
    return re.sub(r"\x1b\[\d*m", "", text)


def test_a_narrow_terminal_gets_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, 40)
    assert colourless(format_all(SERVICE, signatures=False)) == (
        "[Stage]\n"
        f"{LONG}\n"
        "      (points: list[tuple[float,\n"
        "      float]], note: str = 'a, b') →\n"
        "      dict[str, float]\n"
        "home  Go to the end switch, slowly, and\n"
        "      count from there.\n"
    )


def test_a_long_signature_has_a_line_for_each_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, 40)
    broken = f"{LONG}(\n    points: list[tuple[float, float]],\n    note: str = 'a, b',\n) → dict[str, float]\n"
    assert colourless(format_all(SERVICE, signatures=True)) == (
        f"[Stage]\n\n{broken}\nhome()\n    Go to the end switch, slowly, and\n    count from there.\n"
    )
    assert format_one(SERVICE) == f"[Stage]\n{broken}\n<undocumented>\n\n"


def test_it_is_one_line_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, 200)
    short = Listing("S", [Entry("add", "(a: int, b: int = 2)", "", "int")])
    assert colourless(format_all(short, signatures=True)) == "[S]\n\nadd(a: int, b: int = 2) → int\n"


def test_colours_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, 40)
    assert "\x1b[36mhome" in format_all(SERVICE, signatures=False)
    monkeypatch.setenv("NO_COLOR", "1")
    shown = format_all(SERVICE, signatures=False)
    assert "\x1b[36m" not in shown
    assert "home" in shown


def test_a_pipe_gets_a_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert len(format_all(SERVICE, signatures=False).splitlines()) == 3


def test_an_encoding_without_an_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "latin-1"))
    assert ") -> dict[str, float]" in format_all(SERVICE, signatures=True)
