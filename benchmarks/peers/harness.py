"""What every peer's program does: say that it is ready, take commands, answer, and end when its stdin does.

A server prints one line of JSON with its endpoint. A client prints one when it is ready, then reads a command a line
and answers each with a line of JSON: what it measured, or ``{"cannot": why}``. Commands are ``Task``s.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import resource
import struct
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

TEXT = "hello world"
ITEMS = 5000  # of one stream; the next one begins when it has ended
PATIENCE = 60.0  # seconds for calls that are late to come back after all

Ready = Callable[[str], None]
Serve = Callable[[str, Ready], None]


@dataclass
class Task:
    """One command to a client. Which of the fields count depends on what is measured."""

    measure: str
    server: int = 0  # the server's process id, for its CPU time
    seconds: float = 1.0
    warm_up: float = 0.1
    method: str = "echo"
    callers: int = 1
    size: int = 0  # octets of a payload
    array: bool = False  # as an array, to a peer that ``takes_arrays``
    connections: int = 1
    active: int = 0  # how many of the connections are called over; 0 for all
    count: int = 0  # connections to make one after the other, or calls to hold open
    rate: int = 0  # calls a second


class Client(Protocol):
    """The side that measures."""

    cannot: ClassVar[Mapping[str, str]]  # measures and methods that this peer has nothing for, and why

    @classmethod
    def perform(cls, endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
        """Do what the command says. ``hold`` blocks until the driver wants what is held open to be let go."""


def payload_of(client: object, task: Task) -> Any:
    """What is sent there and back."""
    data = os.urandom(task.size)
    if not (task.array and getattr(client, "takes_arrays", False)):
        return data
    import numpy as np

    return np.frombuffer(data, np.float32)


def octets_of(payload: Any) -> int:
    return payload.nbytes if hasattr(payload, "nbytes") else len(payload)


def main(serve: Serve, clients: Mapping[str, type[Client]], packages: list[str]) -> None:
    """The program. ``serve(flavour, ready)`` calls ``ready(endpoint)``, then runs for as long as the process does."""
    answers = Answers()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    about = {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}
    role, flavour, *rest = sys.argv[1:]
    if role == "server":
        if "--tracemalloc" in rest:
            tracemalloc.start()
        threading.Thread(target=watch_stdin, args=(answers,), daemon=True).start()
        serve(flavour, lambda endpoint: answers.say({"endpoint": endpoint, "versions": about}))
    else:
        take_commands(clients[flavour], rest[0], answers, about)


class Answers:
    """The program's stdout, kept for answers; what libraries print goes to stderr."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, answer: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(answer) + "\n")
        self._file.flush()


def watch_stdin(answers: Answers) -> None:
    """A server's thread: tells of its memory when asked, and ends the process with its stdin.

    It reads past ``sys.stdin``, whose lock it would hold all the time, also in processes that the server forks.
    """
    while os.read(0, 1 << 16):
        gc.collect()
        answers.say({"python": tracemalloc.get_traced_memory()[0], "rss": resident(os.getpid())})
    os._exit(0)


def take_commands(client: type[Client], endpoint: str, answers: Answers, about: Mapping[str, str]) -> None:
    def hold() -> None:
        answers.say({"held": True})
        sys.stdin.readline()

    answers.say({"versions": about})
    for line in sys.stdin:
        task = Task(**json.loads(line))
        answers.say(answer_to(client, endpoint, task, hold))
    os._exit(0)  # not by way of the exit handlers of a library that waits for threads of its own


def answer_to(client: type[Client], endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
    why = reason(client, task)
    if why is not None:
        return {"cannot": why}
    try:
        return client.perform(endpoint, task, hold)
    except Exception as error:
        traceback.print_exc()
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}


def reason(client: type[Client], task: Task) -> str | None:
    """Why a client can't do what is asked, if it can't."""
    names = [task.measure, task.method]
    if task.connections > 1:
        names.append("connections")
    return next((client.cannot[name] for name in names if name in client.cannot), None)


class Meter:
    """Wall time, and the CPU time of both ends, from its making to ``result``."""

    def __init__(self, task: Task) -> None:
        self._server = task.server
        self._server_cpu = cpu_of(task.server)
        self._client_cpu = time.process_time()
        self._start = time.perf_counter()

    def result(self, calls: int, **more: Any) -> dict[str, Any]:
        return {
            "calls": calls,
            "seconds": time.perf_counter() - self._start,
            "client_cpu": time.process_time() - self._client_cpu,
            "server_cpu": cpu_of(self._server) - self._server_cpu,
            **more,
        }


def cpu_of(process: int) -> float:
    """Seconds of CPU that a process and its children have used: Linux has a clock for each process, in ns."""
    try:
        used = time.clock_gettime(~process << 3 | 2)
        threads = os.listdir(f"/proc/{process}/task")
    except OSError:
        return 0.0  # it has just ended
    for thread in threads:
        with contextlib.suppress(OSError):  # that has just ended
            children = Path(f"/proc/{process}/task/{thread}/children").read_text().split()
            used += sum(cpu_of(int(child)) for child in children)
    return used


def resident(process: int) -> int:
    """Octets of memory that a process has in RAM."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


class Ticks:
    """A clock that ticks ``rate`` times a second, as a file descriptor to wait for.

    A timer of the kernel's, since those of event loops count in milliseconds. A tick that is read late was still due
    at ``due``: latencies are counted from there.
    """

    def __init__(self, rate: int) -> None:
        self._interval = 1_000_000_000 // rate
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "no timerfd")
        self._first = time.monotonic_ns() + self._interval
        times = (*divmod(self._interval, 1_000_000_000), *divmod(self._first, 1_000_000_000))
        libc.timerfd_settime(self.descriptor, 1, struct.pack("@qqqq", *times), None)  # 1: an absolute time

    def read(self) -> int:
        """How many ticks there were since the last time."""
        try:
            return int.from_bytes(os.read(self.descriptor, 8), sys.byteorder)
        except BlockingIOError:
            return 0

    def due(self, number: int) -> float:
        """When tick ``number`` was or will be, on the clock of ``time.monotonic``."""
        return (self._first + number * self._interval) / 1e9

    def close(self) -> None:
        os.close(self.descriptor)
