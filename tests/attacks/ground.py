"""Where an attack takes place: a server in a process of its own, an innocent client, and the attacker's connections."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually

LOOPS = ("uvloop", "asyncio")
OURS = {"X-Zerorpc": b"1"}  # what a peer says that speaks our extension


class Ground:
    """``endpoint`` of the server; ``client`` is for the attack's own questions, and not under attack."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = zerorpc.Client(endpoint, timeout=4 * PATIENCE, heartbeat=None)

    def attacker(self, ours: bool = True) -> RawPeer:
        return RawPeer.to(self.endpoint, zerorpc.zmtp.SocketType.DEALER, OURS if ours else {})

    @contextlib.contextmanager
    def innocent(self) -> Iterator[Innocent]:
        """Somebody who calls all the time; that a call fails is an error. The server measures meanwhile."""
        self.client.begin()
        innocent = Innocent(self.endpoint)
        innocent.start()
        try:
            yield innocent
        finally:
            innocent.stop()

    def figures(self) -> dict[str, float]:
        return self.client.figures()


@contextlib.contextmanager
def ground(loop: str, *settings: str) -> Iterator[Ground]:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.attacks.server", loop, *settings], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        found = Ground(program.stdout.readline().strip())
        with found.client:
            yield found
    finally:
        program.kill()
        program.communicate()


class Innocent(threading.Thread):
    """Calls, one after the other, with a pause; ``worst`` is the longest that a call took, in seconds."""

    PAUSE = 0.005

    def __init__(self, endpoint: str) -> None:
        super().__init__(name="innocent", daemon=True)
        self.worst = 0.0
        self.calls = 0
        self.errors: list[BaseException] = []
        self._endpoint = endpoint
        self._over = threading.Event()
        self._begun = threading.Event()

    def start(self) -> None:
        super().start()
        self._begun.wait(PATIENCE)

    def run(self) -> None:
        try:
            with zerorpc.Client(self._endpoint, timeout=2 * PATIENCE) as client:
                client.echo(0)
                self._begun.set()
                while not self._over.wait(self.PAUSE):
                    self._call(client)
        except BaseException as error:
            self.errors.append(error)
            self._begun.set()

    def _call(self, client: Any) -> None:
        method = client.echo if self.calls % 2 else client.plain
        begun = time.monotonic()
        assert method(self.calls) == self.calls
        self.worst = max(self.worst, time.monotonic() - begun)
        self.calls += 1

    def stop(self) -> None:
        eventually(lambda: self.calls or self.errors)
        self._over.set()
        self.join(4 * PATIENCE)
        assert not self.errors, self.errors
