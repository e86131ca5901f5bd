"""``python -m tests.faults.processes``: makes every fault, and writes what was measured to docs/figures."""

from __future__ import annotations

import concurrent.futures
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from tests.faults.processes.cases import ALL
from tests.faults.processes.stage import IN_FLIGHT, Case, run_case

FIGURES = Path(__file__).parents[3] / "docs" / "figures" / "faults-processes.json"


def main() -> None:
    begun = time.monotonic()
    slow = [case for case in ALL if case.slow]
    with concurrent.futures.ThreadPoolExecutor(len(slow)) as pool:
        waiting = {str(case): pool.submit(run_case, case) for case in slow}
        found = {str(case): shown(case, run_case(case)) for case in ALL if not case.slow}
        found |= {str(case): shown(case, waiting[str(case)].result()) for case in slow}
    report = {
        "measured": {
            "on": time.strftime("%Y-%m-%d"),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
            "calls in flight": IN_FLIGHT,
            "seconds": round(time.monotonic() - begun, 1),
        },
        "cases": {str(case): found[str(case)] for case in ALL},
    }
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(report, indent=2) + "\n")
    print(f"wrote {FIGURES}")


def shown(case: Case, figures: dict[str, Any]) -> dict[str, Any]:
    """Rounded to what was measured really; also a line to look at."""
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    print(f"{case}: {rounded}", flush=True)
    return rounded


if __name__ == "__main__":
    sys.exit(main())
