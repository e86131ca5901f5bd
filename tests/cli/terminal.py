"""A program at a terminal of its own, typed to and read."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

PATIENCE = 60.0  # seconds until something is shown; a loaded machine is slow, and IPython takes a second to start
AGAIN_AFTER = 5.0  # seconds without a word until something is typed again
# For colours, the cursor and the bell
_COMMANDS = re.compile(r"\x1b(\[[0-9;?<=>]*[A-Za-z]|\][^\x07]*\x07|[(][A-Z0-9]|[=>])|\x07")


# It has a size of its own, whatever that is where the tests run.
_ENVIRON = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """One command there; ``shown`` is all that it has shown, ``before`` the terminal's settings when it was begun."""

    def __init__(self, *command: str, folder: Path, **environ: str) -> None:
        self._own, theirs = os.openpty()
        self.before = termios.tcgetattr(self._own)
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_ENVIRON, "TERM": "xterm", "PAGER": "cat", "HOME": str(folder), "INPUTRC": os.devnull, **environ},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._read = 0

    def wait_for(self, pattern: str, again: str = "") -> re.Match[str]:
        """Read until the pattern is shown, after what was waited for before. ``again`` is typed each time that nothing
        has come for a while, as people press TAB once more.
        """
        deadline = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern, re.MULTILINE).search(self.shown, self._read)):
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._own], [], [], min(left, AGAIN_AFTER) if again else left)
            if again and left and not ready:
                self.type(again)
                continue
            assert ready, f"no {pattern!r} in:\n{self.shown[self._read :]}"
            chunk = self._chunk()
            assert chunk, f"ended without {pattern!r}:\n{self.shown[self._read :]}"
            self.shown = _COMMANDS.sub("", self.shown + chunk.replace("\r", ""))
        self._read = found.end()
        return found

    def _chunk(self) -> str:
        try:
            return os.read(self._own, 65536).decode(errors="replace")
        except OSError:  # on Linux the end of it
            return ""

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def finish(self) -> int:
        """Read to its end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while select.select([self._own], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if not (chunk := self._chunk()):
                break
            self.shown += chunk
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._own)
