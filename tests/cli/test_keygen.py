"""``zerorpc keygen``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import zerorpc
from zerorpc.cli import main
from zerorpc.keys import KeyPair


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])
    monkeypatch.chdir(tmp_path)


def test_it_writes_two_files_and_tells_the_public_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["keygen", "robot"]) == 0
    told = capsys.readouterr()
    assert zerorpc.Curve("robot.key_secret").public_key == told.out.strip()
    assert zerorpc.Curve(server_key="robot.key").server_key == told.out.strip()
    assert told.err == (
        "robot.key: the public key, for those who are to know you by it\n"
        "robot.key_secret: the secret key, which only you may read\n"
    )
    assert (tmp_path / "robot.key_secret").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["robot.key", "robot.key_secret"]


def test_a_folder_in_front(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    assert main(["keygen", str(tmp_path / "keys" / "robot")]) == 0
    assert (tmp_path / "keys" / "robot.key").exists()
    assert main(["keygen", str(tmp_path / "missing" / "robot")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_no_key_is_ever_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["keygen", "robot"]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["keygen", "robot"]) == 2
    assert "robot.key_secret exists already" in capsys.readouterr().err
    (tmp_path / "robot.key_secret").unlink()
    assert main(["keygen", "robot"]) == 2
    assert "robot.key exists already" in capsys.readouterr().err
    del before["robot.key_secret"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("words", [[], ["a", "b"], ["keys/"], [""]])
def test_one_name_is_needed(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["keygen", *words]) == 2
    assert "one name is needed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_and_a_flag_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--help"]) == 0
    assert "usage: zerorpc keygen" in capsys.readouterr().out
    assert main(["keygen", "robot", "--bits", "4096"]) == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_without_pynacl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def generate() -> KeyPair:
        raise ModuleNotFoundError("CURVE needs PyNaCl: pip install pynacl")

    monkeypatch.setattr(KeyPair, "generate", generate)
    assert main(["keygen", "robot"]) == 2
    assert "CURVE needs PyNaCl" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
