"""The venv of the zerorpc that we make anew: 0.6.3 on gevent, for tests that talk to the real thing.

`make test` makes it beforehand (set_up.py), so that no test's time limit pays.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.interop import venvs

VENV = venvs.FOLDER / "zerorpc-0.6.3"
PACKAGES = ["zerorpc==0.6.3", "gevent", "msgpack", "pyzmq"]
PACKAGES += ["msgspec"]  # for test_gevent.py, which runs our own client beside gevent
STAMP = venvs.stamp_of(VENV)


def old_python() -> str:
    """Returns the path of the old zerorpc's interpreter; makes its venv when that is missing (a minute).

    The program `zerorpc` stands beside the interpreter. RuntimeError when it can't be made.
    """
    return str(venvs.python_of(VENV, PACKAGES, _base_python))


def _base_python() -> str:
    """A Python 3.11 that can make venvs, the newest on which 0.6.3 is known to work; without one, our own."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    candidates = [str(folder / "python3.11") for folder in folders if (folder / "python3.11").is_file()]
    return next(filter(_can_make_venvs, candidates), sys.executable)


def _can_make_venvs(python: str) -> bool:
    """Tried, not guessed: Debian packs venv apart, and version managers leave programs that only complain."""
    check = [python, "-c", "import venv, ensurepip"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0
