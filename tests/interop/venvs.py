"""Venvs that tests need besides our own: made once, kept under .venvs/, known to be complete by a stamp."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venvs"


def python_of(venv: Path, packages: list[str], base: Callable[[], str] = lambda: sys.executable) -> Path:
    """Returns the interpreter of a venv, which is made when it is missing or has other packages.

    ``base`` tells which interpreter makes it. RuntimeError when that fails. Not safe from two processes at once.
    """
    python = venv / "bin" / "python"
    if not is_complete(venv, packages):
        _run(venv, base(), "-m", "venv", "--clear", str(venv))
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(venv, *pip, "--only-binary", ":all:", *packages)
        stamp_of(venv).write_text(" ".join(packages))
    return python


def is_complete(venv: Path, packages: list[str]) -> bool:
    stamp = stamp_of(venv)
    return (venv / "bin" / "python").exists() and stamp.exists() and stamp.read_text() == " ".join(packages)


def stamp_of(venv: Path) -> Path:
    return venv / "installed.txt"


def _run(venv: Path, *command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"could not make {venv}: {' '.join(command)} said:\n{done.stdout}")
