"""Starts, talks to, pauses and ends the programs in old_programs/, nearly always with the old interpreter.

Every program stands in a process group of its own and is ended with it; what it writes to stderr is kept and shown
with the test that fails (conftest.py). All waiting is for a line that the program prints, with a time limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.interop.old_programs.common import pack, unpack
from tests.interop.old_venv import old_python, telling_python
from tests.service.running import until_stopped

FOLDER = Path(__file__).parent / "old_programs"
PATIENCE = 30  # seconds for anything that ought to happen at once; only a failing test ever waits so long
# Seconds; small enough to wait for three. An older peer looks once per heartbeat whether the last one is two old: a
# program that stands still for one of them may be lost. On a busy machine some did for 1.5 s.
HEARTBEAT = 2.5
LIVE: weakref.WeakSet[Program] = weakref.WeakSet()


class Program:
    """One running program. `lines` holds what it printed and nobody has read, None once it has ended."""

    def __init__(self, *argv: str, python: str | None = None, covered: bool = True) -> None:
        self.argv = argv
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        self.lines: queue.Queue[str | None] = queue.Queue()
        try:
            self.process = subprocess.Popen(
                [python or old_python(), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                process_group=0,
                cwd=FOLDER,
                text=True,
                env=environment_of(python or old_python(), covered),
            )
        except BaseException:
            self.errors.close()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        LIVE.add(self)

    def __repr__(self) -> str:
        return f"<Program {' '.join(self.argv)} pid={self.process.pid} returncode={self.process.returncode}>"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.take_line(line)
        self.take_end()

    def take_line(self, line: str) -> None:
        self.lines.put(line)

    def take_end(self) -> None:
        self.lines.put(None)

    def next_line(self) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"{self} printed nothing for {PATIENCE} s; stderr:\n{self.stderr()}") from None
        assert line is not None, f"{self} ended; stderr:\n{self.stderr()}"
        fields: dict[str, Any] = json.loads(line)
        return fields

    def write_line(self, fields: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(fields) + "\n")
        self.process.stdin.flush()

    def stderr(self) -> str:
        """What it has written to stderr so far (read without moving the place where it writes)."""
        if self.errors.closed:
            return "(closed)"
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def pause(self) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)
        until_stopped(self.process.pid)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """What a crash does: the kernel closes its connections, nothing is said."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        """Ends it and frees everything; safe to call twice and after kill()."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.resume()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self._reader.join(PATIENCE)
        self.process.stdout.close()
        self.errors.close()


def environment_of(python: str, covered: bool = True) -> dict[str, str]:
    """Ours for our own interpreter; for the old one without what would lead it to our packages. Without coverage's,
    too, if it is not to be ``covered``.
    """
    hidden = set() if python == sys.executable else {"PYTHONPATH", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept if covered else {name: value for name, value in kept.items() if not name.startswith("COVERAGE")}


P = TypeVar("P", bound=Program)


@contextlib.contextmanager
def running(program: P) -> Iterator[P]:
    try:
        yield program
    finally:
        program.stop()


class Announced(Program):
    """A program that says when it is ready, and which endpoints it is bound to."""

    def __init__(self, file: str, *options: object, python: str | None = None) -> None:
        super().__init__(file, *map(str, options), python=python)
        try:
            self.endpoints: list[str] = self.next_line()["ready"]
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self) -> str:
        """The only one it is bound to."""
        (endpoint,) = self.endpoints
        return endpoint


class Peer(Announced):
    """One of old_programs/."""

    def __init__(self, name: str, *options: object, python: str | None = None) -> None:
        super().__init__(f"{name}.py", *options, python=python)

    def next_note(self) -> Any:
        """The arguments of the next note() that reached a receiver."""
        return unpack(self.next_line()["note"])


class OldCallError(Exception):
    """How a call of the old client ended when not with a value."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['name']}: {answer['message']}")
        self.kind: str = answer["error"]
        self.name: str | None = answer["name"]
        self.message: str = answer["message"]
        self.traceback: str | None = answer["traceback"]
        self.seconds: float = answer["seconds"]


class OldAnswer:
    """The answer to one call of the old client, when it comes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.hooks: list[list[Any]] = []
        self.seconds = 0.0

    def put(self, answer: dict[str, Any] | None) -> None:
        self._answers.put(answer)

    def get(self) -> Any:
        try:
            answer = self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"no answer; stderr of {self._program}:\n{self._program.stderr()}") from None
        assert answer is not None, f"{self._program} ended; stderr:\n{self._program.stderr()}"
        self.hooks, self.seconds = answer["hooks"], answer["seconds"]
        if "error" in answer:
            raise OldCallError(answer)
        return unpack(answer["value"])


class OldClient(Peer):
    """A client of the old zerorpc in a process of its own; any number of calls may be under way at once."""

    def __init__(self, *options: object) -> None:
        self._waiting: dict[int, OldAnswer] = {}
        super().__init__("call", *options)

    def take_line(self, line: str) -> None:
        answer = json.loads(line)
        if "id" in answer:
            self._waiting.pop(answer["id"]).put(answer)
        else:
            super().take_line(line)

    def take_end(self) -> None:
        super().take_end()
        for answer in self._waiting.values():
            answer.put(None)

    def start(self, method: str, *args: Any, **options: Any) -> OldAnswer:
        """Calls without waiting; options are those of the call (timeout, slots, async, take, trace)."""
        answer = OldAnswer(self)
        self._waiting[id(answer)] = answer
        self.write_line({"id": id(answer), "method": method, "args": pack(args), **options})
        return answer

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self.start(method, *args, **options).get()


class OldSender(Peer):
    """A pusher or publisher of the old zerorpc."""

    def __init__(self, kind: str, *options: object) -> None:
        super().__init__("emit", kind, *options)

    def send(self, method: str, *many_args: tuple[Any, ...], trace: str = "") -> None:
        """Sends one message for each tuple of arguments and returns when the old side has taken all of them."""
        self.write_line({"id": 0, "method": method, "args": pack(many_args), "trace": trace})
        assert self.next_line()["sent"]


def old_server(*options: object) -> contextlib.AbstractContextManager[Peer]:
    """A server of the old zerorpc; a worker when the options connect it."""
    return running(Peer("serve", *options))


def telling_server(*options: object) -> contextlib.AbstractContextManager[Peer]:
    """The same, and it tells its methods' parameters."""
    return running(Peer("serve", "--tells", *options, python=telling_python()))


def our_server_process(*options: object) -> contextlib.AbstractContextManager[Peer]:
    """The same program, unchanged, on our own zerorpc: for what takes a process, such as being stopped."""
    return running(Peer("serve", *options, python=sys.executable))


def old_holder(*options: object) -> contextlib.AbstractContextManager[Peer]:
    """A client of the old zerorpc with one endless stream open."""
    return running(Peer("hold", *options))


def our_holder(*options: object) -> contextlib.AbstractContextManager[Peer]:
    """The same program, unchanged, on our own zerorpc."""
    return running(Peer("hold", *options, python=sys.executable))


def old_client(*options: object) -> contextlib.AbstractContextManager[OldClient]:
    return running(OldClient(*options))


def old_sender(kind: str, *options: object) -> contextlib.AbstractContextManager[OldSender]:
    return running(OldSender(kind, *options))


def old_receiver(kind: str, *options: object) -> contextlib.AbstractContextManager[Peer]:
    return running(Peer("receive", kind, *options))
