"""Node's zerorpc 0.9.8, for tests that talk to the real thing: finds Node, installs the packages beside this file.

Run beforehand, as `python -m tests.interop.node.set_up`, it installs without a test's time limit; without Node it
only says what is missing. Nothing is compiled: zerorpc's old native dependency is overridden in package.json by
`zmq-compat/`, which is zeromq 6 with the interface of zeromq 5, and zeromq 6 brings its binaries along.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.requirements import needs

FOLDER = Path(__file__).parent
INPUTS = ("package.json", "package-lock.json", ".npmrc", "zmq-compat/package.json", "zmq-compat/index.js")
STAMP = FOLDER / "node_modules" / ".installed"
OLDEST = 20  # the Node for which zerorpc 0.9.8 was tried; zeromq 6's binaries for it are for every later one as well


@functools.cache
def node() -> str:
    """Returns the path of a Node that finds zerorpc from this folder; installs the packages when they are missing.

    Without Node or npm the test is skipped, or fails under CI=true; RuntimeError when npm fails. Takes seconds, and
    milliseconds when all is there. Not safe to call from two processes at once.
    """
    program = needs("node", "nodejs")
    version = _run(program, "--version")
    if _major(version) < OLDEST:
        _too_old(f"node is {version.strip()}, too old: the tests need {OLDEST} or later; apt-get install nodejs")
    if not (STAMP.exists() and STAMP.read_text() == _fingerprint()):
        # The scripts would look for a compiler.
        _run(needs("npm", "npm"), "ci", "--ignore-scripts", "--no-progress")
        STAMP.write_text(_fingerprint())
    return program


def _too_old(complaint: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(complaint)
    pytest.skip(complaint)


def _major(version: str) -> int:
    found = re.match(r"v(\d+)\.", version)
    return int(found[1]) if found else 0


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


if __name__ == "__main__":
    try:
        node()
    except pytest.skip.Exception as missing:
        print(f"the tests with Node will be skipped: {missing}")
    except (RuntimeError, pytest.fail.Exception) as error:
        sys.exit(f"the tests need Node's zerorpc: {error}")
