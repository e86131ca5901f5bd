"""``zerorpc diff``: files and running servers, what is printed, and the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import zerorpc
from tests.service.running import serving, unused_port
from zerorpc.cli import main
from zerorpc.keys import KeyPair


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])


def step(n: int, speed: float = 1.0) -> float:
    return n * speed


def slower_step(count: int, *, speed: int) -> float:
    return count * speed


@pytest.fixture
def old(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``zerorpc schema`` printed of a server with ``step``."""
    with serving({"step": step, "stop": lambda: None}) as server:
        assert main(["schema", server.endpoints[0]]) == 0
    path = tmp_path / "old.json"
    path.write_text(capsys.readouterr().out)
    return str(path)


def test_what_breaks_callers_is_a_line_each(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": slower_step}) as server:
        assert main(["diff", old, server.endpoints[0]]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "SOURCE step: parameter n is called count now",
        "WIRE step: parameter speed can only be given by keyword now",
        "WIRE step: parameter speed has no default any more",
        "WIRE step: parameter speed: float became int",
        "WIRE stop: the method is gone",
    ]


def test_what_is_added_breaks_nobody(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": step, "stop": lambda now=False: now, "go": lambda: None}) as server:
        assert main(["diff", "--timeout", "30", old, server.endpoints[0]]) == 0
        assert main(["diff", old, old]) == 0
        assert main(["diff", server.endpoints[0], old]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "WIRE stop: parameter now was removed"
    assert "nothing that would break a caller" in said.err


def test_what_is_not_told_is_named(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": max, "stop": lambda: None}) as server:
        assert main(["diff", old, server.endpoints[0]]) == 1  # its result isn't told either
    assert "what these take isn't told, and so isn't compared: step\n" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"methods": 3}', '{"methods": {"a": {"parameters": [3]}}}'])
def test_a_file_that_schema_did_not_print(
    text: str, old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    assert main(["diff", old, str(bad)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"zerorpc: {bad} can't be read: ")


def test_what_can_not_be_read(old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"tcp://127.0.0.1:{unused_port()}"
    for new in (str(tmp_path / "missing.json"), str(tmp_path), "ftp://a:1", nobody):
        assert main(["diff", "--timeout", "0.05", old, new]) == 2
        assert f"zerorpc: {new} can't be read: " in capsys.readouterr().err


def test_a_server_that_wants_keys_says_what_to_do(
    old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving({"step": step}, curve=zerorpc.Curve(KeyPair.generate().secret)) as server:
        endpoint = server.endpoints[0]
        assert main(["diff", old, endpoint]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(f"type: zerorpc trust {endpoint}, or add --curve-server with its public key\n")


@pytest.mark.parametrize("words", [[], ["old.json"], ["a", "b", "c"]])
def test_two_are_needed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *words]) == 2
    assert "an old and a new one are needed" in capsys.readouterr().err


def test_flags_of_servers_are_refused_and_those_of_tls_need_an_address(
    old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--allow", "*", old, old]) == 2
    assert main(["diff", "--tls-ca", "ca.pem", old, "tcp://127.0.0.1:1"]) == 2
    assert "--tls-ca does nothing at tcp://127.0.0.1:1" in capsys.readouterr().err
    assert main(["diff", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: zerorpc diff [options] old new\n")


def test_what_a_hostile_file_says_does_not_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil, empty = tmp_path / "evil.json", tmp_path / "empty.json"
    evil.write_text(json.dumps({"methods": {"a\x1b[2J\nWIRE b": {}}}))
    empty.write_text('{"methods": {}}')
    assert main(["diff", str(evil), str(empty)]) == 1
    assert capsys.readouterr().out == "WIRE a\\x1b[2J\\nWIRE b: the method is gone\n"
