"""The venvs of the zerorpc that we make anew: 0.6.3 on gevent, for tests that talk to the real thing.

`make test` makes them beforehand (set_up.py), so that no test's time limit pays.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.interop import venvs

VENV = venvs.FOLDER / "zerorpc-0.6.3"
PACKAGES = ["zerorpc==0.6.3", "gevent", "msgpack", "pyzmq"]
PACKAGES += ["msgspec", "ormsgpack"]  # for test_gevent.py, which runs our own client beside gevent
STAMP = venvs.stamp_of(VENV)
TELLING_VENV = venvs.FOLDER / "zerorpc-0.6.3-telling"
TELLING = ("3.10", "3.9", "3.8")  # later ones lack what 0.6.3 asks for its methods' parameters


def old_python() -> str:
    """Returns the path of the old zerorpc's interpreter; makes its venv when that is missing (a minute).

    The program `zerorpc` stands beside the interpreter. RuntimeError when it can't be made.
    """
    return str(venvs.python_of(VENV, PACKAGES, _base_python))


def telling_python() -> str:
    """Returns the interpreter of a 0.6.3 that can tell its methods' parameters; makes its venv when that is missing.

    Where no Python is old enough for that, it is ``old_python()``, and serve.py has to help it (``--tells``).
    """
    found = filter(_can_make_venvs, (str(path) for version in TELLING for path in _pythons(version)))
    base = next(found, None)
    if base is None:
        return old_python()
    return str(venvs.python_of(TELLING_VENV, PACKAGES[:4], lambda: base))


def _pythons(version: str) -> Iterator[Path]:
    """Those in PATH, then those that pyenv and uv keep outside of it."""
    kept = [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")) / "versions", Path("~/.local/share/uv/python")]
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += [folder for root in kept for folder in sorted(root.expanduser().glob("*/bin"))]
    return (path for folder in folders if (path := folder / f"python{version}").is_file())


def _base_python() -> str:
    """A Python 3.11 that can make venvs, the newest on which 0.6.3 is known to work; without one, our own."""
    return next(filter(_can_make_venvs, map(str, _pythons("3.11"))), sys.executable)


def _can_make_venvs(python: str) -> bool:
    """Tried, not guessed: Debian packs venv apart, and version managers leave programs that only complain."""
    check = [python, "-c", "import venv, ensurepip"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0
