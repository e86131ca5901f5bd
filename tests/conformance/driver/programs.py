"""Starts the implementations' programs, and speaks with them in lines of JSON (README.md says how)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

START = 30  # seconds until a program has to be ready
END = 15  # seconds until it has to have ended


@dataclass(frozen=True)
class Implementation:
    """What is under test. A command is None where there is no such program."""

    name: str
    server: list[str] | None = None
    client: list[str] | None = None
    environment: Mapping[str, str] | None = None


class Program:
    """A running program, and the lines that it prints; what it writes to stderr is kept in a file."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.command = command
        self.stderr = ""  # once it has ended
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed by end)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
                env=None if environment is None else dict(environment),
                process_group=0,
            )
        except BaseException:
            self._stderr.close()
            raise
        self._ready: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            fields = json.loads(line)
            if "ready" in fields:
                self._ready.put(fields)
            else:
                self.take(fields)
        self._ready.put(None)

    def take(self, fields: dict[str, Any]) -> None:
        """Something that it printed after it was ready."""

    def wait_ready(self) -> Any:
        with contextlib.suppress(queue.Empty):
            fields = self._ready.get(timeout=START)
            if fields is not None:
                return fields["ready"]
        self.end()
        raise RuntimeError(f"{' '.join(self.command)} didn't become ready: {self.stderr}")

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Asks it to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def end(self) -> None:
        """Ends it, and frees everything. Safe to call twice."""
        if self._stderr.closed:
            return
        self.stop()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(END)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._reader.join(END)
        self._process.stdout.close()
        self.stderr = os.pread(self._stderr.fileno(), 1 << 16, 0).decode(errors="replace")
        self._stderr.close()

    def write(self, fields: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended: no outcome will come
            self._process.stdin.write(json.dumps(fields) + "\n")
            self._process.stdin.flush()


class ServerProgram(Program):
    """A server under test, listening at `endpoint`."""

    def __init__(self, implementation: Implementation, heartbeat: float) -> None:
        assert implementation.server is not None
        super().__init__([*implementation.server, str(heartbeat)], implementation.environment)
        self.endpoint: str = self.wait_ready()


class ClientProgram(Program):
    """Clients under test, as many as there are conversations, in one process: starting one for each takes too long."""

    def __init__(self, implementation: Implementation) -> None:
        assert implementation.client is not None
        self._outcomes: dict[int, queue.Queue[Any]] = {}
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()
        super().__init__(implementation.client, implementation.environment)
        self.wait_ready()

    def open(self, name: str, endpoints: list[str], heartbeat: float) -> None:
        self.write({"do": "open", "client": name, "endpoints": endpoints, "heartbeat": heartbeat})

    def call(self, name: str, call: dict[str, Any]) -> Callable[[float], Any]:
        """Starts a call; what it returns waits for the outcome, and raises TimeoutError."""
        number = next(self._numbers)
        outcomes = self._outcomes[number] = queue.Queue()
        self.write({"do": "call", "client": name, "number": number, **call})

        def outcome(within: float) -> Any:
            try:
                return outcomes.get(timeout=within)
            except queue.Empty:
                raise TimeoutError(f"the call had no outcome within {within} s") from None

        return outcome

    def close(self, name: str) -> None:
        self.write({"do": "close", "client": name})

    def take(self, fields: dict[str, Any]) -> None:
        self._outcomes[fields["number"]].put(fields["outcome"])

    def write(self, fields: dict[str, Any]) -> None:
        with self._writing:
            super().write(fields)
