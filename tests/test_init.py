"""The public names: all there, each imported at its first use, and no more than it needs."""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import pydoc
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import zerorpc
from tests.service.running import serving

LAZY = zerorpc._MODULES


# The names


@pytest.mark.parametrize("name", zerorpc.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(zerorpc, name) is not None
    assert name in dir(zerorpc)


def test_a_star_import_takes_them_all() -> None:
    taken: dict[str, object] = {}
    exec("from zerorpc import *", taken)
    assert set(zerorpc.__all__) == set(taken) - {"__builtins__"}


def test_what_type_checkers_see_is_what_is_imported() -> None:
    tree = ast.parse(Path(zerorpc.__file__).read_text(encoding="utf-8"))
    seen = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in seen.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == LAZY
    assert set(LAZY) <= set(zerorpc.__all__)


def test_a_name_is_its_modules_own_and_is_looked_up_once() -> None:
    for name, module in LAZY.items():
        assert getattr(zerorpc, name) is getattr(importlib.import_module(module), name)
        assert name in vars(zerorpc)


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'zerorpc' has no attribute 'Cleint'"):
        _ = zerorpc.Cleint  # type: ignore[attr-defined] # the type checker says so too
    with pytest.raises(ImportError, match="cannot import name 'Cleint'"):
        exec("from zerorpc import Cleint")


def test_pydoc_shows_them() -> None:
    shown = pydoc.plain(pydoc.render_doc(zerorpc))
    assert [name for name in LAZY if name not in shown] == []


def test_the_version_is_the_distributions() -> None:
    assert zerorpc.__version__ == version("zerorpc")


# What is imported: seen in an interpreter of its own

HEAVY = {"argcomplete", "asyncio", "concurrent", "importlib.metadata", "logging", "multiprocessing", "rich"}
HEAVY |= {"ssl", "subprocess", "uvloop"}


def imported(code: str, *args: str) -> set[str]:
    """The modules that the code imports in a fresh interpreter, of which nobody measures the coverage.

    That it imports no more than it should is what these tests are about, and coverage imports much.
    """
    program = (
        f"import sys\nbefore = set(sys.modules)\n{code}\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program, *args]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


def test_importing_the_package_imports_its_errors_only() -> None:
    modules = imported("import zerorpc\nzerorpc.RemoteError\nassert set(zerorpc.__all__) <= set(dir(zerorpc))")
    assert {name for name in modules if name.startswith("zerorpc")} == {
        "zerorpc",
        "zerorpc.errors",
        "zerorpc.exceptions",
        "zerorpc.version",
    }
    assert modules & (HEAVY | {"msgspec", "socket", "threading"}) == set()


def test_a_blocking_call_needs_no_event_loop() -> None:
    with serving({"echo": lambda value: value}) as server:
        modules = imported(
            "import zerorpc\nwith zerorpc.Client(sys.argv[1]) as client: assert client.echo(1) == 1",
            server.endpoints[0],
        )
    assert "zerorpc.client.blocking" in modules
    assert modules & HEAVY == set()


def test_a_call_from_the_command_line_needs_no_event_loop() -> None:
    with serving({"echo": lambda value: value}) as server:
        modules = imported(
            "from zerorpc.cli import main\nassert main([sys.argv[1], 'echo', '1']) == 0",
            server.endpoints[0],
        )
    assert "zerorpc.client.blocking" in modules
    assert modules & (HEAVY | {"json", "pprint", "zerorpc.cli.serving"}) == set()


def test_the_version_is_shown_without_a_look_at_whats_installed() -> None:
    assert (
        imported("from zerorpc.cli import main\nassert main(['--version']) == 0")
        & (HEAVY | {"zerorpc.client.blocking"})
        == set()
    )


def test_each_name_can_be_the_first_to_be_used() -> None:
    imported(
        "for name in sys.argv[1:]:\n"
        "    for module in [m for m in sys.modules if m.partition('.')[0] == 'zerorpc']: del sys.modules[module]\n"
        "    import zerorpc\n"
        "    assert getattr(zerorpc, name).__name__ == name",
        *LAZY,
    )


def test_what_is_pickled_opens_where_nothing_was_used_yet() -> None:
    values = [zerorpc.Client, zerorpc.Server, zerorpc.stream, zerorpc.TimeoutExpired(1.5, "waiting")]
    opened = imported("import pickle\nprint(pickle.loads(bytes.fromhex(sys.argv[1])))", pickle.dumps(values).hex())
    assert {"zerorpc.client.blocking", "zerorpc.server", "zerorpc.service.methods", "zerorpc.errors"} <= opened
