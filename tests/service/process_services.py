"""What the tests of worker processes serve. Nothing else here: each process imports it."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zerorpc


@zerorpc.process
def echo(value: Any = None) -> Any:
    """The same again."""
    return value


@zerorpc.process
def pid() -> int:
    return os.getpid()


@zerorpc.process
def pair(first: Any, second: Any) -> list[Any]:
    return [first, second]


@zerorpc.process
def moved_in_process(x: int, y: int = 2, *, speed: float = 1.0) -> list[Any]:
    return [x, y, speed]


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nobody")


@zerorpc.process
def remembers_in_its_context(name: str) -> list[str]:
    """What the call before left, and what this one leaves."""
    before = variable.get()
    variable.set(name)
    return [before, variable.get()]


class Counter:
    """Its methods get a copy of it."""

    def __init__(self) -> None:
        self.number = 0

    @zerorpc.process
    def add(self) -> int:
        self.number += 1
        return self.number

    @staticmethod
    @zerorpc.process
    def static(value: Any) -> Any:
        return value

    @zerorpc.process
    @staticmethod
    def marked_static(value: Any) -> Any:
        return value

    @classmethod
    @zerorpc.process
    def kind(cls) -> str:
        return cls.__name__

    @zerorpc.rep
    @zerorpc.process
    def said(self, stop: int) -> Iterator[int]:
        return iter(range(stop))

    @zerorpc.process
    def iterator(self, stop: int) -> Iterator[int]:
        return iter(range(stop))


class Locked:
    """Can't be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    @zerorpc.process
    def method(self) -> None: ...


paired = functools.partial(pair, 1)


# What goes wrong


class Demanding(Exception):
    """Can't be unpickled: it keeps other arguments than those that it takes."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} number {number}")


@zerorpc.process
def fail() -> None:
    deeper()


def deeper() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("not there") from error


@zerorpc.process
def demand() -> None:
    raise Demanding("box", 7)


@zerorpc.process
def leave() -> None:
    raise SystemExit(3)


@zerorpc.process
def lock() -> Any:
    return threading.Lock()


@zerorpc.process
def nothing_known() -> Any:
    return object()


@zerorpc.process
def coroutine() -> Any:
    return asyncio.sleep(0)


@zerorpc.process
def die() -> None:
    os._exit(3)


@zerorpc.process
def live_on_deaf() -> None:
    """As what makes a daemon of itself: closes all that it finds open, and leaves a thread that keeps the process."""
    threading.Thread(target=time.sleep, args=(20,)).start()
    os.closerange(3, 1000)


@zerorpc.process
def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@zerorpc.process
def die_before_child(go_on: str) -> None:
    """Its child keeps the pipe to the server open."""
    if os.fork() == 0:
        wait_for(go_on)
        os._exit(0)
    os._exit(4)


@zerorpc.process
def end_children() -> list[Any]:
    """Exit code of a child that is ended at once, and what a pool of children that are ended brings."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join()
    with context.Pool(2) as pool:  # which terminates it
        return [child.exitcode, pool.map(abs, [-1, -2])]


@zerorpc.process
def fork_and_end(how: str) -> tuple[str, int]:
    """Its child ends the method like this, too; its exit code."""
    if pid := os.fork():
        return "parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if how == "raises":
        raise ValueError("in the child")
    if how == "SystemExit":
        raise SystemExit(5)
    return "child", 0


# What takes its time; each says so by writing its process's id to a file


def begun(path: str) -> None:
    temporary = Path(path + ".new")
    temporary.write_text(str(os.getpid()))
    temporary.rename(path)


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.002)


@zerorpc.process
def until(path: str, go_on: str) -> str:
    begun(path)
    wait_for(go_on)
    return "went on"


@zerorpc.process
def hang(path: str) -> None:
    try:
        begun(path)
        time.sleep(60)
    finally:
        begun(path + ".finally")


@zerorpc.process
def hang_and_tidy_up(path: str, go_on: str) -> None:
    """Sleeps until it is cancelled, and ends when it is told to."""
    try:
        begun(path)
        time.sleep(60)
    finally:
        wait_for(go_on)
        begun(path + ".finally")


@zerorpc.process
def hang_among_threads(path: str) -> None:
    """Threads of its own, which may take a signal that is for the process."""
    for _ in range(8):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    hang(path)


@zerorpc.process
def hang_on(path: str) -> None:
    """Doesn't let itself be cancelled."""
    while True:
        try:
            begun(path)
            time.sleep(60)
        except BaseException:
            begun(path + ".refused")


# What starts others


@zerorpc.process
def with_multiprocessing() -> int | None:
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,))
    process.start()
    process.join()
    return process.exitcode


@zerorpc.process
def with_a_program() -> list[int]:
    """Signals mean to programs what they mean elsewhere."""
    import subprocess
    import sys

    codes = []
    for number in (signal.SIGINT, signal.SIGTERM):
        program = "import signal; print(flush=True); signal.pause()"
        with subprocess.Popen(
            [sys.executable, "-SEc", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as p:
            assert p.stdout is not None
            p.stdout.readline()
            p.send_signal(number)
            codes.append(p.wait())
    return codes


@zerorpc.process
def asks_in_process(endpoint: str) -> list[Any]:
    """What it knows of its call, and what it leaves the one that it makes itself."""
    call = zerorpc.current_call()
    with zerorpc.Client(endpoint, timeout=100) as client:
        return [call.remaining(), client.tell(), call.method, dict(call.metadata)]


@zerorpc.process
def waits_in_process(path: str) -> None:
    """Until it is ended; then the file is there."""
    try:
        time.sleep(60)
    finally:
        Path(path).touch()


@zerorpc.process
def tells_in_process() -> list[Any]:
    """What it knows of its call; named as its method."""
    call = zerorpc.current_call()
    call.reply_metadata["first"] = call.method
    call.end_metadata["last"] = b"\x01"
    return [call.method, call.peer, dict(call.metadata), call.cancelled, (call.remaining() or 0) > 0]


@zerorpc.process
def identity_in_process() -> str | None:
    """Who calls it."""
    return zerorpc.current_call().identity


class Axis(enum.Enum):
    X = "x"
    Y = "y"


@zerorpc.process
def step(axis: Axis, n: int) -> list[Any]:
    return [axis.name, n]


@zerorpc.process
def text_as_number() -> int:
    return "text"  # type: ignore[return-value]


@zerorpc.process
def in_process_with(x: Any) -> list[Any]:
    """Tells whether a hook has put something around it."""
    if x == "fails":
        raise KeyError(x)
    return [os.getpid(), x, os.environ.get("TESTS_CALL_HOOKS", "unset")]


@zerorpc.process
def traced_in_process() -> str:
    """The trace and the span that are current there."""
    from opentelemetry import trace

    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x} {found.span_id:016x}"
