"""Puts the files of cases/ in shape, and the octets of each meaning where a step has none: for who writes cases.

    python -m tests.conformance.fill

A step written as {"send": "", "means": [...]} gets its octets. Where both are given, test_cases.py compares them.
"""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.driver.cases import FOLDER
from tests.conformance.driver.values import spell


def main() -> None:
    for path in sorted(FOLDER.glob("*.json")):
        path.write_text(shaped(filled(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")


def filled(content: dict[str, Any]) -> dict[str, Any]:
    for case in content["cases"]:
        fill_steps(case["steps"])
    return content


def fill_steps(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        fill_steps(step.get("steps", []))
        if step.get("send") == "":
            step["send"] = " ".join(spell(step["means"]))


def shaped(content: dict[str, Any]) -> str:
    """As JSON with a step in each line, so that a change of one is a change of one line."""
    cases = ",\n".join(_shaped_case(case) for case in content["cases"])
    return f'{{"topic": {_line(content["topic"])}, "cases": [\n{cases}\n]}}\n'


def _shaped_case(case: dict[str, Any]) -> str:
    fields = [f"  {_line(name)}: {_line(value)}" for name, value in case.items() if name not in ("steps", "deviations")]
    steps = ",\n".join(f"    {_line(step)}" for step in case["steps"])
    fields.append(f'  "steps": [\n{steps}\n  ]')
    if case.get("deviations"):
        lines = ",\n".join(f"    {_line(name)}: {_line(why)}" for name, why in case["deviations"].items())
        fields.append(f'  "deviations": {{\n{lines}\n  }}')
    return "{\n" + ",\n".join(fields) + "\n}"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
