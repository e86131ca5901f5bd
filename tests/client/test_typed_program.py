"""What type checkers say of a program with typed clients: each of its mistakes, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("typed_program.py")
CHECKERS = {
    "mypy": ([sys.executable, "-m", "mypy", "--strict", str(PROGRAM)], r"typed_program\.py:(\d+): error"),
    "pyright": ([sys.executable, "-m", "pyright", str(PROGRAM)], r"typed_program\.py:(\d+):\d+ - error"),
}


@pytest.mark.timeout(300)  # they read the whole package first
@pytest.mark.parametrize("checker", CHECKERS)
def test_each_mistake_is_reported_and_nothing_else(checker: str) -> None:
    command, pattern = CHECKERS[checker]
    lines = PROGRAM.read_text(encoding="utf-8").splitlines()
    mistakes = [number for number, line in enumerate(lines, 1) if "# mistake: " in line]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROGRAM.parents[2])
    found = [int(number) for number in re.findall(pattern, said.stdout)]
    assert len(mistakes) > 8
    assert sorted(set(found)) == mistakes, said.stdout + said.stderr
