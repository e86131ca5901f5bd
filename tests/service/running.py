"""What the tests of the shells share: servers on threads, waiting for conditions, peers driven by hand, processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import pytest

import zerorpc
from zerorpc.protocol.events import WireEvent, decode, encode
from zerorpc.protocol.framed import FramedEvent, with_buffers
from zerorpc.transport.endpoints import parse, resolve
from zerorpc.zmtp import Connection, SocketType, State

PATIENCE = 30.0  # s until a test gives up on a condition; a loaded machine is slow
TCP = "tcp://127.0.0.1:0"


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until ``condition()`` is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        time.sleep(0.002)


def timed_out(call: Callable[[float], object], *texts: str) -> str:
    """The error of a call that gets no answer, which says ``texts`` if the call's timeout leaves time to find that out.

    So ``call`` gets longer and longer ones: on a busy machine nothing is sure to happen within a short one.
    """
    timeout = 0.05
    while True:
        with pytest.raises(zerorpc.TimeoutExpired) as caught:
            call(timeout)
        message = str(caught.value)
        if all(text in message for text in texts):
            return message
        timeout *= 2
        assert timeout < PATIENCE, f"{message} does not say {texts}"


def alarm_soon() -> None:
    """Let a SIGALRM come soon, if none is about to. The handler must not call this: on a busy machine it takes longer
    than that, and would be interrupted by the next one, and that by the next.
    """
    soon = 0.0005
    if not 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= soon:  # pytest's limit for each test uses this timer too
        signal.setitimer(signal.ITIMER_REAL, soon)


def until_stopped(pid: int) -> None:
    """Until all threads of a process that got SIGSTOP have stopped. It is one of them that stops the others: as long as
    a busy machine doesn't let that one run, they go on, and take a lock, perhaps.
    """

    def stopped(thread: Path) -> bool:
        with contextlib.suppress(OSError):  # it has just ended
            return (thread / "stat").read_text().rpartition(") ")[2].startswith("T")
        return False

    threads = Path(f"/proc/{pid}/task")
    eventually(lambda: all(map(stopped, threads.iterdir())) if threads.is_dir() else True, f"{pid} is stopped")


def once(condition: Callable[[], object], act: Callable[[], object]) -> None:
    """``act`` when ``condition()`` has come true; for a thread to do."""
    eventually(condition)
    act()


async def eventually_async(condition: Callable[[], object], what: str = "") -> None:
    """``eventually`` for coroutines."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        await asyncio.sleep(0.002)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """``asyncio.run``, with an upper bound."""

    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, 2 * PATIENCE)

    return asyncio.run(bounded())


class Runs(Protocol):
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


R = TypeVar("R", bound=Runs)


@contextlib.contextmanager
def on_thread(runs: R) -> Iterator[R]:
    """Runs a server, puller or subscriber on a thread, and ends it."""
    thread = threading.Thread(target=runs.run, name="under test", daemon=True)
    thread.start()
    try:
        yield runs
    finally:
        runs.stop()
        thread.join(PATIENCE)
        runs.close()
        assert not thread.is_alive(), f"stop() did not end run() of {runs!r}"


@contextlib.contextmanager
def serving(
    methods: Any, *, bind: str = TCP, connect: str = "", grace: float = 0.1, **options: Any
) -> Iterator[zerorpc.Server]:
    """A running server; ``server.endpoints[0]`` is where. Its heartbeats are rare, so that busy cores harm nobody."""
    options.setdefault("heartbeat", 30.0)
    server = zerorpc.Server(methods, grace=grace, **options)
    if connect:
        server.connect(connect)
    else:
        server.bind(bind)
    with on_thread(server):
        if server._core.settings.processes == 1:
            eventually(lambda: server._core.runners is not None, "it serves")
        yield server


@contextlib.contextmanager
def joined(methods: Any, **options: Any) -> Iterator[zerorpc.Client]:
    """A client of a running server. Its heartbeats are rare as well."""
    with serving(methods, **options) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30.0) as client:
            yield client


_first = 20_000 + os.getpid() * 1381 % 10_000  # tests that run at the same time begin elsewhere
_ports = itertools.chain(range(_first, 30_000), range(20_000, _first))


def unused_port() -> int:
    """A port where nobody listens, below those that systems choose from, so that nobody gets it by chance."""
    for port in _ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")


def unused_tcp() -> str:
    """An endpoint for a test that binds to it again: what ``TCP`` gives could be another program's by then."""
    return f"tcp://127.0.0.1:{unused_port()}"


def binds(sock: zerorpc.Client | zerorpc.Server, endpoint: str) -> bool:
    """Whether it is bound there now: another thread may not have closed yet what was bound before."""
    try:
        return bool(sock.bind(endpoint))
    except zerorpc.AddressInUse:
        return False


class RawPeer:
    """The other end of a connection, by hand: it sends what it is told and reads when it is told.

    Announces no extensions, as libzmq does, unless given ``properties``.
    """

    def __init__(
        self,
        sock: socket.socket,
        socket_type: SocketType = SocketType.DEALER,
        properties: dict[str, bytes] | None = None,
    ) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.connection = Connection(socket_type, properties=properties or {})
        self._received: list[Any] = []

    @classmethod
    def to(cls, endpoint: str, *args: Any) -> RawPeer:
        peer = cls(connect(endpoint), *args)
        peer.handshake()
        return peer

    def handshake(self) -> None:
        self._flush()
        while self.connection.state is not State.TRAFFIC:
            self._receive()

    def send(self, header: dict[str, Any], name: Any, args: Any) -> None:
        data = encode(header, name, args)
        self.send_data(data.in_band() if isinstance(data, FramedEvent) else data)

    def send_data(self, data: bytes) -> None:
        self.connection.send_message([b"", data])
        self._flush()

    def next_event(self) -> WireEvent:
        """The next event; EOFError at the end."""
        event = decode(self._next())
        assert isinstance(event, WireEvent)
        return event

    def next_data(self) -> bytes:
        """The same, as it came."""
        return bytes(self._next())

    def _next(self) -> bytes:
        while not self._received:
            self._receive()
        message = self._received.pop(0)
        # of one of ours, large octets may stand behind the event
        return with_buffers(message[1], message[2:]) if len(message) > 2 and not message[0] else message[-1]

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self._received += self.connection.receive_data(data)
        assert self.connection.error is None, self.connection.error
        self._flush()

    def _flush(self) -> None:
        self.sock.sendall(b"".join(self.connection.take_output()))  # in two pieces TCP would hold the second back

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sock.close()


def connect(endpoint: str) -> socket.socket:
    """A plain socket to an endpoint."""
    family, address = resolve(parse(endpoint))[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    sock.connect(address)
    return sock


def refused(endpoint: str) -> bool:
    """Whether nobody listens there any more."""
    family, address = resolve(parse(endpoint))[0]
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        return sock.connect_ex(address) != 0


# CPython 3.12.0 and 3.12.1 refuse to start a thread once the main one has ended; those before and after do it.
NEEDS_THREADS_AT_THE_END = pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 2), reason="this Python starts no thread once the main one has ended"
)

_SLOW = re.compile(r"Executing <.*> took [\d.]+ seconds$")  # asyncio's debug mode, which -X dev turns on


class Program:
    """A Python program, as its text or a script, in a process of its own; ``line`` reads its lines."""

    def __init__(self, text: str | Path, *args: str, pass_fds: Sequence[int] = ()) -> None:
        what = ["-c", textwrap.dedent(text)] if isinstance(text, str) else [str(text)]
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", *what, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            process_group=0,
            pass_fds=pass_fds,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            until_stopped(self.process.pid)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, what is left of stdout, stderr without what asyncio says of a busy machine."""
        out, err = self.process.communicate(timeout=2 * PATIENCE)
        err = "".join(line for line in err.splitlines(keepends=True) if not _SLOW.match(line))
        return self.process.returncode, out, err

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it, and what it forked: they are a process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


_WAITS = (("zerorpc.transport.polling", "poll"), ("zerorpc.transport.leading", "_follow"))


def main_thread_waits() -> bool:
    """Whether the main thread waits for a reply in a blocking client."""
    main = threading.main_thread().ident
    assert main is not None
    frame = sys._current_frames().get(main)
    while frame is not None:
        if (frame.f_globals["__name__"], frame.f_code.co_name) in _WAITS:
            return True
        frame = frame.f_back
    return False


_AGAIN = 0.05  # s


@contextlib.contextmanager
def acting_on(number: signal.Signals, act: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """A signal that has the main thread ``act``, once; yields what sends it, from any thread.

    It is sent until it has come: what comes between a thread's last look for signals and its wait interrupts nothing,
    and CPython would not call the handler before the wait is over. One of a hundred was such on one core.
    """
    came = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def handler(*_: object) -> None:
        if not came.is_set():
            came.set()
            act()

    def send() -> None:
        while not came.is_set():
            signal.pthread_kill(main, number)
            if threading.get_ident() == main:  # it has acted, or has signals blocked
                return
            came.wait(_AGAIN)

    before = signal.signal(number, handler)
    try:
        yield send
    finally:
        came.set()
        signal.signal(number, before)


@contextlib.contextmanager
def raising_on(number: signal.Signals, error: BaseException) -> Iterator[Callable[[], None]]:
    """A signal that raises ``error`` in the main thread, as Ctrl-C does; yields what sends it."""
    with acting_on(number, partial(throw, error)) as send:
        yield send


def throw(error: BaseException) -> NoReturn:
    raise error


@contextlib.contextmanager
def acting_when(condition: Callable[[], object], act: Callable[[], object]) -> Iterator[None]:
    """The main thread is interrupted by a signal as soon as ``condition()`` is true, and has to ``act`` then."""
    with acting_on(signal.SIGUSR1, act) as send:
        sender = threading.Thread(target=once, args=(condition, send))
        sender.start()
        yield
        sender.join(PATIENCE)
