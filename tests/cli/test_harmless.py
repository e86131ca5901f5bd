"""What ``--server`` refuses to offer to other machines."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from zerorpc.cli.arguments import parse
from zerorpc.cli.harmless import check_harmless, gives_away_the_machine
from zerorpc.cli.loading import load, make_current_folder_importable
from zerorpc.cli.usage import UsageError

HARMFUL = [
    "asyncio", "bdb", "builtins", "bz2", "code", "codeop", "compileall", "ctypes", "dbm", "fileinput", "ftplib", "glob",
    "gzip", "http.client", "importlib", "io", "linecache", "logging.config", "lzma", "marshal", "mmap",
    "multiprocessing", "os", "os.path", "pathlib", "pdb", "pickle", "pkgutil", "platform", "posix", "profile", "pty",
    "py_compile", "readline", "runpy", "shelve", "shutil", "signal", "site", "smtplib", "socket", "sqlite3",
    "subprocess", "sys", "tarfile", "tempfile", "timeit", "tokenize", "trace", "types", "urllib.request", "venv",
    "webbrowser", "zipapp", "zipfile", "zipimport", "_io", "_posixsubprocess", "_pickle", "_socket", "importlib.util",
    "pathlib.Path", "pathlib:Path", "os:path", "code:InteractiveInterpreter", "pdb.Pdb", "pip",
]  # fmt: skip
HARMLESS = ["time", "math", "random", "calendar", "statistics", "zerorpc", "tests.cli.test_harmless"]

path = Path
namespace = SimpleNamespace(hello=print)
methods = {"hello": print}
module = sys


@pytest.mark.parametrize("target", HARMFUL)
def test_harmful(target: str) -> None:
    assert gives_away_the_machine(load(target), target)


@pytest.mark.parametrize("target", HARMLESS)
def test_harmless(target: str) -> None:
    assert not gives_away_the_machine(load(target), target)


@pytest.mark.parametrize(
    ("name", "harmful"), [("path", True), ("module", True), ("namespace", False), ("methods", False)]
)
def test_by_another_name(name: str, harmful: bool) -> None:
    target = f"tests.cli.test_harmless:{name}"
    assert gives_away_the_machine(load(target), target) == harmful


def test_a_module_of_the_users_that_is_called_like_one_of_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    (tmp_path / "sched.py").write_text("def hello(): ...\n")
    make_current_folder_importable()
    assert not gives_away_the_machine(load("sched"), "sched")
    monkeypatch.delitem(sys.modules, "sched")


@pytest.mark.parametrize(
    "line",
    [
        "--bind tcp://0:1",
        "--bind tcp://127.0.0.1:1 --bind tcp://*:2",
        "--connect tcp://example.org:1",
        "tcp://10.0.0.1:1",
    ],
)
def test_beyond_loopback_it_is_refused(line: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_harmless(load("os"), "os", parse(f"--server {line} os".split()))
    assert raised.value.problem.startswith('"os" would let whoever reaches "tcp://')
    assert "--allow method" in raised.value.remedy


@pytest.mark.parametrize(
    "line",
    ["--bind tcp://127.0.0.1:1", "--bind ipc://os", "--bind tcp://0:1 --allow getcwd", "--bind tcp://0:1 --allow *"],
)
def test_where_nobody_else_comes_or_the_user_says_what_it_is_allowed(line: str) -> None:
    check_harmless(load("os"), "os", parse(f"--server {line} os".split()))
