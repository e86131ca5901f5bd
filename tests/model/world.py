"""What the operations act on: servers that come and go, the clients, and their endpoints."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import zerorpc
from tests.faults.ledger import read_ledger
from tests.model.book import Book, Call

ROOT = Path(__file__).parents[2]
TIMEOUT = 8.0  # s of calls that have to be answered
START = 30.0  # s that a server may take to start


class Server:
    """One server process at an endpoint of its own."""

    def __init__(self, folder: Path, number: int) -> None:
        self.endpoint = f"ipc://{folder}/server-{number}"
        self._ledger = str(folder / "ledger")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-m", "tests.model.server", self.endpoint, self._ledger]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "a server doesn't start"

    def pipes(self) -> list[str]:
        process = self._process
        return [] if process is None else [str(pipe.fileno()) for pipe in (process.stdin, process.stdout) if pipe]

    def show_stacks(self) -> None:
        """Have it print where it is."""
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGUSR2)

    def stop(self, kill: bool) -> None:
        """At once, or with what it grants its calls."""
        process = self._process
        if process is None:
            return
        process.kill() if kill else process.terminate()
        process.wait(START)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        self._process = None


class World:
    """Three servers, of which the first is always there, and two clients, which are closed and made anew.

    ``wanted`` tells by name which operations there are.
    """

    def __init__(self, seed: int, wanted: Callable[[str], bool]) -> None:
        self.seed = seed
        self.wanted = wanted
        self.interruptible: int | None = None  # the thread in which an exception may come at any moment
        self.book = Book()
        self.folder = Path(tempfile.mkdtemp(prefix="zm-", dir="/tmp"))
        self.servers = [Server(self.folder, number) for number in range(3)]
        self.client = zerorpc.Client(self.first, timeout=TIMEOUT)
        self.async_client = zerorpc.AsyncClient(timeout=TIMEOUT)
        self.async_client.connect(self.first)

    @property
    def first(self) -> str:
        return self.servers[0].endpoint

    def start(self) -> None:
        for server in self.servers:
            server.start()

    def end(self) -> None:
        for server in self.servers:
            server.stop(kill=True)

    def pipes(self) -> set[str]:
        """Descriptors that lead to the servers."""
        return {number for server in self.servers for number in server.pipes()}

    def runs(self) -> list[int]:
        return read_ledger(self.folder / "ledger")


class Actor:
    """One thread, or one task, with a stream of random numbers and ids of its own."""

    def __init__(self, world: World, name: str, number: int) -> None:
        self.world = world
        self.book = world.book
        self.name = name
        self.random = Random(f"{world.seed}-{name}")
        self._ids = itertools.count(number * 1_000_000_000, 1000)  # a stream's items, a child's calls come in between
        self.dead = f"ipc://{world.folder}/nobody-{number}"

    def choose(self, acts: Sequence[Callable[[], Any]]) -> Callable[[], Any] | None:
        """One at random, of those that are wanted."""
        wanted = [act for act in acts if self.world.wanted(act.__name__)]
        return self.random.choice(wanted) if wanted else None

    def wait(self) -> None:
        """For the end."""
        self.book.over.wait()

    def new_id(self) -> int:
        return next(self._ids)

    @contextlib.contextmanager
    def call(
        self, what: str, call_id: int, client: Any, timeout: float = TIMEOUT, may: Collection[str] = ()
    ) -> Iterator[list[Any]]:
        """Around one call: whose result is to be put into the list, or whose error is raised."""
        found: list[Any] = []
        key = self.book.begin(Call(self.name, what, call_id, client, timeout, may))
        result: Any = None
        try:
            yield found
            result = found[0]
        except Exception as error:
            result = error
        except BaseException as error:
            self.book.end(key, error)
            raise
        self.book.end(key, result)

    def simply(self, what: str, method: Callable[..., Any], *args: Any, client: Any, **options: Any) -> None:
        """One blocking call."""
        call_id = self.new_id()
        with self.call(what, call_id, client, **options) as found:
            found.append(method(call_id, *args))


class Admin(Actor):
    """Stops and starts servers, connects and disconnects, closes the blocking client; one thing at a time."""

    PAUSE = (0.1, 1.5)

    def __init__(self, world: World) -> None:
        super().__init__(world, "admin", 1)
        self.connected: set[tuple[Any, str]] = set()

    def run(self) -> None:
        acts = [self.flap_server, self.connect, self.connect, self.disconnect, self.reopen]
        while not self.book.over.wait(self.random.uniform(*self.PAUSE)):
            if act := self.choose(acts):
                act()

    def flap_server(self) -> None:
        server = self.world.servers[self.random.randint(1, 2)]
        kill = self.random.random() < 0.5
        self.book.note(self.name, f"{'kill' if kill else 'stop'} {server.endpoint}")
        # CancelledError: on a busy machine a method may still run at the end of the grace
        ends = ("LostRemote",) if kill else ("LostRemote", "ServerStopping", "CancelledError")
        reason = self.book.reason("a server stops", *ends)
        server.stop(kill)
        reason.end()
        time.sleep(self.random.uniform(0, 0.3))
        server.start()

    def connect(self) -> None:
        client = self.random.choice([self.world.client, self.world.async_client])
        endpoint = self.random.choice(self.world.servers[1:]).endpoint
        self.book.note(self.name, f"connect {type(client).__name__} {endpoint}")
        with contextlib.suppress(zerorpc.Closed):  # closed meanwhile by its loop
            client.connect(endpoint)
            self.connected.add((client, endpoint))

    def disconnect(self) -> None:
        if not self.connected:
            return
        client, endpoint = self.random.choice(sorted(self.connected, key=lambda one: (type(one[0]).__name__, one[1])))
        self.connected.discard((client, endpoint))
        self.book.note(self.name, f"disconnect {type(client).__name__} {endpoint}")
        reason = self.book.reason("disconnected", "LostRemote", client=client)
        with contextlib.suppress(zerorpc.Closed):
            client.disconnect(endpoint)
        reason.end()

    def reopen(self) -> None:
        old = self.world.client
        self.book.note(self.name, "close the Client, and make another")
        self.book.reason("closed", "LostRemote", "Closed", client=old)
        self.world.client = zerorpc.Client(self.world.first, timeout=TIMEOUT)
        self.connected = {(client, endpoint) for client, endpoint in self.connected if client is not old}
        old.close()


def descriptors() -> dict[str, str]:
    """What is open, by number."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found
