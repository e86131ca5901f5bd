"""The two main paths cost no more than they did: instructions a call, counted by valgrind's callgrind.

Instructions, because times are noise on a shared machine; and not their plain number, which hangs on how Python was
built, but its ratio to a yardstick counted in the same run: 20 small Python calls, and an event encoded and decoded.
One run's ratios differed from the next one's by 0.5% at most, however busy the machine was (x86-64).

When a path was made cheaper, lower its limit: ``pytest -s tests/test_costs.py`` prints the ratios.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.requirements import needs

# In yardsticks a call, both ends together. That is tight enough to notice 60 more calls of an empty function.
LIMITS = {
    "100 in flight": 3.1,  # 2026-11-24: 2.63 on CPython 3.11; 2026-11-27: 2.91, 3.07 on 3.12, 2.95 on 3.13
    "one at a time": 3.9,  # 2026-11-24: 3.27 on CPython 3.11; 2026-11-27: 3.66, 3.87 on 3.12, 3.78 on 3.13
}

PROGRAM = Path(__file__).with_name("costs") / "one_call.py"
RUNS = 6  # at most, and the least counts: where a run takes long, what time brings (a keeper's rounds) is counted, too
TIME_LIMIT = 240  # s for one; it took 5 to 18 on a core of its own, 36 on one shared by three

pytestmark = [
    pytest.mark.timeout(RUNS * TIME_LIMIT + 10),
    pytest.mark.skipif(sys.platform != "linux", reason="uvloop and valgrind can't be relied on elsewhere"),
]


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Instructions for each part of the program, for one of its rounds. Counted again if that seems to be too much."""
    valgrind = needs("valgrind", "valgrind")
    found: dict[str, float] = {}
    for _ in range(RUNS):
        folder = tmp_path_factory.mktemp("costs")
        parts = run_counted(valgrind, folder)
        now = {name: instructions(folder, 2 * n) / rounds for n, (name, rounds) in enumerate(parts.items(), 1)}
        found = {name: min(cost, found.get(name, cost)) for name, cost in now.items()}
        if all(found[path] / found["yardstick"] < limit for path, limit in LIMITS.items()):
            break
    return found


@pytest.mark.parametrize("path", LIMITS)
def test_a_call_costs_no_more_than_it_did(costs: dict[str, float], path: str) -> None:
    ratio = costs[path] / costs["yardstick"]
    found = f"{path}: a call costs {ratio:.2f} yardsticks, {costs[path]:,.0f} instructions"
    print(found)
    assert ratio < LIMITS[path], f"{found}. The limit is {LIMITS[path]}: what made it dearer?"


@pytest.mark.parametrize("path", LIMITS)
def test_a_hundred_further_function_calls_would_be_noticed(costs: dict[str, float], path: str) -> None:
    ratio = (costs[path] + costs["100 empty calls"]) / costs["yardstick"]
    assert ratio > LIMITS[path], f"{path}: the limit {LIMITS[path]} is too high to guard anything: lower it"


def run_counted(valgrind: str, folder: Path) -> dict[str, int]:
    """Run the program, which leaves its counts in ``folder``; its parts and their rounds, in order."""
    command = [valgrind, "--quiet", "--tool=callgrind", "--trace-children=no", "--dump-before=getsid"]
    command += [f"--callgrind-out-file={folder / 'counts'}", sys.executable, str(PROGRAM)]
    done = subprocess.run(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}"
    parts: dict[str, int] = json.loads(done.stdout)
    found = len(list(folder.glob("counts.*")))
    assert found == 2 * len(parts), f"callgrind wrote {found} files for {len(parts)} parts: does it know getsid()?"
    return parts


def environment() -> dict[str, str]:
    """Ours, less what has Python do more than usual: coverage's tracing, development mode and their like."""
    unwanted = ("COVERAGE_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted) or name == "PYTHONPATH"}
    return kept | {"PYTHONHASHSEED": "0"}


def instructions(folder: Path, number: int) -> int:
    """The total of one of callgrind's files."""
    found = re.search(r"^totals: (\d+)$", (folder / f"counts.{number}").read_text(), re.MULTILINE)
    assert found, f"callgrind's file {number} has no total"
    return int(found[1])
