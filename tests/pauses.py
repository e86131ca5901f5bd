"""A plugin that makes the machine of the tests stand still now and then: ``pytest -n 8 -p tests.pauses`` (Linux).

Each worker of pytest-xdist is stopped, or the programs that it has started, or all of them, for ``--pause`` seconds,
again and again, while the others run. A busy machine does the same to a test, but rarely. What fails leaves too little
time, takes a pause for an end, or looks too late at what goes on meanwhile. Programs that a test has stopped stay so.

On some kernels a write to a pipe that is interrupted so begins anew: then old clients' answers of 8 MiB are torn.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

_LOOK = 1.0  # s between looks whether there are more workers
_PAUSE_USUAL = 1.5  # s; the longest stops that were seen on two busy cores

_over = threading.Event()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pause", type=float, default=_PAUSE_USUAL, metavar="seconds", help="how long each pause is")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # where the workers are started
        threading.Thread(target=_pause_all, args=(config.getoption("--pause"),), name="pauses", daemon=True).start()


def pytest_unconfigure() -> None:
    _over.set()


def _pause_all(seconds: float) -> None:
    known: set[int] = set()
    while not _over.wait(_LOOK):
        for pid, (_, parent) in processes().items():
            if parent == os.getpid() and pid not in known:
                known.add(pid)
                threading.Thread(target=_pause, args=(pid, seconds), name=f"pauses {pid}").start()


def _pause(worker: int, seconds: float) -> None:
    """Until it ends; what is paused runs half of the time."""
    chance = random.Random(worker)
    while not _over.wait(chance.uniform(0.5, 1.5) * seconds) and worker in processes():
        paused: list[int] = []
        is_worker = chance.choice([{True}, {False}, {True, False}])
        while more := [
            pid
            for pid in running_of(worker)
            if (pid == worker) in is_worker and pid not in paused  # some were started meanwhile
        ]:
            _signal(more, signal.SIGSTOP)
            paused += more
        _over.wait(seconds)
        _signal(paused, signal.SIGCONT)


def running_of(worker: int) -> Iterator[int]:
    """A process, and all that it has started, but for those that are stopped or have ended."""
    table = processes()
    found = [worker] if worker in table else []
    for pid in found:
        found += [child for child, (_, parent) in table.items() if parent == pid]
        if table[pid][0] not in "TZ":
            yield pid


def processes() -> dict[int, tuple[str, int]]:
    """The state of each process, and its parent."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                state, parent = (entry / "stat").read_text().rpartition(") ")[2].split()[:2]
                table[int(entry.name)] = (state, int(parent))
    return table


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
