"""The venv of the zerorpc that we make anew: 0.6.3 on gevent, for tests that talk to the real thing.

Made once and kept under .venvs/. `make test` runs this file beforehand, so that no test's time limit pays.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VENV = Path(__file__).parents[2] / ".venvs" / "zerorpc-0.6.3"
PACKAGES = ["zerorpc==0.6.3", "gevent", "msgpack", "pyzmq"]
PACKAGES += ["msgspec"]  # for test_gevent.py, which runs our own client beside gevent
STAMP = VENV / "installed.txt"


def old_python() -> str:
    """Returns the path of the old zerorpc's interpreter; makes its venv when that is missing (a minute).

    The program `zerorpc` stands beside the interpreter. Not safe to call from two processes at once.
    """
    python = VENV / "bin" / "python"
    if not _is_complete():
        _run(_base_python(), "-m", "venv", "--clear", str(VENV))
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(*pip, "--only-binary", ":all:", *PACKAGES)
        STAMP.write_text(" ".join(PACKAGES))
    return str(python)


def _is_complete() -> bool:
    return (VENV / "bin" / "python").exists() and STAMP.exists() and STAMP.read_text() == " ".join(PACKAGES)


def _base_python() -> str:
    """A Python 3.11 that can make venvs, the newest on which 0.6.3 is known to work; without one, our own."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    candidates = [str(folder / "python3.11") for folder in folders if (folder / "python3.11").is_file()]
    return next(filter(_can_make_venvs, candidates), sys.executable)


def _can_make_venvs(python: str) -> bool:
    """Tried, not guessed: Debian packs venv apart, and version managers leave programs that only complain."""
    check = [python, "-c", "import venv, ensurepip"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"could not make {VENV}: {' '.join(command)} said:\n{done.stdout}")


if __name__ == "__main__":
    try:
        old_python()
    except RuntimeError as error:
        sys.exit(f"the tests need zerorpc 0.6.3: {str(error).splitlines()[0]} {str(error).splitlines()[-1]}")
