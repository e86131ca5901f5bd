"""Real processes of the command line, started, watched and ended."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(sys.executable).parent

# Seconds for a process that is about to end; pytest's own limit on a test is longer. A loaded machine is slow.
PATIENCE = 20.0


_WAITING = re.compile(r"^.*; still (?:trying|waiting), for \d+ s\n", re.MULTILINE)  # said where the machine is slow


class Outcome(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str


class Program:
    """One process of ``zerorpc-client``, in a process group of its own, with everything it says kept."""

    def __init__(self, *arguments: str, folder: Path, script: str = "zerorpc-client", **environ: str) -> None:
        self.process = subprocess.Popen(
            [str(SCRIPTS / script), *arguments],
            cwd=folder,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
        assert self.process.stdout
        assert self.process.stderr
        self._streams = {"out": self.process.stdout, "err": self.process.stderr}
        self._said = {"out": b"", "err": b""}

    def wait_for(self, pattern: str, stream: str = "err") -> re.Match[str]:
        """Read until the pattern appears, and return what matched. Fails when the process ends without it."""
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self._streams[stream], selectors.EVENT_READ)
            while not (found := re.search(pattern, self._said[stream].decode(), re.MULTILINE)):
                if not selector.select(deadline - time.monotonic()):
                    raise AssertionError(f"no {pattern!r} on std{stream}, only {self._said}")
                chunk = os.read(self._streams[stream].fileno(), 65536)
                self._said[stream] += chunk
                if not chunk:
                    raise AssertionError(f"ended without {pattern!r} on std{stream}: {self.finish()}")
        return found

    def stop_reading(self) -> None:
        """Go away as ``| head`` does."""
        self._streams["out"].close()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send the process a signal, Ctrl-C's by default."""
        self.process.send_signal(number)

    def finish(self) -> Outcome:
        """Wait for the end of the process, reading all that it says."""
        rest = dict(zip(("out", "err"), self.process.communicate(timeout=PATIENCE), strict=True))
        out, err = ((self._said[name] + (rest[name] or b"")).decode() for name in ("out", "err"))
        return Outcome(self.process.returncode, out, _WAITING.sub("", err))

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        for patience in (1, 5):  # the second time it waits for no method; its coverage is written
            if self.process.poll() is None:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(patience)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for stream in self._streams.values():
            stream.close()
