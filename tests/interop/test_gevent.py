"""Our blocking client in a program that gevent has monkey-patched: it becomes cooperative by itself."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import zerorpc
from tests.interop.old_venv import old_python
from tests.interop.programs import PATIENCE
from tests.service.running import serving

PROGRAM = Path(__file__).parent / "under_gevent.py"
SOURCE = Path(__file__).parents[2] / "src"


def outcome_of(*options: str) -> Any:
    released = threading.Event()
    service = {
        "meet": threading.Barrier(20, timeout=PATIENCE).wait,  # until twenty calls are there
        "wait_for_release": lambda comes: released.wait(PATIENCE if comes else 0.3),
        "release": released.set,
        "echo": lambda value: value,
        "count": lambda n: iter(range(n)),
    }
    with serving(service) as server:
        done = subprocess.run(
            [old_python(), str(PROGRAM), server.endpoints[0], *options],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["version"] == zerorpc.__version__
    assert outcome["echoes"] == list(range(100))
    assert (outcome["items"], outcome["later"]) == (1000, "x")
    return outcome


def test_greenlets_call_side_by_side() -> None:
    assert_cooperative(outcome_of())


def test_greenlets_of_a_child_that_is_patched_after_the_fork_make_their_first_calls_at_once() -> None:
    """While one of them starts the client's thread anew, the others come."""
    assert_cooperative(outcome_of("forked"))


def test_greenlets_of_a_program_that_is_not_patched_call_one_after_the_other() -> None:
    outcome = outcome_of("unpatched")
    assert (outcome["released"], outcome["turns"]) == (False, 0)


def assert_cooperative(outcome: Any) -> None:
    assert sorted(outcome["met"]) == list(range(20))  # at once: a call returns when all have come
    assert (outcome["released"], outcome["turns"]) == (True, 5)  # by another greenlet, during the call
