"""``zerorpc shell``, as who sits at a terminal sees it."""

from __future__ import annotations

import contextlib
import importlib.util
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.cli.terminal import Terminal
from tests.service.running import PATIENCE, serving, unused_port
from zerorpc.cli import main
from zerorpc.cli.shell import _greeting, _namespace
from zerorpc.described import Method, Service

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no terminals of this kind")

STANDARD = """
import sys
sys.modules["IPython"] = None
from zerorpc.cli import main
from zerorpc.client import exploring
exploring.TIME = 60  # a loaded machine may need longer than people wait for TAB
sys.argv[0] = "zerorpc"
sys.exit(main())
"""
WITH_IPYTHON = STANDARD.replace('sys.modules["IPython"] = None', "")


class Shop:
    def add(self, a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    def fail(self) -> None:
        raise ValueError("no\x1b[2J")

    def list(self) -> str:
        return "remote list"

    def bind(self) -> str:
        return "remote bind"


@pytest.fixture
def shop() -> Iterator[str]:
    with serving(Shop(), name="Shop") as server:
        yield server.endpoints[0]


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def start(code: str, *arguments: str, **environ: str) -> Terminal:
            environ = {"XDG_STATE_HOME": str(tmp_path / "state"), "ZERORPC_NO_HISTORY": "", **environ}
            terminal = Terminal(sys.executable, "-c", code, *arguments, folder=tmp_path, **environ)
            stack.callback(terminal.end)
            return terminal

        yield start


def test_the_standard_prompt(start: Start, shop: str, tmp_path: Path) -> None:
    terminal = start(STANDARD, "shell", shop)
    terminal.wait_for(r"^Shop at tcp://.*: 5 methods\.$")
    terminal.wait_for(r"^>>> $")
    for typed, shown in (
        ("client.ad\t40)\n", r"client\.add\(40\)\n42\n>>> "),
        ("_ + 1\n", r"\n43\n>>> "),
        ("add(1, b=1)\n", r"\n2\n>>> "),
        ("[n for n in cou\t3)]\n", r"count\(3\)\]\n\[0, 1, 2\]\n>>> "),
        ("await aclient.ad\t2, 3)\n", r"aclient\.add\(2, 3\)\n5\n>>> "),
        ("async for n in aclient.count(2): print('item', n)\n\n", r"item 0\nitem 1\n>>> "),
        ("bind(), list((1,)), client.list()\n", r"\n\('remote bind', \[1\], 'remote list'\)\n>>> "),
        ("print(add.__doc__)\n", r"\nAdd two numbers\.\n>>> "),
        ("fail()\n", r"\nValueError: no\\x1b\[2J\n>>> "),
        ("1 / 0\n", r"\nZeroDivisionError: division by zero\n>>> "),
        ("exit()\n", ""),
    ):
        terminal.type(typed)
        terminal.wait_for(shown)
    assert terminal.finish() == 0
    history = tmp_path / "state" / "zerorpc" / "shell_history"
    assert "client.add(40)" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_what_was_typed_is_there_the_next_time(start: Start, shop: str) -> None:
    for typed, shown in (("add(1)\n", r"\n3\n>>> "), ("\x1b[A\n", r"add\(1\)\n3\n>>> ")):
        terminal = start(STANDARD, "shell", shop)
        terminal.wait_for("^>>> $")
        terminal.type(typed)
        terminal.wait_for(shown)
        terminal.type("\x04")
        assert terminal.finish() == 0


def test_no_history_is_kept_if_that_is_not_wanted(start: Start, shop: str, tmp_path: Path) -> None:
    terminal = start(STANDARD, "shell", shop, ZERORPC_NO_HISTORY="1")
    terminal.wait_for("^>>> $")
    terminal.type("exit(3)\n")
    assert terminal.finish() == 3
    assert not (tmp_path / "state").exists()


def test_a_server_that_comes_later(start: Start) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    terminal = start(STANDARD, "shell", "--timeout", "0.1", endpoint)
    terminal.wait_for("aren't known yet")
    with serving(Shop(), bind=endpoint):
        terminal.wait_for("^>>> $")
        terminal.type(f"client.timeout = {PATIENCE}; client.add(40)\n")
        terminal.wait_for(r"\n42\n>>> ")
        terminal.type("exit()\n")
        assert terminal.finish() == 0


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython isn't installed")
def test_ipython(start: Start, shop: str, tmp_path: Path) -> None:
    environ = {"IPY_TEST_SIMPLE_PROMPT": "1", "IPYTHONDIR": str(tmp_path / "ipython"), "NO_COLOR": "1"}
    terminal = start(WITH_IPYTHON, "shell", shop, **environ)
    terminal.wait_for(r"^Shop at tcp://.*: 5 methods\.$")
    for number, (typed, shown) in enumerate(
        (
            ("client.add(40)", r"Out\[1\]: 42$"),
            ("_ + 1", r"Out\[2\]: 43$"),
            ("list(count(3))", r"Out\[3\]: \[0, 1, 2\]$"),
            ("await aclient.add(2, 3)", r"Out\[4\]: 5$"),
            ("get_ipython().Completer.use_jedi = False", ""),
            ("'.add' in get_ipython().complete('client.ad')[1]", r"Out\[6\]: True$"),
            ("client.add?", r"(?s)Signature: +client\.add\(a: int, b: int = 2\).*Add two numbers\."),
            ("fail()", r"^ValueError: no\\x1b\[2J$"),
            ("exit", ""),
        ),
        1,
    ):
        terminal.wait_for(rf"In \[{number}\]: ")
        terminal.type(f"{typed}\n")
        terminal.wait_for(shown)
    assert terminal.finish() == 0
    assert (tmp_path / "state" / "zerorpc" / "shell_history.sqlite").exists()


def test_what_is_piped_in_is_run(shop: str, tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text("x = 40")
    done = subprocess.run(
        [sys.executable, "-c", WITH_IPYTHON, "shell", shop],
        input="import tool\nprint(add(tool.x))\n",
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout.replace(">>> ", "")) == (0, "42\n")


@pytest.mark.parametrize("words", [[], ["tcp://a:1", "method"], ["--client", "tcp://a:1", "method"]])
def test_one_address_is_needed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", *words]) == 2
    assert "address" in capsys.readouterr().err


def test_names_that_python_needs_are_left_alone() -> None:
    names = ["add", "print", "lambda", "client", "aclient", "_hidden", "a-b", "robot.move", "zerorpc"]
    client = zerorpc.Client()
    found = _namespace(client, None, Service("s", {name: Method(name) for name in names}))
    assert set(found) == {"__name__", "__doc__", "client", "zerorpc", "add", "robot"}
    client.close()


def test_the_greeting() -> None:
    class Arguments:
        connect, bind = ["tcp://a:1"], []

    arguments: Any = Arguments()
    one = Service("S\x1b", {"print": Method("print")})
    assert _greeting(one, arguments, {}).startswith("S\\x1b at tcp://a:1: 1 method.\nType client.method(...), dir(")
