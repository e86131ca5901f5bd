"""Runs the cases: all peers side by side, in rotating order, for several rounds, pinned to one core and on two."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import roster
from benchmarks.cases import ENCRYPTED, Case
from benchmarks.figures import value_of
from benchmarks.programs import Failure, Pair
from benchmarks.roster import Peer
from benchmarks.venvs import ROOT, Unavailable, exists, python_of

ONE, TWO = "one core", "two cores"
FAILURES = 2  # after so many a peer isn't asked for a case again
PATIENCE = 120.0  # seconds that one measurement may take longer than it was told to

Report = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What to run, and for how long."""

    rounds: int
    seconds: float
    core: int  # that both ends are pinned to
    modes: tuple[str, ...]
    peers: tuple[Peer, ...]
    cases: tuple[Case, ...]
    quick: bool = False  # makes no venvs


def cores_of(mode: str, core: int) -> list[int]:
    """The cores for both ends together; two are the first two that we may use."""
    return [core] if mode == ONE else sorted(os.sched_getaffinity(0))[:2]


def pythons_of(peers: Collection[Peer], make: bool) -> tuple[dict[str, Path], dict[str, str]]:
    """Each peer's interpreter; and for each without one, why. Makes missing venvs if ``make``."""
    found: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        try:
            if not make and not exists(peer.venv):
                raise Unavailable("its venv is not there: `make bench` makes it")
            found[peer.key] = python_of(peer.venv)
        except Unavailable as error:
            missing[peer.key] = str(error)
            print(f"{peer.title} is left out: {error}", flush=True)
    return found, missing


def run_cases(options: Options, pythons: Mapping[str, Path], report: Report, save: Callable[[], None]) -> None:
    """Measure everything into ``report["measured"]``, and ``save`` after each round."""
    for mode in options.modes:
        cores = cores_of(mode, options.core)
        measured = report["measured"].setdefault(mode, {})
        with contextlib.ExitStack() as stack:
            pairs = {
                peer.key: stack.enter_context(Pair(pythons[peer.key], peer, cores))
                for peer in options.peers
                if peer.key in pythons
            }
            for number in range(options.rounds):
                _run_round(options, mode, number, pairs, measured)
                for key, pair in pairs.items():
                    report["peers"][key]["versions"] = pair.versions
                save()


def takes_part(peer: Peer, case: Case) -> bool:
    """Whether a case is measured of a peer."""
    return case.key in ENCRYPTED if peer.tls or peer.curve else not case.only or peer.key in case.only


def _run_round(
    options: Options, mode: str, number: int, pairs: Mapping[str, Pair], measured: dict[str, dict[str, Any]]
) -> None:
    for case in options.cases:
        if number >= (case.rounds or options.rounds):
            continue
        begun = time.monotonic()
        takers = [pair for pair in pairs.values() if takes_part(pair.peer, case)]
        shift = number % len(takers) if takers else 0
        results = measured.setdefault(case.key, {})
        for pair in takers[shift:] + takers[:shift]:
            result = results.setdefault(pair.peer.key, {"rounds": []})
            _measure(options, case, pair, result)
        print(
            f"[{mode}, round {number + 1} of {options.rounds}] {case.group}: {case.title} "
            f"({time.monotonic() - begun:.0f} s): {_fastest(case, results)}",
            flush=True,
        )


def _measure(options: Options, case: Case, pair: Pair, result: dict[str, Any]) -> None:
    if "cannot" in result or len(result.get("failures", ())) == FAILURES:
        return
    seconds = options.seconds * case.longer
    task = {**case.task, "seconds": seconds, "warm_up": min(0.2, seconds / 5)}
    try:
        answer = pair.measure(task, seconds + PATIENCE)
    except Failure as failure:
        result.setdefault("failures", []).append(str(failure))
        print(f"{pair.peer.title} failed at {case.key}: {failure}", flush=True)
        return
    if "cannot" in answer:
        result["cannot"] = answer["cannot"]
    else:
        result["rounds"].append(rounded(answer))


def rounded(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Microseconds are fine enough, and keep the file small."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in answer.items()}


def _fastest(case: Case, results: Mapping[str, Any]) -> str:
    """Ours, for whoever watches."""
    values = (
        f"{roster.BY_KEY[key].title.removeprefix('zerorpc, ')} {value_of(case, result):,.1f}"
        for key, result in results.items()
        if roster.BY_KEY[key].ours and result["rounds"]
    )
    return ", ".join(values)


def conditions(options: Options) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "commit": _commit(),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """What was measured; with a plus if it has changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def new_report(options: Options, missing: Mapping[str, str]) -> Report:
    peers: dict[str, Any] = {
        peer.key: {"title": peer.title, "note": peer.note, "versions": {}, "missing": missing.get(peer.key)}
        for peer in options.peers
    }
    return {"conditions": conditions(options), "peers": peers, "measured": {}, "startup": {}, "memory": {}}
