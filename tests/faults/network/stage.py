"""Runs cases, each with both kinds of clients, side by side: most of the time they only wait."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.faults.network.cases import Case, Figures
from tests.faults.network.hosts import Network
from tests.faults.network.scene import Scene


class Stage:
    """Where cases are run. `close` ends all programs and removes all hosts."""

    def __init__(self) -> None:
        self._network = Network()
        self._folder = tempfile.TemporaryDirectory(prefix="zerorpc-")
        self._pool = ThreadPoolExecutor(64, "network faults")

    def begin(self, runs: Iterable[tuple[Case, str]]) -> dict[tuple[str, str], Future[Figures]]:
        """Start cases, by the kind of client. Those that take long should come first."""
        return {(case.name, kind): self._pool.submit(self._run, case, kind) for case, kind in runs}

    def _run(self, case: Case, kind: str) -> Figures:
        scene = Scene(self._network, Path(self._folder.name), kind, case.heartbeat)
        try:
            return case.run(scene)
        finally:
            scene.close()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._network.close()
        self._folder.cleanup()
