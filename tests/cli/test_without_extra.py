"""The command line where only the library was installed: no rich, no argcomplete. See tests/packages for real venvs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.programs import Outcome, Program
from tests.service.running import serving

# A name that stands for None in sys.modules can't be imported.
MAIN = """
import sys
sys.modules.update(dict.fromkeys(["rich", "argcomplete"]))
from zerorpc.cli import main
sys.argv[0] = "zerorpc"
sys.exit(main())
"""

Run = Callable[..., Outcome]


class Shop:
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts the command line in a process that lacks them; it is ended after the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **environ: str) -> Program:
            program = Program("-c", MAIN, *arguments, folder=tmp_path, script=Path(sys.executable).name, **environ)
            stack.callback(program.end)
            return program

        yield start


@pytest.fixture
def run(start: Callable[..., Program]) -> Run:
    return lambda *arguments, **environ: start(*arguments, **environ).finish()


@pytest.fixture
def shop() -> Iterator[str]:
    with serving({"add": lambda a, b: a + b}, name="Shop") as server:
        yield server.endpoints[0]


def test_calls_lists_and_help_are_as_ever(run: Run, shop: str) -> None:
    assert run("-j", shop, "add", "1", "2").out == "3\n"
    assert run(shop).out == "[Shop]\nadd (a, b)\n"
    assert run("--help").out.startswith("usage: zerorpc [options] address")


def test_a_server_serves(start: Callable[..., Program], run: Run) -> None:
    server = start("--server", "--bind", "tcp://127.0.0.1:0", "math")
    endpoint = server.wait_for(r"binding to \"(.*)\"")[1]
    assert run("-j", endpoint, "hypot", "3", "4").out == "5.0\n"
    server.interrupt()
    assert server.finish().code == 0


def test_a_measurement_is_shown_without_colours(run: Run, shop: str) -> None:
    shown = run("bench", shop, "--duration", "1", "--warmup", "0", FORCE_COLOR="1", PYTHONIOENCODING="utf-8")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert shown.out.split()[0] == "calls"
    assert " █" in shown.out


@pytest.mark.parametrize("line", ["zerorpc --heart", "zerorpc bench --conc"])
def test_completion_says_what_to_install(run: Run, line: str) -> None:
    ended = run(_ARGCOMPLETE="1", COMP_LINE=line, COMP_POINT=str(len(line)), COMP_TYPE="9")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "zerorpc: the shell's completion needs argcomplete\ntype: pip install argcomplete\n"


def test_top_needs_rich_for_its_table_and_not_for_json(run: Run, shop: str) -> None:
    told = run("top", "--once", shop)
    assert (told.code, told.out) == (2, "")
    assert told.err == "zerorpc: the table needs rich\ntype: pip install rich, or add --json\n"
    assert '"name": "Shop"' in run("top", "--json", "-i", "0.1", shop).out
