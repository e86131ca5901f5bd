"""``--watch``: the same call again and again, in a pipe and on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.programs import PATIENCE, SCRIPTS
from tests.service.running import serving
from zerorpc.cli import main, watching


class Meter:
    def __init__(self) -> None:
        self.readings = 0

    def read(self) -> int:
        self.readings += 1
        if self.readings == 2:
            raise ValueError("out of order")
        return self.readings

    def some(self) -> Iterator[int]:
        yield 1
        raise ValueError("halfway")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between rounds, none of which is made. In the third the user types Ctrl-C."""
    made: list[float] = []

    def pause(seconds: float) -> None:
        made.append(seconds)
        if len(made) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching, "pause", pause)
    return made


def test_in_a_pipe_one_after_another(pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Meter()) as server:
        assert main(["--watch", "60", server.endpoints[0], "read"]) == 130
    captured = capsys.readouterr()
    assert captured.out == "1\n3\n"
    assert captured.err.splitlines()[-1] == "ValueError: out of order"
    assert len(pauses) == 3
    assert all(0 < seconds <= 60 for seconds in pauses)


def test_a_stream_that_breaks(pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Meter()) as server:
        assert main(["--watch", "60", server.endpoints[0], "some"]) == 130
    captured = capsys.readouterr()
    assert captured.out == "1\n1\n1\n"
    assert captured.err.count("ValueError: halfway") == 3


def test_a_server_that_comes_late(
    monkeypatch: pytest.MonkeyPatch, ipc_endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not there in the first round. When the client tries to connect again is the client's business."""
    said: list[tuple[str, str]] = []

    def pause(seconds: float) -> None:
        said.append(capsys.readouterr())
        if len(said) == 1:
            stack.enter_context(serving({"read": lambda: "here"}, bind=ipc_endpoint))
        elif said[-1][0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching, "pause", pause)
    with contextlib.ExitStack() as stack:
        assert main(["--timeout", "0.2", "--watch", "60", ipc_endpoint, "read"]) == 130
    (first, problem), *_, (last, _) = said
    assert (first, last) == ("", "'here'\n")
    assert ipc_endpoint in problem.splitlines()[1]


def test_each_round_replaces_the_file(pauses: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Meter()) as server:
        assert main(["--watch", "60", "-o", str(tmp_path / "file"), server.endpoints[0], "read"]) == 130
    assert (tmp_path / "file").read_text() == "3\n"


def test_a_wrong_command_line_is_not_repeated(pauses: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Meter()) as server:
        assert main(["--watch", "60", "-j", server.endpoints[0], "read", "a=1"]) == 2
        assert main(["--watch", "60", "-j", server.endpoints[0], "read", '"\\ud800"']) == 2
    assert not pauses


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "inf"])
def test_seconds_above_0(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--watch={seconds}", "ipc://s", "read"]) == 2
    assert "is not a number of seconds above 0" in capsys.readouterr().err


def test_on_a_terminal_each_round_takes_the_place_of_the_one_before() -> None:
    ours, theirs = pty.openpty()
    with serving(Meter()) as server:
        program = subprocess.Popen(
            [str(SCRIPTS / "zerorpc"), "--watch", "0.05", server.endpoints[0], "read"],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "40"},
            process_group=0,
        )
        os.close(theirs)
        try:
            shown = _read_until(ours, r"\r\n\r\n4\r\n")
            program.send_signal(signal.SIGINT)
            assert program.wait(PATIENCE) == 130
        finally:
            program.kill()
            program.wait()
            os.close(ours)
    connecting, first, second, third, *_ = shown.split(watching.CLEAR)
    assert "Connecting to" in connecting
    head = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  every 0\.05s: read\r\n\r\n"
    assert re.fullmatch(rf"{head}1\r\n", first)
    assert re.fullmatch(rf"{head}Traceback.*ValueError: out of order\r\n", second, re.DOTALL)
    assert re.fullmatch(rf"{head}3\r\n", third)


def _read_until(terminal: int, pattern: str) -> str:
    said, deadline = "", time.monotonic() + PATIENCE
    while not re.search(pattern, said):
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], said
        said += os.read(terminal, 65536).decode()
    return said
