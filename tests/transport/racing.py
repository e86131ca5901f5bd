"""Processes that all bind to one ipc path at the same moment: how often more than one of them succeeds.

``python -m tests.transport.racing 1500`` tries it so often, each time at a path where a dead server's socket lies.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
import tempfile
from multiprocessing.synchronize import Barrier
from typing import Any

from zerorpc.errors import AddressInUse
from zerorpc.transport.endpoints import parse
from zerorpc.transport.sockets import Listener, listen

PATIENCE = 30.0  # s


def race(tries: int, racers: int = 2) -> list[int]:
    """For each try, how many have bound, and were still reachable then."""
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        barrier = fork.Barrier(racers + 1)
        results = fork.SimpleQueue()
        processes = [
            fork.Process(target=_race, args=(path, tries, barrier, results), daemon=True) for _ in range(racers)
        ]
        for process in processes:
            process.start()
        counts = []
        for _ in range(tries):
            leave_stale(path)
            barrier.wait(PATIENCE)  # go
            barrier.wait(PATIENCE)  # all have tried
            counts.append(sum(results.get() for _ in range(racers)))
            barrier.wait(PATIENCE)  # all have closed
        for process in processes:
            process.join()
        assert os.listdir(folder) in ([], ["socket"])
    return counts


def leave_stale(path: str) -> None:
    """A socket's file without its socket."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)
    os.utime(path, (0, 0))  # long ago


def _race(path: str, tries: int, barrier: Barrier, results: Any) -> None:
    for _ in range(tries):
        listener: Listener | None = None
        barrier.wait(PATIENCE)
        with contextlib.suppress(AddressInUse):
            listener = listen(parse(f"ipc://{path}"))
        barrier.wait(PATIENCE)
        results.put(int(listener is not None))
        if listener is not None:
            listener.close()
        barrier.wait(PATIENCE)


if __name__ == "__main__":
    counts = race(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    print({bound: counts.count(bound) for bound in sorted(set(counts))})
