"""The benchmark of calls by HTTP does what it says, briefly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_each_case_has_figures_of_both() -> None:
    command = [sys.executable, "benchmarks/http_door.py", "--rounds", "1", "--brief"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 0, told.stderr
    rows = told.stdout.splitlines()[1:]
    assert len(rows) == 4
    assert all(re.search(r"\d us +[\d,]+ +[\d,]+ us +[\d,]+   [\d.]+ times by CPU", row) for row in rows)
