"""``python -m tests.faults.processes``: makes every fault (or the one named) and writes the figures to docs."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.processes.apart import Apart
from tests.faults.processes.cases import ALL
from tests.faults.processes.stage import IN_FLIGHT, Case, run_case

FIGURES = Path(__file__).parents[3] / "docs" / "figures" / "faults-processes.json"


def main() -> None:
    begun = time.monotonic()
    slow = {str(case): Apart(case) for case in ALL if case.slow}
    try:
        found = {str(case): shown(case, run_case(case)) for case in ALL if not case.slow}
        found |= {str(case): shown(case, slow[str(case)].figures()) for case in ALL if case.slow}
    finally:
        for apart in slow.values():
            apart.end()
    report = {
        "measured": {
            "on": time.strftime("%Y-%m-%d"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} processors",
            "calls in flight": IN_FLIGHT,
            "seconds": round(time.monotonic() - begun, 1),
        },
        "cases": {str(case): found[str(case)] for case in ALL},
    }
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {FIGURES}")


def run_one(name: str) -> None:
    """Only this case, and its figures as a line. Ended by SIGTERM, it ends what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    (case,) = (case for case in ALL if str(case) == name)
    print(json.dumps(run_case(case)))


def shown(case: Case, figures: dict[str, Any]) -> dict[str, Any]:
    """Rounded to what was measured really; also a line to look at."""
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    print(f"{case}: {rounded}", flush=True)
    return rounded


if __name__ == "__main__":
    run_one(sys.argv[1]) if sys.argv[1:] else main()
