"""Text out: results, JSON that stays valid, and terminals that stay safe."""

from __future__ import annotations

import array
import datetime
import io
import json
import math
import pprint
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from zerorpc.cli import printing
from zerorpc.cli.printing import DIGITS_MAX, OutputClosed, note, one_line, pretty, show, show_stream, to_json, write

CONTENT = b"\xff\x00text"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -2.5,
        "text",
        "x " * 60,
        b"\xff",
        [],
        {},
        [1, 2],
        {"b": 1, "a": {"d": 1, "c": 2}},
        ["x" * 50] * 4,
    ],
)
def test_results_look_as_pprint_shows_them(value: object) -> None:
    assert pretty(value) == pprint.pformat(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 2.5, "é", None, True]}, '{"a": [1, 2.5, "\\u00e9", null, true]}'),
        (math.nan, "null"),
        ([math.inf, -math.inf, 0.0], "[null, null, 0.0]"),
        (CONTENT, '"/wB0ZXh0"'),
        (b"text", '"dGV4dA=="'),
        ({1: "a", None: "b"}, '{"1": "a", "null": "b"}'),
        ({b"\xff": 1}, '{"/w==": 1}'),
        ({(1, "a"): b""}, '{"[1, \\"a\\"]": ""}'),
        ({1.5: b"", None: 1, True: 2, math.nan: 3}, '[[1.5, ""], [null, 1], [true, 2], [null, 3]]'),
        ({1.5: b"", None: 1, True: 2}, '{"1.5": "", "null": 1, "true": 2}'),
        ({3, 1, 2}, "[1, 2, 3]"),
        ({"b", 1, None}, '["b", 1, null]'),
        ((1, (2, 3)), "[1, [2, 3]]"),
        ({"set": {1}}, '{"set": [1]}'),
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), '"2026-01-02T03:04:00+00:00"'),
        (2**64, "18446744073709551616"),
        ("\ud800", '"\\ud800"'),
        (3j, "[0.0, 3.0]"),
    ],
)
def test_any_value_is_valid_json(value: object, expected: str) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert to_json(value) == expected
    json.loads(expected, parse_constant=no_constant)


@pytest.mark.parametrize("items", [[], [1], [1, "two", None]])
def test_a_stream_as_json_is_one_array(capsys: pytest.CaptureFixture[str], items: list[object]) -> None:
    show_stream(iter(items), as_json=True)
    assert json.loads(capsys.readouterr().out) == items


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_stream_that_fails_leaves_valid_json(capsys: pytest.CaptureFixture[str], before: int) -> None:
    def items() -> Iterator[int]:
        yield from range(before)
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError):
        show_stream(items(), as_json=True)
    assert json.loads(capsys.readouterr().out) == list(range(before))


@pytest.mark.parametrize("strike", ["before the line", "after the line"])
def test_ctrl_c_around_a_write_leaves_valid_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], strike: str
) -> None:
    written = []

    def interrupted(text: str) -> None:
        if text.startswith("2") and strike == "before the line":
            raise KeyboardInterrupt
        write(text)
        written.append(text)
        if text.startswith("2"):
            raise KeyboardInterrupt

    monkeypatch.setattr(printing, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        show_stream(iter([2, 3]), as_json=True)
    assert json.loads(capsys.readouterr().out) == ([] if strike == "before the line" else [2])
    assert written[-1] == "]\n"


@pytest.mark.parametrize(("as_json", "expected"), [(False, ["0\n", "1\n"]), (True, ["[0\n", ",1\n"])])
def test_each_item_is_out_before_the_next_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, expected: list[str]
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(_Unclosed(raw)), "utf-8"))
    seen = []

    def items() -> Iterator[int]:
        for item in range(2):
            yield item
            seen.append(raw.getvalue().decode())

    show_stream(items(), as_json)
    assert seen == [expected[0], "".join(expected)]


class _Unclosed(io.RawIOBase):
    """A file that keeps what was really written to it, past all buffers."""

    def __init__(self, raw: io.BytesIO) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._raw.write(data)


def test_one_result_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    show({"a": CONTENT}, as_json=True)
    assert capsys.readouterr().out == '{"a": "/wB0ZXh0"}\n'


class _Failing(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def flush(self) -> None:
        raise self._error


def test_a_reader_that_has_gone_is_told_from_other_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Failing(BrokenPipeError()))
    with pytest.raises(OutputClosed):
        write("text")
    monkeypatch.setattr(sys, "stdout", _Failing(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="the result can't be written: No space left on device"):
        write("text")
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OSError, match="stdout is closed"):
        write("text")


def test_what_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, "ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        write("'é'\n")
        assert raw.getvalue() == b"'\\xe9'\n"


def test_a_remote_text_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    note("a\x1b[2Jb\tc\nd\x9b\r")
    assert capsys.readouterr().err == "a\\x1b[2Jb\tc\nd\\x9b\\x0d\n"


def test_a_broken_stderr_silences_us_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", _Failing(BrokenPipeError()))
    note("text")
    monkeypatch.setattr(sys, "stderr", None)
    note("text")
    assert capsys.readouterr().out == ""


def test_an_error_is_one_line() -> None:
    assert one_line(ValueError("a\nb")) == "a; b"
    assert one_line(ValueError()) == "ValueError"


def test_line_width_is_that_of_pprint() -> None:
    for length in range(70, 90):
        value = "ab " * (length // 3)
        assert pretty(value) == pprint.pformat(value, width=printing.LINE_WIDTH)


@pytest.mark.parametrize("depth", [300, 600, 900, 100_000])
@pytest.mark.parametrize("inside", [0, float("nan")])
@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_nested_as_deep_as_can_be_read(
    capsys: pytest.CaptureFixture[str], depth: int, inside: float, as_json: bool
) -> None:
    value: object = inside
    for _ in range(depth):
        value = [value]
    show(value, as_json)
    shown = capsys.readouterr().out.strip().strip('"')
    assert "nested too deep to show" in shown or shown.count("[") == depth


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1.5, np.nan], [2, 3]]), "[[1.5, null], [2.0, 3.0]]"),
        (np.int8(3), "3"),
        ([np.float64(0.5)], "[0.5]"),
        (array.array("i", [1, 2]), "[1, 2]"),
        (memoryview(array.array("i", [1, 2])), "[1, 2]"),
        (datetime.timedelta(hours=1), "3600.0"),
        ({datetime.date(2026, 11, 28): {1}}, '{"2026-11-28": [1]}'),
        (2**70, str(2**70)),
    ],
)
def test_types_that_messagepack_lacks_as_json(value: object, expected: str) -> None:
    assert to_json(value) == expected


def test_memory_of_numbers_is_shown_as_these(capsys: pytest.CaptureFixture[str]) -> None:
    show(memoryview(array.array("i", [1, 2])), as_json=False)
    assert capsys.readouterr().out == "[1, 2]\n"


def test_numbers_of_many_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(DIGITS_MAX)  # as main() does
    try:
        assert to_json([10**5000]) == f"[1{'0' * 5000}]"
        assert pretty(10**5000) == f"1{'0' * 5000}"
        assert to_json({"a": 10**200_000}) == f'{{"a": "{hex(10**200_000)}"}}'
        assert pretty(10**200_000) == hex(10**200_000)
        assert pretty([10**200_000]) == "<a value of type list>"
    finally:
        sys.set_int_max_str_digits(before)
