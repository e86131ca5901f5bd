"""All faults of the network, also those that take minutes: `python -m tests.faults.network`, as root.

Writes the figures to docs/figures, and the table of docs/reliability.md. Fails, and writes neither, if a case does.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import Counter
from typing import Any

from tests.faults.network.cases import CASES
from tests.faults.network.hosts import ROOT
from tests.faults.network.scene import KINDS
from tests.faults.network.stage import Stage

FIGURES = ROOT / "docs" / "figures" / "faults-network.json"
PAGE = ROOT / "docs" / "reliability.md"
HEAD = "<!-- network: made by `python -m tests.faults.network` -->"
END = "<!-- end of network -->"
Figures = dict[str, dict[str, Any]]  # by case, then by the kind of client


def main() -> int:
    figures: Figures = {case.name: {"heartbeat": case.heartbeat} for case in CASES}
    failed = 0
    stage = Stage()
    try:
        results = stage.begin((case, kind) for case in CASES for kind in KINDS)
        for (name, kind), result in results.items():
            try:
                seen = result.result()
            except Exception as error:
                failed += 1
                print(f"FAILED {name}, {kind}: {type(error).__name__}: {error}", flush=True)
                continue
            figures[name][kind] = {what: round(it, 3) if isinstance(it, float) else it for what, it in seen.items()}
            print(f"{name}, {kind}: {json.dumps(figures[name][kind])}", flush=True)
    finally:
        stage.close()
    if not failed:
        write(figures)
    return bool(failed)


def write(figures: Figures) -> None:
    made = {
        "when": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        "unit": "seconds, or a count of calls",
        "cases": figures,
    }
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{HEAD}\n\n{table(figures)}\n\n{END}{after}", encoding="utf-8")


def table(figures: Figures) -> str:
    """For a reader: both kinds of clients together."""
    rows = [
        "| fault | calls answered | calls failed | noticed by the client | by the server | works again after |",
        "|---|---|---|---|---|---|",
    ]
    for name, seen in figures.items():
        both = [seen[kind] for kind in KINDS]
        failed = Counter[str]()
        for one in both:
            failed.update(one.get("failed", {}))
        asked, answered = (sum(one.get(what, 0) for one in both) for what in ("asked", "answered"))
        cells = [
            name,
            f"{answered} of {asked}" if asked else "",
            ", ".join(f"{count} {error}" for error, count in failed.items()) or ("none" if asked else ""),
            longest(both, "noticed"),
            longest(both, "noticed by the server", "connection freed"),
            longest(both, "first answer after healing"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def longest(both: list[dict[str, Any]], *names: str) -> str:
    values = [one[name] for one in both for name in names if name in one]
    if not values:
        return ""
    return f"{max(values):.1f} s" if max(values) >= 0.05 else "at once"


if __name__ == "__main__":
    sys.exit(main())
