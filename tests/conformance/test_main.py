"""The command that puts somebody's implementation through the conversations."""

from __future__ import annotations

import shlex

import pytest

from tests.conformance.__main__ import main
from tests.conformance.implementations import ours


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["conformance", *arguments])
    return main()


def test_what_conforms(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server, client = (shlex.join(command) for command in (ours().server or [], ours().client or []))
    assert run(monkeypatch, "--server", server, "--client", client, "request-ok", "client-ok") == 0
    out = capsys.readouterr().out
    assert "ok      request-ok\n" in out
    assert "ok      client-ok\n" in out
    assert "0 not as expected" in out


def test_what_deviates_no_longer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server = shlex.join(ours().server or [])
    assert run(monkeypatch, "--server", server, "--name", "python-0.6.3", "id-array") == 1
    assert "CHANGED id-array\n" in capsys.readouterr().out


def test_what_deviates(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that takes no heed of its heartbeat: it is given another one."""
    server = shlex.join(["sh", "-c", f"exec {shlex.join(ours().server or [])} 60"])
    assert run(monkeypatch, "--server", server, "--name", "yours", "extension-ping") == 1
    out = capsys.readouterr().out
    assert "DEVIATES extension-ping" in out
    assert "timed out" in out


def test_nothing_to_test(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch)
