"""A bar on stderr for a call that reports its progress, and none where there is no terminal."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import zerorpc
from tests.cli.programs import PATIENCE, SCRIPTS
from tests.cli.terminal import Terminal
from tests.service.running import serving


class Scanner:
    def __init__(self) -> None:
        self.seen = threading.Event()

    def scan(self) -> str:
        zerorpc.progress(1, 4, "first\x1b[31mline")
        self.seen.wait(PATIENCE)
        return "scanned"


def test_on_a_terminal(tmp_path: Path) -> None:
    scanner = Scanner()
    with serving(scanner) as server:
        terminal = Terminal(str(SCRIPTS / "zerorpc"), server.endpoints[0], "scan", folder=tmp_path, COLUMNS="80")
        try:
            terminal.wait_for(r"25%.*first")
            scanner.seen.set()
            terminal.wait_for("^'scanned'$")
            assert terminal.finish() == 0
        finally:
            terminal.end()


def test_of_how_much_is_not_known(tmp_path: Path) -> None:
    seen = threading.Event()

    def scan() -> None:
        zerorpc.progress(5, None, "x" * 1000)
        seen.wait(PATIENCE)

    with serving({"scan": scan}) as server:
        terminal = Terminal(str(SCRIPTS / "zerorpc"), server.endpoints[0], "scan", folder=tmp_path, COLUMNS="80")
        try:
            terminal.wait_for(r"0:00:\d\d 5 x+…")
            seen.set()
            assert terminal.finish() == 0
            assert "5%" not in terminal.shown
        finally:
            terminal.end()


def test_a_stream_that_reports_later_than_its_first_item(tmp_path: Path) -> None:
    """The bar goes when items begin to come, and does not come back."""

    def items() -> Iterator[int]:
        yield 1
        for number in range(100):
            zerorpc.progress(number, 100)
        yield 2

    with serving({"items": items}) as server:
        terminal = Terminal(str(SCRIPTS / "zerorpc"), server.endpoints[0], "items", folder=tmp_path, COLUMNS="80")
        try:
            assert terminal.finish() == 0
            assert "%" not in terminal.shown
            assert "\x1b[?25l" not in terminal.shown  # which hides the cursor
        finally:
            terminal.end()


def test_in_a_pipe() -> None:
    scanner = Scanner()
    scanner.seen.set()
    with serving(scanner) as server:
        (endpoint,) = server.endpoints
        command = [str(SCRIPTS / "zerorpc"), endpoint, "scan"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "'scanned'\n"
    assert done.stderr == f'Connecting to "{endpoint}"\n'
