"""Slow cases run beside the others, each in a process of its own, where no other case's threads delay its callers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.faults.processes.stage import Case

__all__ = ["Apart"]

_ROOT = Path(__file__).parents[3]


class Apart:
    """A case that has been begun."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.processes", str(case)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def figures(self) -> dict[str, Any]:
        """Wait for its end; AssertionError with all that it said, if it failed."""
        out, err = self._process.communicate(timeout=self._case.seconds)
        assert self._process.returncode == 0, err
        figures: dict[str, Any] = json.loads(out)
        return figures

    def end(self) -> None:
        """Safe after ``figures``."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate()
