"""The peers' processes: started on given cores, asked by lines of JSON, and ended by closing their stdin."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import certificates
from benchmarks.roster import Peer
from benchmarks.venvs import ROOT, last_words

START = 30.0  # seconds that a program may take to say that it is ready
END = 5.0  # and to end when its stdin does


class Failure(Exception):
    """A program didn't do what it was asked; the message says why, and names nothing of this machine."""


class Program:
    """One process of a peer. It ends with its ``with`` statement, and also when the driver dies."""

    def __init__(self, python: Path, peer: Peer, cores: Collection[int], *arguments: str) -> None:
        self._unread = b""
        if peer.tls:
            certificates.make()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        try:
            self._process = subprocess.Popen(
                [str(python), "-m", f"benchmarks.peers.{peer.program}", *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                preexec_fn=functools.partial(os.sched_setaffinity, 0, cores),  # noqa: PLW1509 - the driver has no threads
            )
        except BaseException:
            self._stderr.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, question: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Send a line and read the answer. Raises Failure when there is none in ``patience`` seconds."""
        self.tell(question)
        return self.read(patience)

    def tell(self, question: Mapping[str, Any]) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it ended: `read` will say so
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def read(self, patience: float = START) -> dict[str, Any]:
        """The next line that the program says. Raises Failure."""
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + patience
        while b"\n" not in self._unread:
            if not select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Failure(f"no answer in {patience:.0f} s")
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise Failure(self._why_it_ended())
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failure(last_words(answer["error"]))
        return answer

    def _why_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END)
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace")
        return f"it ended with exit code {self._process.returncode}: {last_words(said)}"

    def end(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()


class Pair:
    """A peer's server and client, both on the same cores. Started when first needed, and again after a failure."""

    def __init__(self, python: Path, peer: Peer, cores: Collection[int]) -> None:
        self.peer = peer
        self.versions: dict[str, str] = {}
        self._python = python
        self._cores = cores
        self._server: Program | None = None
        self._client: Program | None = None

    def measure(self, task: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """What the client measured. Raises Failure when it can't be had, for the second time."""
        try:
            return self._ask(task, patience)
        except Failure:
            self.end()
        try:
            return self._ask(task, patience)
        except Failure:
            self.end()
            raise

    def _ask(self, task: Mapping[str, Any], patience: float) -> dict[str, Any]:
        if self._server is None or self._client is None:
            self._start()
        assert self._server
        assert self._client
        return self._client.ask({**task, "server": self._server.pid}, patience)

    def _start(self) -> None:
        flavour = self.peer.flavour
        self._server = Program(self._python, self.peer, self._cores, "server", flavour)
        hello = self._server.read()
        self.versions = hello["versions"]
        self._client = Program(self._python, self.peer, self._cores, "client", flavour, hello["endpoint"])
        self._client.read()

    def end(self) -> None:
        for program in (self._client, self._server):
            if program is not None:
                program.end()
        self._client = self._server = None

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
