"""Which endpoints are remembered, and how."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.service.running import serving
from zerorpc.cli import main
from zerorpc.cli.endpoints import MOST, remember, used


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("ZERORPC_NO_HISTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "zerorpc" / "endpoints"


def test_the_newest_comes_first_and_each_once(file: Path) -> None:
    for endpoint in ("tcp://a:1", "tls+tcp://b:2", "ipc:///c", "ipc://@d", "tcp://a:1"):
        remember([endpoint])
    assert used() == ["tcp://a:1", "ipc://@d", "ipc:///c", "tls+tcp://b:2"]
    assert file.read_text() == "".join(f"{endpoint}\n" for endpoint in used())
    assert os.listdir(file.parent) == ["endpoints"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_oldest_is_forgotten() -> None:
    for port in range(MOST + 5):
        remember([f"tcp://a:{port}"])
    assert (len(used()), used()[-1]) == (MOST, "tcp://a:5")


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://user:secret@a:1", "tcp://a:1?token=secret", "tcp://a:1\nb", "inproc://a", "a", "", f"ipc://{'a' * 200}"],
)
def test_what_may_be_secret_or_is_of_no_use_is_left_out(endpoint: str, file: Path) -> None:
    remember([endpoint])
    assert not file.exists()


def test_the_last_one_is_not_written_again(file: Path) -> None:
    remember(["tcp://a:1"])
    before = file.stat()
    remember(["tcp://a:1"])
    assert file.stat().st_ino == before.st_ino


def test_off(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZERORPC_NO_HISTORY", "1")
    remember(["tcp://a:1"])
    assert not file.exists()


def test_a_folder_that_cannot_be_written_and_a_file_that_is_no_text(file: Path) -> None:
    file.parent.write_text("a file where the folder would be")
    remember(["tcp://a:1"])
    assert used() == []
    file.parent.unlink()
    file.parent.mkdir()
    file.write_bytes(b"\xff")
    assert used() == []


def test_a_call_that_was_answered_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"add": lambda a, b: a + b}) as server:
        assert main(["-j", server.endpoints[0], "add", "1", "2"]) == 0
        assert used() == server.endpoints
    assert main(["--timeout", "0.05", "tcp://127.0.0.1:9", "add"]) == 1
    assert len(used()) == 1
