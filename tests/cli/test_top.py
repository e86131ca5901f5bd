"""``zerorpc top``: one picture, JSON, and the table that goes on, at a terminal of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import re
import signal
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.cli.programs import SCRIPTS
from tests.cli.terminal import Terminal
from tests.cli.test_calling import answers
from tests.service.running import PATIENCE, eventually, serving, unused_port
from zerorpc.cli import main
from zerorpc.cli.top_screen import duration, number, short
from zerorpc.errors import PermissionDenied, RemoteError, UnknownMethod

__all__ = ["answers"]

ZERORPC = str(SCRIPTS / "zerorpc")


class Robot:
    def __init__(self) -> None:
        self.over = threading.Event()

    def move(self, x: float) -> float:
        return x

    def boom(self) -> None:
        raise ValueError("out of\x1b[2J reach")

    async def home(self) -> None:
        await asyncio.sleep(2 * PATIENCE)


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])


failing = threading.Event()


@pytest.fixture(scope="module")
def robot() -> Iterator[str]:
    """A server that is called all the time."""
    over = threading.Event()
    with serving(Robot(), name="Robot") as server:

        def call() -> None:
            with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30.0) as client:
                client.home(async_=True)
                while not over.wait(0.01):
                    client.move(1.0)
                    if failing.is_set():
                        client.boom(async_=True).wait()

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield server.endpoints[0]
        finally:
            over.set()
            thread.join()


# Once


def test_one_picture(robot: str, capsys: pytest.CaptureFixture[str]) -> None:
    failing.set()
    try:
        assert main(["top", "--once", "-i", "0.5", robot]) == 0
    finally:
        failing.clear()
    captured = capsys.readouterr()
    head, gauges, *rows = captured.out.splitlines()
    assert head.startswith(f"Robot  zerorpc {zerorpc.__version__} · pid ")
    assert head.endswith(robot)
    assert re.match(r"[\d.]+ calls/s  [12] running  0 waiting  2 connections  0 streams  ", gauges)
    move = next(row for row in rows if row.startswith("move")).split()
    assert float(move[1]) > 0
    assert "█" in move[2]
    assert any(row.split()[:1] == ["home"] for row in rows)
    calls = rows[next(at for at, row in enumerate(rows) if row.startswith("oldest calls")) + 1]
    assert calls.split()[2:4] == ["running", "home"]
    assert "127.0.0.1" in calls
    assert "boom  ValueError: out of\\x1b[2J reach  tcp://127.0.0.1" in captured.out
    assert "\x1b" not in captured.out
    assert "leaves" not in captured.out, "there are no keys"
    assert captured.err == ""


def test_as_json(robot: str, capsys: pytest.CaptureFixture[str]) -> None:
    def look() -> Any:
        assert main(["top", "--once", "--json", "-i", "0.2", robot]) == 0
        told.update(json.loads(capsys.readouterr().out))
        return next(each for each in told["methods"] if each["name"] == "move")

    told: dict[str, Any] = {}
    eventually(lambda: look()["calls"] > 0, "it counts what comes between two looks")
    (moves,) = [each for each in told["methods"] if each["name"] == "move"]
    assert told["name"] == "Robot"
    assert sum(moves["seconds"]["counts"]) == moves["calls"]


def test_in_a_pipe_one_picture_is_enough(robot: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "-i", "0.1", robot]) == 0
    assert capsys.readouterr().out.count("Robot  zerorpc") == 1


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (UnknownMethod("NameError", "_zerorpc_status", None, ran=False), "it is an older zerorpc"),
        (RemoteError("NameError", "_zerorpc_status", None), "it is an older zerorpc, of 0.6 perhaps"),
        (PermissionDenied("PermissionError", "only callers on its own machine", None), "only callers on its own"),
        ("nonsense", "what it answers is no status"),
    ],
)
def test_a_server_that_does_not_tell(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str], error: object, why: str
) -> None:
    answers["_zerorpc_status"] = error
    assert main(["top", "ipc://s"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"zerorpc: ipc://s doesn't tell what it does: {why}")
    assert captured.err.count("\n") == 1


def test_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    assert main(["top", "--timeout", "2", endpoint]) == 1
    assert capsys.readouterr().err == f"zerorpc: nothing listens at {endpoint} (connection refused)\n"


@pytest.mark.parametrize("words", [["top"], ["top", "tcp://h:1", "move"], ["top", "-i", "0", "tcp://h:1"]])
def test_a_wrong_command_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err


def test_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--help"]) == 0
    assert "what keeps its event loop from turning" in " ".join(capsys.readouterr().out.split())


# At a terminal


class Screen(Terminal):
    """One of a size, and with the settings of a terminal."""

    def __init__(self, *command: str, folder: Path, size: tuple[int, int] = (30, 100)) -> None:
        super().__init__(*command, folder=folder, PYTHONIOENCODING="utf-8")
        self.resize(*size)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._own)


@pytest.fixture
def screen(robot: str, tmp_path: Path) -> Iterator[Screen]:
    made = Screen(ZERORPC, "top", "-i", "0.2", robot, folder=tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_keys(screen: Screen) -> None:
    screen.wait_for(r"sorts, now by calls/s")
    screen.wait_for(r"[1-9][\d.]* calls/s")
    screen.type("s")
    screen.wait_for(r"sorts, now by p99")
    screen.type("ssx\x1b[A")
    screen.wait_for(r"sorts, now by running")
    screen.type("\x1bOPq")
    assert screen.finish() == 0
    assert screen.settings == screen.before, "the terminal is as it was"


def test_ctrl_c_leaves_quietly(screen: Screen) -> None:
    screen.wait_for(r"sorts, now by")
    screen.process.send_signal(signal.SIGINT)  # as a terminal does it, which this one is not to the process
    assert screen.finish() == 0
    assert "Traceback" not in screen.shown
    assert "KeyboardInterrupt" not in screen.shown
    assert screen.settings == screen.before


def test_sigterm_leaves_the_terminal_as_it_was(screen: Screen) -> None:
    screen.wait_for(r"sorts, now by")
    screen.process.terminate()
    assert screen.finish() == 0
    assert screen.settings == screen.before


def test_another_size(screen: Screen) -> None:
    screen.wait_for("─{75}")
    screen.resize(12, 60)
    screen.wait_for("(?<!─)─{45,48}(?!─)")
    screen.type("q")
    assert screen.finish() == 0


def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    screen = None
    try:
        with serving(Robot(), bind=endpoint, name="Robot"):
            screen = Screen(ZERORPC, "top", "-i", "0.1", "--timeout", "1", endpoint, folder=tmp_path)
            screen.wait_for("sorts, now by")
        screen.wait_for("no answer: nothing listens at")
        with serving(Robot(), bind=endpoint, name="Robot"):
            screen.wait_for(r"up \d s(?s:(?!no answer).)*sorts, now by")
            screen.type("q")
            assert screen.finish() == 0
    finally:
        if screen is not None:
            screen.end()


# Figures as texts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2e-7, "<1 µs"),
        (8.6e-5, "86 µs"),
        (0.00123, "1.2 ms"),
        (0.34, "340 ms"),
        (2.5, "2.5 s"),
        (61, "1 min 1 s"),
    ],
)
def test_short(seconds: float, text: str) -> None:
    assert short(seconds, 2) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (90000, "1 d 1 h"), (86400, "1 d")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_number() -> None:
    assert list(map(number, (0, 0.25, 3, 9.96, 12.4, 12345))) == ["0", "0.2", "3", "10.0", "12", "12,345"]
