"""What becomes of the words after a method, as its server gets them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import serving
from zerorpc.cli import main
from zerorpc.cli.words import Words


class Studio:
    def put(self, data: bytes, name: str = "", size: int = 0) -> list[Any]:
        return [data, name, size]

    def say(self, text: str, *more: str) -> list[str]:
        return [text, *more]

    def plain(self, a, b=2, *, c=3):  # type: ignore[no-untyped-def]
        return [a, b, c]

    def all(self, **named: Any) -> dict[str, Any]:
        return named

    def timed(self, timeout: float) -> float:
        return timeout


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def studio() -> Iterator[str]:
    with serving(Studio()) as server:
        yield server.endpoints[0]


@pytest.fixture
def call(studio: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the program in a folder with a few files; what it said is returned without the line on connecting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["zerorpc"])
    Path("text").write_bytes("café".encode())
    Path("bytes").write_bytes(b"\xff\x00")
    Path("three").write_bytes(b"3\n")

    def call(*words: str) -> tuple[int, str, str]:
        code = main((*words[:1], studio, *words[1:]) if words[0].startswith("-") else (studio, *words))
        out, err = capsys.readouterr()
        return code, out, err.replace(f'Connecting to "{studio}"\n', "")

    return call


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("plain a=1", "['1', 2, 3]"),
        ("plain x c=y", "['x', 2, 'y']"),
        ("put x size=3", "[b'x', '', 3]"),  # the server makes of it what the annotation says
        ("timed timeout=9", "9.0"),  # it is the method's, and no option of the call
        ("all a=1 b=x=y", "{'a': '1', 'b': 'x=y'}"),
        ("-j plain a=1 b=[2]", "[1, [2], 3]"),
        ("-j all timeout=null", "{'timeout': None}"),
    ],
)
def test_keywords(call: Call, line: str, out: str) -> None:
    assert call(*line.split()) == (0, f"{out}\n", "")


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("plain d=1", "['d=1', 2, 3]"),  # it has no such parameter
        ("say text", "['text']"),
        ("say a b=1 more=2", "['a', 'b=1', 'more=2']"),  # *more takes no keyword
        ("plain =a", "['=a', 2, 3]"),
        ("plain 1a=b", "['1a=b', 2, 3]"),
        ("plain -- a=1 c=2", "['a=1', 'c=2', 3]"),
        ("plain -- - @text", "['-', '@text', 3]"),
        ("plain @@text @", "['@text', '@', 3]"),
        ("plain a=@@text", "['@text', 2, 3]"),
    ],
)
def test_words_that_stay_text(call: Call, line: str, out: str) -> None:
    assert call(*line.split()) == (0, f"{out}\n", "")


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("put @bytes", r"[b'\xff\x00', '', 0]"),
        ("put @text name=@text size=@three", r"[b'caf\xc3\xa9', 'café', 3]"),
        ("say @text @text", "['café', 'café']"),
        ("plain @text c=@bytes", r"[b'caf\xc3\xa9', 2, b'\xff\x00']"),
        ("all x=@text", r"{'x': b'caf\xc3\xa9'}"),
        ("-j plain @three c=@three", "[3, 2, 3]"),
    ],
)
def test_files(call: Call, line: str, out: str) -> None:
    assert call(*line.split()) == (0, f"{out}\n", "")


@pytest.mark.parametrize(("word", "out"), [("-", "'a'"), ("@-", "'a'"), ("name=-", "'a'")])
def test_standard_input(call: Call, monkeypatch: pytest.MonkeyPatch, word: str, out: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a")))
    assert call("put", "x", word) == (0, f"[b'x', {out}, 0]\n", "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("plain @nothing", "@nothing can't be read: No such file or directory"),
        ("plain a=@nothing", "@nothing can't be read: No such file or directory"),
        ("say @bytes", "bytes is not text in UTF-8, and the parameter takes no bytes"),
        ("-j plain @bytes", "bytes is not text in UTF-8, and so no JSON"),
        ("-j plain @text", "parameter 1 is not JSON: café ("),
        ("-j plain a=x", "parameter 1 is not JSON: x ("),
        ("-j plain d=1", "d=1 is not JSON, and the method has no parameter d that is known"),
        ("plain a=1 a=2", "a is given twice"),
        ("plain - -", "standard input can be one argument only, and two words name it"),
    ],
)
def test_what_cannot_be_an_argument(call: Call, monkeypatch: pytest.MonkeyPatch, line: str, problem: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a")))
    code, out, err = call(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"zerorpc: {problem}")


def test_a_missing_file_is_found_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zerorpc.Client", None)
    assert main(["ipc://nowhere", "put", "@/nothing"]) == 2
    assert "@/nothing can't be read" in capsys.readouterr().err


def test_a_closed_standard_input(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = call("plain", "-")
    assert (code, err.splitlines()[0]) == (2, "zerorpc: standard input is closed")


def test_the_server_is_asked_only_if_a_word_needs_it() -> None:
    asked: list[str] = []

    def ask() -> None:
        asked.append("asked")

    assert Words(["a", "=b", "c d=e", "@@f"]).arguments(ask) == (["a", "=b", "c d=e", "@f"], {})
    assert not asked
    words = Words(["a=b"])
    assert words.arguments(ask) == words.arguments(ask) == (["a=b"], {})
    assert asked == ["asked"]
