"""The processes of a soak: started as modules, asked by lines of JSON, ended by closing their stdin."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START = 60.0  # s that a program may take to say something at its start
END = 20.0  # s that it may take to end

# One heap for all threads: glibc's up to 16 fill at their own pace, for as long as threads are new to them, and hide
# what else is to be seen in a process's memory.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}


class Failure(Exception):
    """A program didn't do what it was asked."""


class Program:
    """A module of this package in a process of its own. It ends with its ``with`` statement, or when we die."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.soak.{module}", *arguments],
            cwd=ROOT,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for us: we end it
        )
        self._unread = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, question: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()

    def read(self, patience: float = START) -> dict[str, Any]:
        """The next line that it says. Raises Failure."""
        assert self._process.stdout
        end = time.monotonic() + patience
        while b"\n" not in self._unread:
            if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise Failure(f"{self.name} said nothing for {patience:.0f} s")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                raise Failure(f"{self.name} ended with exit code {self._process.wait(END)}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        """Its exit code."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            code = self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process.stdout.close()
        return code

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()
