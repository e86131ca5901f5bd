"""What is shown of an exception that lets nothing of it be looked at."""

from __future__ import annotations

import sys
import time
import traceback

import pytest

from tests.service.evil_errors import EVIL, SLOW, name_of
from zerorpc import shown


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("name", [*EVIL, *SLOW])
def test_whatever_it_is_like_there_is_something_to_show(name: str) -> None:
    error = raised((EVIL.get(name) or SLOW[name])())
    if name in EVIL:
        assert shown.name_of(error) == name_of(name)
    text, _ = shown.traceback_of(error, shown.trace_of(error))
    for each in (shown.message_of(error), shown.message_of(error, repr), text):
        assert type(each) is str
        assert len(each.encode()) < 2 * shown.LONGEST
    assert "in raised" in text or name == "Deep"  # of which the last frames are shown


@pytest.mark.parametrize(
    "error", [ValueError("bad"), SyntaxError("no", ("f", 1, 2, "text")), KeyError(), OSError(2, "x")]
)
def test_a_usual_exception_is_shown_as_python_does(error: BaseException) -> None:
    error = raised(error)
    text = "".join(traceback.format_exception(error))
    assert shown.traceback_of(error, error.__traceback__) == (text, True)
    assert shown.message_of(error) == str(error)


def test_frames_are_shown_where_python_fails_to_show_the_exception() -> None:
    error = raised(EVIL["BadClass"]())
    text, usual = shown.traceback_of(error, shown.trace_of(error))
    assert not usual
    assert text.startswith("Traceback (most recent call last):\n")
    assert "raise error" in text
    assert text.endswith("\nBadClass: \n")


def test_frames_that_can_t_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SystemExit

    monkeypatch.setattr("traceback.format_exception", fail)
    monkeypatch.setattr("traceback.format_tb", fail)
    error = raised(ValueError("bad"))
    assert shown.traceback_of(error, error.__traceback__)[0].splitlines()[1:] == [
        "  <its frames can't be shown: SystemExit>",
        "ValueError: bad",
    ]


def test_of_thousands_of_frames_the_last_are_shown() -> None:
    error = EVIL["Deep"]()
    text, usual = shown.traceback_of(error, shown.trace_of(error))
    assert usual
    assert "more times" in text
    assert text.endswith("Chained: deep\n")


@pytest.mark.parametrize("limit", [0, 1])
def test_a_program_s_own_limit_of_frames_holds(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
    error = raised(ValueError("bad"))
    assert shown.traceback_of(error, error.__traceback__)[0].count("File") == limit


@pytest.mark.parametrize(("text", "expected"), [("plain", "plain"), ("", ""), ("\ud800é", "\\ud800é")])
def test_readable(text: str, expected: str) -> None:
    assert shown.readable(text) == expected


def test_a_long_text_keeps_its_ends() -> None:
    text = shown.readable("begin" + "x" * 3_000_000 + "end")
    assert text.startswith("begin")
    assert text.endswith("end")
    assert f" … {3_000_008 - shown.LONGEST} characters are left out here … " in text


def test_anything_has_a_text() -> None:
    assert shown.text_of([1]) == "[1]"
    assert shown.text_of(EVIL["EndlessStr"]()) == "<it can't be shown: RecursionError>"


# Texts of others


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 漢字 🎈", "plain é 漢字 🎈"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x00\x07\x1b[2J\r\x7f\x9b", r"\x00\x07\x1b[2J\x0d\x7f\x9b"),
        ("\u202eabc\u2066\u200f\u061c", r"\u202eabc\u2066\u200f\u061c"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        ("\ud800", r"\ud800"),
        ("👩\u200d🔬", "👩\u200d🔬"),  # what joins letters and signs is harmless
    ],
)
def test_a_text_in_a_line(text: str, expected: str) -> None:
    assert shown.line(text) == expected
    assert shown.block(text) == expected.replace(r"\n", "\n").replace(r"\t", "\t")


def test_long_texts_are_cut() -> None:
    assert shown.line("x" * 1000) == "x" * 1000
    assert shown.line("\x1b" * 2000) == r"\x1b" * 1000 + "…"
    assert shown.line("xyz", 2) == "xy…"
    assert shown.block("a" * 50 + "b" * 50, 10) == "aaaaa … 90 characters are left out here … bbbbb"


def test_the_exception_that_is_being_told_of_costs_nothing() -> None:
    """Each exception that is raised while another is handled walks through all that led to that one."""
    text = "é" * 30_000
    shown.block(text)
    began = time.thread_time()
    shown.block(text)
    without = time.thread_time() - began
    try:
        raise SLOW["Chained"]()
    except Exception:
        began = time.thread_time()
        shown.block(text)
        shown.line(text, len(text))
        assert time.thread_time() - began < 10 * without + 0.1
