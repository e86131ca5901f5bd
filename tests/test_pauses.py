"""The plugin that pauses the tests' processes does so."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import pauses

ROOT = Path(__file__).parents[1]
PAUSED = """
import os, signal, subprocess, sys, time
from pathlib import Path

WAIT = '''
import sys, time
begun = before = time.monotonic()
while before < begun + 30:
    time.sleep(0.001)
    now = time.monotonic()
    if now - before >= 0.9:
        break
    before = now
else:
    raise AssertionError("it was not paused")
'''

def test_a_worker_and_what_it_starts_are_paused():
    stopped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        stopped.send_signal(signal.SIGSTOP)
        assert subprocess.call([sys.executable, "-c", WAIT]) == 0
        exec(WAIT)  # the next pause: by now all go on that were stopped by the one before
        assert Path(f"/proc/{stopped.pid}/stat").read_text().rpartition(") ")[2].startswith("T")
    finally:
        stopped.kill()
        stopped.wait()
"""


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="it finds processes in Linux's /proc")
def test_workers_and_what_they_start_are_paused(tmp_path: Path) -> None:
    (tmp_path / "test_paused.py").write_text(PAUSED)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "tests.pauses", "--pause", "1", "-c", "/dev/null"]
    outcome = subprocess.run(
        [*command, str(tmp_path)], check=False, cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "1 passed" in outcome.stdout


def test_each_is_paused_alone_and_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, program = 1, 2
    stopped: set[tuple[int, ...]] = set()

    class Over:
        waits = 0

        def wait(self, seconds: float) -> bool:
            self.waits += 1
            return self.waits > 100

    def signalled(pids: Iterable[int], number: int) -> None:
        if number == signal.SIGCONT:
            stopped.add(tuple(pids))

    monkeypatch.setattr(pauses, "_over", Over())
    monkeypatch.setattr(pauses, "_signal", signalled)
    monkeypatch.setattr(pauses, "processes", lambda: {worker: ("S", 0), program: ("S", worker)})
    pauses._pause(worker, 1)
    assert stopped == {(worker,), (program,), (worker, program)}
