"""All faults of the network, also those that take minutes: `python -m tests.faults.network [FILE]` writes figures."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

from tests.faults.network.cases import CASES
from tests.faults.network.hosts import ROOT
from tests.faults.network.scene import KINDS
from tests.faults.network.stage import Stage

FIGURES = ROOT / "docs" / "figures" / "faults-network.json"


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES
    failed = 0
    figures = {}
    stage = Stage()
    try:
        results = stage.begin((case, kind) for case in CASES for kind in KINDS)
        for case in CASES:
            figures[case.name] = {"heartbeat": case.heartbeat}
            for kind in KINDS:
                try:
                    seen = results[case.name, kind].result()
                except Exception as error:
                    failed += 1
                    print(f"FAILED {case.name}, {kind}: {type(error).__name__}: {error}")
                    continue
                figures[case.name][kind] = {
                    name: round(value, 3) if isinstance(value, float) else value for name, value in seen.items()
                }
                print(f"{case.name}, {kind}: {json.dumps(figures[case.name][kind])}", flush=True)
    finally:
        stage.close()
    made = {
        "when": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        "unit": "seconds; calls where it is a count",
        "cases": figures,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
