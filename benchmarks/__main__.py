"""``python -m benchmarks``: see --help."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from benchmarks import cases, driver, memory, report, roster, scaling, startup, targets, venvs
from benchmarks.driver import ONE, TWO, Options
from benchmarks.programs import Failure

MODES = {"one": ONE, "two": TWO}
PAGE = venvs.ROOT / "docs" / "performance.md"


def main() -> None:
    arguments = parse()
    options = options_of(arguments)
    pythons, missing = driver.pythons_of(options.peers, make=not options.quick)
    found = driver.new_report(options, missing)

    def save() -> None:
        if arguments.output:
            arguments.output.mkdir(parents=True, exist_ok=True)
            (arguments.output / "results.json").write_text(as_json(found), encoding="utf-8")

    driver.run_cases(options, pythons, found, save)
    if not arguments.cases:
        measure_the_rest(options, pythons, found)
        save()
    if arguments.output:
        (arguments.output / "results.md").write_text(report.markdown(found), encoding="utf-8")
        draw(arguments.output)
    else:
        print(report.markdown(found))
    if arguments.page:
        PAGE.write_text(targets.put_into(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


def measure_the_rest(options: Options, pythons: dict[str, Path], found: driver.Report) -> None:
    """What is no case of the table: start-up, memory, server processes."""
    print("start-up", flush=True)
    try:
        found["startup"] = startup.measure(pythons, options.core, 5 if options.quick else startup.TIMES)
    except Failure as failure:
        print(f"start-up can't be measured: {failure}", flush=True)
    if options.quick:
        return
    print("memory", flush=True)
    found["memory"] = memory.measure(pythons, options.core)
    if TWO in options.modes and "async" in pythons:
        print("server processes", flush=True)
        cores = driver.cores_of(TWO, options.core)
        found["processes"] = scaling.measure(pythons, cores, options.rounds, options.seconds)


def as_json(found: driver.Report) -> str:
    """Indented, but with what is innermost on one line: some thousand lines and not a hundred thousand."""
    text = json.dumps(found, ensure_ascii=False, indent=1)
    return re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda inner: re.sub(r"\n\s*", " ", inner[0]), text) + "\n"


def draw(folder: Path) -> None:
    """The plots, by a program in a venv with matplotlib."""
    try:
        python = venvs.python_of(venvs.PLOTS)
    except venvs.Unavailable as error:
        print(f"no plots: {error}", flush=True)
        return
    command = [str(python), "-m", "benchmarks.plots", str((folder / "results.json").resolve()), str(folder.resolve())]
    subprocess.run(command, cwd=venvs.ROOT, check=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What zerorpc costs, beside its peers.")
    add = parser.add_argument
    add("--quick", action="store_true", help="the main cases of ours, the floors and zerorpc 0.6.3, on one core")
    add("--rounds", type=int, help="how often each case is measured (default 5, quick 3)")
    add("--seconds", type=float, help="how long each time (default 0.6, quick 0.3)")
    add("--core", type=int, help="the core that both ends are pinned to (default: the last one that we may use)")
    add("--modes", default="one,two", help="one (core), two (cores), or both (default)")
    add("--only", help=f"peers, with commas between them: {', '.join(roster.BY_KEY)}")
    add("--cases", help=f"cases, with commas between them: {', '.join(cases.BY_KEY)}")
    add("--output", type=Path, help="the folder for results.json, results.md and plots (default: print the tables)")
    add("--page", action="store_true", help="put the table of targets into docs/performance.md")
    return parser.parse_args()


def options_of(arguments: argparse.Namespace) -> Options:
    quick = arguments.quick
    peers = chosen("peer", arguments.only, roster.BY_KEY) or [p.key for p in roster.PEERS if p.quick or not quick]
    names = chosen("case", arguments.cases, cases.BY_KEY) or [c.key for c in cases.CASES if c.quick or not quick]
    modes = ["one"] if quick else chosen("mode", arguments.modes, MODES)
    may_use = os.sched_getaffinity(0)
    if "two" in modes and len(may_use) < 2:
        print("two cores are left out: this process may use only one", flush=True)
        modes.remove("two")
    return Options(
        rounds=arguments.rounds or (3 if quick else 5),
        seconds=arguments.seconds or (0.3 if quick else 0.6),
        core=max(may_use) if arguments.core is None else arguments.core,
        modes=tuple(MODES[mode] for mode in modes),
        peers=tuple(roster.BY_KEY[key] for key in peers),
        cases=tuple(cases.BY_KEY[key] for key in names),
        quick=quick,
    )


def chosen(what: str, text: str | None, known: Collection[str] | Any) -> list[str]:
    """The names in a list with commas; exits when one is unknown."""
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in known:
            sys.exit(f"no {what} {name}: there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    main()
