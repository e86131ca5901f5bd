"""Our blocking client in a program that gevent has monkey-patched: it becomes cooperative by itself."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import zerorpc
from tests.interop.old_venv import old_python
from tests.service.running import serving

PROGRAM = Path(__file__).parent / "under_gevent.py"
SOURCE = Path(__file__).parents[2] / "src"


def outcome_of(*options: str) -> Any:
    service = {"sleep": time.sleep, "echo": lambda value: value, "count": lambda n: iter(range(n))}
    with serving(service) as server:
        done = subprocess.run(
            [old_python(), str(PROGRAM), server.endpoints[0], *options],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["version"] == zerorpc.__version__
    assert outcome["echoes"] == list(range(100))
    assert (outcome["items"], outcome["later"]) == (1000, "x")
    return outcome


def test_greenlets_call_side_by_side() -> None:
    outcome = outcome_of()
    assert outcome["elapsed"] < 6  # one after the other they would take six seconds
    assert outcome["turns"] >= 5


def test_greenlets_of_a_child_that_is_patched_after_the_fork_make_their_first_calls_at_once() -> None:
    """While one of them starts the client's thread anew, the others come."""
    outcome = outcome_of("forked")
    assert outcome["elapsed"] < 6
    assert outcome["turns"] >= 5


def test_greenlets_of_a_program_that_is_not_patched_call_one_after_the_other() -> None:
    assert outcome_of("unpatched")["turns"] == 0
