"""Plays hostile octets to all that takes octets from outside: ``python -m tests.fuzz --seconds 600 --seed 1``.

The exit code is 0 if nothing was found. Each target has its share of the time, one after the other, and so has a real
server that hears mutated conversations, of two shares. An input that finds a fault is kept, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.conversations import conversation_of
from tests.fuzz.inputs import FOUND, input_of, keep
from tests.fuzz.playing import Fault, narrowed, play
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import EXIT_FAULT, GUIDED, Progress

CONVERSATIONS = "conversations"
SHARES = 2  # of the conversations
HANGS = 100.0  # s that one input may take; some take two on a quiet machine
KEPT = 50  # conversations at most that together find a fault
LOOK = 0.2  # s between two looks at how far a worker is


def main() -> int:
    options = arguments()
    names = options.target or ([CONVERSATIONS] if options.conversations else [*TARGETS, CONVERSATIONS])
    share = options.seconds / sum(SHARES if name == CONVERSATIONS else 1 for name in names)
    print(f"seed {options.seed}", flush=True)
    faults = 0
    for name in names:
        if name != CONVERSATIONS:
            faults += watch(name, share, options.seed, options.found)
        elif options.conversations:
            faults += converse(options.conversations, math.inf, options.seed, options.found)
        else:
            faults += converse(sys.maxsize, SHARES * share, options.seed, options.found)
    return 1 if faults else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="for all that is chosen (default: 60)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--target", action="append", choices=[*TARGETS, CONVERSATIONS], help="only this one")
    parser.add_argument("--conversations", type=int, help="only these, and so many of them")
    parser.add_argument("--found", type=Path, default=FOUND, help="the folder for inputs that find a fault")
    return parser.parse_args()


def watch(name: str, seconds: float, seed: int, folder: Path) -> bool:
    """Have a worker play a target; whether it has found a fault."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        progress, begun = Progress(file.name), time.monotonic()
        argv = [sys.executable, "-m", "tests.fuzz.worker", name, str(seconds), str(seed), file.name, str(folder)]
        with subprocess.Popen(argv) as worker:
            hangs = not ends(worker, progress)
        took = time.monotonic() - begun
    print(f"{name}: {progress.number} inputs in {took:.0f} s", flush=True)
    if GUIDED:
        with contextlib.suppress(OSError):
            (folder / name).rmdir()  # if atheris has found nothing
    elif worker.returncode not in (0, EXIT_FAULT):
        path = keep(name, input_of(TARGETS[name], seed, progress.number), folder)
        what = "hangs" if hangs else f"ends the process with {worker.returncode}"
        print(f"{name}: input {progress.number} of seed {seed} {what}; it is kept in {path}", flush=True)
    return worker.returncode != 0


def ends(worker: subprocess.Popen[bytes], progress: Progress) -> bool:
    """Wait for the end of a worker. One that hangs is killed: False."""
    number, since = -1, time.monotonic()
    while worker.poll() is None:
        time.sleep(LOOK)
        if progress.number != number:
            number, since = progress.number, time.monotonic()
        elif time.monotonic() - since > HANGS:
            worker.kill()
            return False
    return True


def converse(count: int, seconds: float, seed: int, folder: Path) -> bool:
    """Play conversations; whether one has found a fault."""
    try:
        figures = play((conversation_of(seed, number) for number in itertools.count()), count, seconds)
    except Fault as fault:
        print(f"{CONVERSATIONS}: seed {seed}: {fault}", flush=True)
        left = narrowed(fault)
        for conversation in left if len(left) <= KEPT else ():
            print(f"{CONVERSATIONS}: kept in {keep(CONVERSATIONS, conversation.dump(), folder)}")
        if len(left) > KEPT:
            print(f"{CONVERSATIONS}: it takes several of {len(left)}, or chance: none is kept")
        return True
    print(
        f"{CONVERSATIONS}: {figures.conversations} in {figures.seconds:.0f} s; memory at rest "
        f"{figures.resident[0]:.1f} MB before, {figures.resident[-1]:.1f} MB after, {figures.growth:+.1f} MB after the "
        f"first tenth; {figures.calls} calls of an innocent, the longest took {1000 * figures.worst:.0f} ms",
        flush=True,
    )
    return False


if __name__ == "__main__":
    sys.stdout.flush()
    os.environ.setdefault("PYTHONHASHSEED", "0")  # of the workers
    sys.exit(main())
