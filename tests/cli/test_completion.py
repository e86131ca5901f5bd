"""``zerorpc completion``, and what the shell completes with it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.programs import SCRIPTS, Program
from tests.cli.terminal import Terminal
from tests.service.running import serving, unused_port
from zerorpc.cli import completing, main

Complete = Callable[..., set[str]]
SECOND = "tcp://10.0.0.7:1"

# a loaded machine may need longer than the half second that people wait
MAIN = """
import sys
from zerorpc.cli import completing, main
completing.TIME = float(sys.argv[1])
sys.argv[:] = ["zerorpc"]
sys.exit(main())
"""


@pytest.fixture
def shop() -> Iterator[str]:
    with serving({"add": max, "addition": max, "list": max}) as server:
        yield server.endpoints[0]


@pytest.fixture
def state(tmp_path: Path, shop: str) -> Path:
    folder = tmp_path / "state" / "zerorpc"
    folder.mkdir(parents=True)
    (folder / "endpoints").write_text(f"{shop}\n{SECOND}\n")
    return tmp_path / "state"


@pytest.fixture
def complete(tmp_path: Path, state: Path) -> Iterator[Complete]:
    """What may stand where the line ends."""
    found = tmp_path / "found"
    with contextlib.ExitStack() as stack:

        def complete(line: str, time: float = 30) -> set[str]:
            environ = {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9", "XDG_STATE_HOME": str(state)}
            environ |= {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(found), "ZERORPC_NO_HISTORY": ""}
            environ |= {"_ARGCOMPLETE_COMP_WORDBREAKS": " "}
            program = Program("-c", MAIN, str(time), folder=tmp_path, script=Path(sys.executable).name, **environ)
            stack.callback(program.end)
            assert program.finish().out == ""
            return set(found.read_text().split("\013")) - {""}

        yield complete


def test_endpoints(complete: Complete, shop: str) -> None:
    known = {shop, SECOND}
    for line in ("zerorpc tcp", "zerorpc --connect tcp", "zerorpc shell tcp", "zerorpc trust tcp", "zerorpc bench tcp"):
        assert {each.strip() for each in complete(line)} == known, line


def test_a_gateway(complete: Complete, shop: str) -> None:
    for line in ("gateway tcp", "gateway --bind http://127.0.0.1:0 tcp", f"gateway {shop} --bind tcp"):
        assert {each.strip() for each in complete(f"zerorpc {line}")} == {shop, SECOND}, line
    assert complete("zerorpc gateway --ri") == {"--rights "}
    assert complete("zerorpc gate") == {"gateway "}


def test_methods(complete: Complete, shop: str) -> None:
    for line in (f"{shop} add", f"--connect {shop} add", f"bench {shop} add", f"--timeout 3 {shop} add"):
        assert {each.strip() for each in complete(f"zerorpc {line}")} == {"add", "addition"}, line
    assert "add" not in complete(f"zerorpc {shop} add ")


def test_methods_behind_flags(complete: Complete, shop: str) -> None:
    for line in (f"{shop} -? add", f"{shop} --json add", f"{shop} -o 'a file' add", f"--json {shop} --timeout 3 add"):
        assert {each.strip() for each in complete(f"zerorpc {line}")} == {"add", "addition"}, line
    assert complete(f"zerorpc {shop} --js") == {"--json", "--jsonl"}, "a flag itself stays where it is"


def test_methods_of_the_usual_address(complete: Complete, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZERORPC_ADDRESS", shop)
    assert {each.strip() for each in complete("zerorpc addi")} == {"addition"}
    assert {each.strip() for each in complete("zerorpc --json add")} == {"add", "addition"}
    assert complete("zerorpc comp") == {"completion "}


def test_flags_of_doctor(complete: Complete) -> None:
    assert "--json" in complete("zerorpc doctor --js")
    assert "doctor" in {word.strip() for word in complete("zerorpc doc")}


def test_flags_of_ping(complete: Complete) -> None:
    assert {"--count", "--connect"} <= complete("zerorpc ping --co")
    assert "--interval" in complete("zerorpc ping --in")


@pytest.mark.parametrize(
    "line", ["{0} a", "--user alice {1} a", "--bind {0} a", "nonsense a", "--curve-server k {1} a"]
)
def test_no_methods(complete: Complete, shop: str, line: str) -> None:
    nobody = f"tcp://127.0.0.1:{unused_port()}"
    assert complete(f"zerorpc {line.format(nobody, shop)}", time=0.05) == set()


def test_commands_and_shells(complete: Complete) -> None:
    assert complete("zerorpc comp") == {"completion "}
    assert complete("zerorpc completion z") == {"zsh "}
    assert complete("zerorpc --server comp") == set()


def test_modules_to_serve(complete: Complete, tmp_path: Path) -> None:
    for name in ("shop.py", "shelf/__init__.py", "shelf/lamp.py", "sh-ell.py", "shed/readme.txt", "sh.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for words in ("--server --bind tcp://127.0.0.1:1", "--server tcp://127.0.0.1:1"):
        assert {each.strip() for each in complete(f"zerorpc {words} sh")} == {"shop", "shelf"}, words
    assert complete("zerorpc --server --bind tcp://127.0.0.1:1 shelf.l") == {"shelf.lamp "}
    assert list(completing.modules("nothing.")) == []


def test_completing_remembers_nothing(complete: Complete, shop: str, state: Path) -> None:
    before = (state / "zerorpc" / "endpoints").read_text()
    complete(f"zerorpc {shop.replace('127.0.0.1', 'localhost')} a")
    assert (state / "zerorpc" / "endpoints").read_text() == before


# What goes into the startup file


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"\bzerorpc zerorpc-client|command zerorpc-client", printed)
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=printed, text=True, check=True)


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_one_shell_is_needed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", *words]) == 2
    assert "bash | zsh | fish" in capsys.readouterr().err


# How each shell is started without its user's settings, and what makes it complete
SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(zerorpc completion bash)"'),
    "zsh": (["-f", "-i"], 'eval "$(zerorpc completion zsh)"'),
    "fish": (["--no-config", "-i"], "zerorpc completion fish | source"),
}

# fish asks for a terminal that is its session's own
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_in_a_shell(shell: str, shop: str, state: Path, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        assert "CI" not in os.environ
        pytest.skip(f"there is no {shell}")
    flags, setup = SHELLS[shell]
    environ = {"PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", "XDG_STATE_HOME": str(state), "PS1": "$ "}
    terminal = Terminal(sys.executable, "-c", TAKE_TERMINAL, shell, *flags, folder=tmp_path, **environ)
    try:
        terminal.type(f'{setup}; echo rea""dy\n')
        terminal.wait_for("^ready$")
        terminal.type("zerorpc tcp://127.0\t")
        terminal.wait_for(re.escape(f"zerorpc {shop}"))
        terminal.type(" addi\t")
        terminal.wait_for("addition", again="\t")  # a loaded server may not tell its methods in half a second
    finally:
        terminal.end()
