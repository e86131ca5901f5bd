"""A fresh venv with one package of ours, and what runs in it: away from the checkout, which it can't import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.cli.programs import Outcome, Program

PATIENCE = 240.0  # seconds for a command: pip and build fetch what they need


class Venv:
    """A venv in ``folder``, where all of its programs run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        run(sys.executable, "-m", "venv", str(folder / "venv"), folder=folder)

    def install(self, package: str) -> None:
        self.run("python", "-m", "pip", "install", "--quiet", "--prefer-binary", package)

    def run(self, script: str, *arguments: str) -> str:
        """Run a program of the venv, which has to succeed; what it wrote to stdout."""
        return run(str(self.bin / script), *arguments, folder=self.folder)

    def start(self, script: str, *arguments: str, **environ: str) -> Program:
        return Program(*arguments, folder=self.folder, script=str(self.bin / script), **environ)

    def outcome(self, script: str, *arguments: str, **environ: str) -> Outcome:
        program = self.start(script, *arguments, **environ)
        try:
            return program.finish()
        finally:
            program.end()


def run(*command: str, folder: Path, **environ: str) -> str:
    """Run a command, which has to succeed, without what would lead it to the checkout; what it wrote to stdout."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE_"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command} said:\n{done.stdout}\n{done.stderr}"
    return done.stdout
