"""Plays inputs of one target for a while: ``python -m tests.fuzz.worker TARGET SECONDS SEED PROGRESS FOUND``.

In a process of its own, since an input may crash or hang it: the file PROGRESS has the number of the input that is
played, for whoever watches. Where atheris is installed it makes the inputs, and ends with the first that finds a fault.
Otherwise they are made here, and the run goes on after a fault; each place that raises is told once, with the shortest
input that could be made of the one that found it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import mmap
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.inputs import LONGEST, Target, input_of, keep, shortened

__all__ = ["EXIT_FAULT", "GUIDED", "Progress", "play_for"]

GUIDED = importlib.util.find_spec("atheris") is not None
EXIT_FAULT = 77  # as libFuzzer's
TRIES = 300  # shorter inputs that are tried


class Progress:
    """A number in a file that two processes have in memory."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    @property
    def number(self) -> int:
        return int.from_bytes(self._map[:8], "little")

    @number.setter
    def number(self, number: int) -> None:
        self._map[:8] = number.to_bytes(8, "little")


def play_for(
    target: Target, seconds: float, seed: int, progress: Progress, folder: Path, most: int = sys.maxsize
) -> int:
    """Play inputs of a run, at ``most`` so many; how many places have raised."""
    seen: set[str] = set()
    until = time.monotonic() + seconds
    number = 0
    while number < most and time.monotonic() < until:
        number += 1
        progress.number = number
        octets = input_of(target, seed, number)
        place = fault_of(target, octets)
        if place is not None and place not in seen:
            seen.add(place)
            path = keep(target.name, shortened(octets, _finds(target, place), TRIES), folder)
            print(f"{target.name}: input {number} of seed {seed} finds a fault, kept in {path}", file=sys.stderr)
            _tell(target, path.read_bytes())
    return len(seen)


def fault_of(target: Target, octets: bytes) -> str | None:
    """Where playing an input raises: what tells one fault from another. None if it doesn't."""
    try:
        target.play(octets)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} {frame.filename}:{frame.lineno}"
    return None


def _finds(target: Target, place: str) -> Callable[[bytes], bool]:
    return lambda octets: fault_of(target, octets) == place


def _tell(target: Target, octets: bytes) -> None:
    try:
        target.play(octets)
    except Exception:
        traceback.print_exc()


def guided(name: str, seconds: float, seed: int, progress: Progress, folder: Path) -> None:
    """Let atheris make the inputs. Doesn't return."""
    import atheris  # type: ignore[import-untyped]

    told_of_each_module = io.StringIO()
    with contextlib.redirect_stderr(told_of_each_module), atheris.instrument_imports(include=["zerorpc"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]

    def play(octets: bytes) -> None:
        progress.number += 1
        target.play(octets)

    (folder / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number in range(1000):
            Path(corpus, str(number)).write_bytes(input_of(target, seed, number))
        for number, octets in enumerate(target.seeds()):
            Path(corpus, f"seed-{number}").write_bytes(octets)
        options = {
            "max_total_time": round(seconds) or 1,
            "seed": seed % 2**32 or 1,
            "max_len": 2 * LONGEST,
            "timeout": 20,  # s for one input
            "rss_limit_mb": 2048,
            "report_slow_units": 20,
            "artifact_prefix": f"{folder / name}{os.sep}",
            "verbosity": 0,
        }
        atheris.Setup([sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), corpus], play)
        atheris.Fuzz()


def main(name: str, seconds: str, seed: str, progress: str, folder: str) -> int:
    if GUIDED:
        guided(name, float(seconds), int(seed), Progress(progress), Path(folder))
    from tests.fuzz.targets import TARGETS

    return EXIT_FAULT if play_for(TARGETS[name], float(seconds), int(seed), Progress(progress), Path(folder)) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
