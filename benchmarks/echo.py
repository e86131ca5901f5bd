"""What one echo call costs: our clients, the floor under them, and zerorpc 0.6.3, all in the same run.

::

    taskset -c 0 python benchmarks/echo.py

Pin it to one core: then the figures are the sum of the work that both ends do for a call, and they repeat within a
few per cent. On several cores, waking the other core costs more than the call. Quote ratios to the floor of the same
run, since machines differ. The rounds take the candidates in rotating order, so that a machine that slows down or
speeds up half-way favours nobody.

Each server is a process of its own and inherits the pinning; ``--in-process`` puts ours on the loop of its caller
instead. zerorpc 0.6.3 takes part where ``.venvs/zerorpc-0.6.3`` exists (``make test`` makes it).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import zerorpc

ROOT = Path(__file__).resolve().parents[1]
OLD_PYTHON = ROOT / ".venvs" / "zerorpc-0.6.3" / "bin" / "python"
OLD_PROGRAM = Path(__file__).with_name("old_echo.py")

TEXT = "hello world"
IN_FLIGHT = 100
FRAME = bytes(100)  # about as many octets as an echo call has on the wire, with ZMTP's frames around it
CHUNK = 65536
WARM_UP = 0.2  # seconds

ALONE, FLIGHT = "one at a time", f"{IN_FLIGHT} in flight"


class Candidate(NamedTuple):
    """One way to make an echo call. ``measure`` takes seconds and returns (calls made, seconds really taken)."""

    name: str
    pattern: str
    measure: Callable[[float], tuple[int, float]]
    is_floor: bool = False


def main() -> None:
    options = parse()
    if options.serve:
        serve(options.serve)
        return
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    with contextlib.ExitStack() as stack:
        candidates = enter_candidates(stack, options)
        figures = measure_in_rounds(candidates, options)
    rows = make_rows(candidates, figures)
    if options.json:
        print(json.dumps({"conditions": conditions(options), "results": rows}, indent=2))
    elif options.one_line:
        print(one_line(rows))
    else:
        print_table(rows, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What one echo call costs, in microseconds.")
    parser.add_argument("--rounds", type=int, default=7, help="how often each candidate is measured (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each time (default 1)")
    parser.add_argument("--in-process", action="store_true", help="our server on the event loop of its caller")
    parser.add_argument("--no-old", action="store_true", help="leave zerorpc 0.6.3 out")
    parser.add_argument("--json", action="store_true", help="print the results, each round's too, as JSON")
    parser.add_argument("--one-line", action="store_true", help="only AsyncClient's throughput, quickly")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_line:
        options.rounds, options.no_old = 3, True
        options.seconds = min(options.seconds, 0.5)
    return options


def enter_candidates(stack: contextlib.ExitStack, options: argparse.Namespace) -> list[Candidate]:
    """Start everything that takes part; the stack ends it."""
    enter = stack.enter_context
    if options.one_line:
        return [enter(async_client(options.in_process))]
    candidates = [
        enter(raw_loop()),
        enter(async_client(options.in_process)),
        enter(raw_socket()),
        enter(blocking_client()),
    ]
    if OLD_PYTHON.exists() and not options.no_old:
        candidates += enter(old_clients())
    return candidates


def measure_in_rounds(candidates: list[Candidate], options: argparse.Namespace) -> list[list[float]]:
    """Microseconds a call: for each candidate a figure for each round."""
    for candidate in candidates:
        candidate.measure(WARM_UP)
    figures: list[list[float]] = [[] for _ in candidates]
    for round_number in range(options.rounds):
        for step in range(len(candidates)):
            which = (step + round_number) % len(candidates)
            calls, seconds = candidates[which].measure(options.seconds)
            figures[which].append(seconds / calls * 1e6)
    return figures


# Ours


@contextlib.contextmanager
def async_client(in_process: bool) -> Iterator[Candidate]:
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(own_loop())
        server: zerorpc.Server | None = None
        serving: asyncio.Task[None] | None = None
        if in_process:
            server = zerorpc.Server({"echo": echo})
            endpoint = server.bind("tcp://127.0.0.1:0")[0]
            serving = loop.create_task(server.serve())
        else:
            endpoint = stack.enter_context(server_process("zerorpc"))
        client = zerorpc.AsyncClient(endpoint)

        async def one_call() -> None:
            await client.echo(TEXT)

        where = " on the same loop" if in_process else ""
        yield Candidate(
            f"AsyncClient, async method{where}",
            FLIGHT,
            lambda seconds: loop.run_until_complete(many_in_flight(one_call, seconds)),
        )
        loop.run_until_complete(client.aclose())
        if server is not None and serving is not None:
            server.stop()
            loop.run_until_complete(serving)


async def many_in_flight(one_call: Callable[[], Awaitable[None]], seconds: float) -> tuple[int, float]:
    """IN_FLIGHT coroutines that each make one call after the other."""
    start = time.perf_counter()
    end = start + seconds

    async def caller() -> int:
        calls = 0
        while time.perf_counter() < end:
            for _ in range(10):
                await one_call()
            calls += 10
        return calls

    calls = sum(await asyncio.gather(*(caller() for _ in range(IN_FLIGHT))))
    return calls, time.perf_counter() - start


@contextlib.contextmanager
def blocking_client() -> Iterator[Candidate]:
    with server_process("zerorpc") as endpoint, zerorpc.Client(endpoint) as client:
        yield Candidate("Client, async method", ALONE, lambda seconds: alone(lambda: client.echo(TEXT), seconds))


def alone(one_call: Callable[[], object], seconds: float) -> tuple[int, float]:
    start = now = time.perf_counter()
    end = start + seconds
    calls = 0
    while now < end:
        for _ in range(50):
            one_call()
        calls += 50
        now = time.perf_counter()
    return calls, now - start


async def echo(value: object) -> object:
    """What every call calls."""
    return value


# The floors: the same octets there and back, and nobody who reads them


@contextlib.contextmanager
def raw_loop() -> Iterator[Candidate]:
    """Protocols on the event loop and a future for each message, since each has a coroutine that waits for it."""
    with server_process("raw-loop") as endpoint, own_loop() as loop:
        protocol = loop.run_until_complete(loop.create_connection(RawCaller, *address_of(endpoint)))[1]
        yield Candidate(
            f"floor: raw {loop_name()} echo",
            FLIGHT,
            lambda seconds: loop.run_until_complete(many_in_flight(protocol.call, seconds)),
            is_floor=True,
        )
        loop.run_until_complete(protocol.close())


class RawCaller(asyncio.Protocol):
    """Sends FRAMEs, and resolves a future for each that came back. One write for all calls of a turn, as ours."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._received = 0
        self._unsent = 0
        self._closed = self._loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def call(self) -> asyncio.Future[None]:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent += 1
        future = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _flush(self) -> None:
        self._transport.write(FRAME * self._unsent)
        self._unsent = 0

    def data_received(self, data: bytes) -> None:
        count, self._received = divmod(self._received + len(data), len(FRAME))
        for future in self._waiting[:count]:
            future.set_result(None)
        del self._waiting[:count]

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)

    async def close(self) -> None:
        self._transport.close()
        await self._closed


@contextlib.contextmanager
def raw_socket() -> Iterator[Candidate]:
    with server_process("raw-socket") as endpoint, socket.create_connection(address_of(endpoint)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def one_call() -> None:
            connection.sendall(FRAME)
            connection.recv(CHUNK)

        name = "floor: raw blocking sockets"
        yield Candidate(name, ALONE, lambda seconds: alone(one_call, seconds), is_floor=True)


def address_of(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


# zerorpc 0.6.3: both ends in its own interpreter


@contextlib.contextmanager
def old_clients() -> Iterator[list[Candidate]]:
    program = [str(OLD_PYTHON), str(OLD_PROGRAM)]
    with server_of([*program, "server"]) as endpoint, process([*program, "client", endpoint]) as (client, _):

        def measure(pattern: str, seconds: float) -> tuple[int, float]:
            assert client.stdin
            assert client.stdout
            client.stdin.write(f"{IN_FLIGHT if pattern == FLIGHT else 1} {seconds}\n")
            client.stdin.flush()
            calls, taken = client.stdout.readline().split()
            return int(calls), float(taken)

        yield [
            Candidate("zerorpc 0.6.3 (gevent)", FLIGHT, lambda seconds: measure(FLIGHT, seconds)),
            Candidate("zerorpc 0.6.3 (gevent)", ALONE, lambda seconds: measure(ALONE, seconds)),
        ]


# Processes: each prints one line when it is ready, and ends when its stdin does, so also when its parent dies


def server_process(kind: str) -> contextlib.AbstractContextManager[str]:
    return server_of([sys.executable, __file__, "--serve", kind])


@contextlib.contextmanager
def server_of(command: list[str]) -> Iterator[str]:
    with process(command) as (_, line):
        yield line


@contextlib.contextmanager
def process(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin
        assert child.stdout
        try:
            line = child.stdout.readline().strip()
            if not line:
                sys.exit(f"{' '.join(command)} did not start")
            yield child, line
        finally:
            child.stdin.close()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()


def serve(kind: str) -> None:
    SERVERS[kind]()


def serve_zerorpc() -> None:
    with zerorpc.Server({"echo": echo}) as server:
        print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
        threading.Thread(target=stop_with_stdin, args=(server,), daemon=True).start()
        server.run()


def stop_with_stdin(server: zerorpc.Server) -> None:
    sys.stdin.read()
    server.stop()


def serve_raw_loop() -> None:
    with own_loop() as loop:
        server = loop.run_until_complete(loop.create_server(RawEcho, "127.0.0.1", 0))
        print("tcp://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
        loop.run_until_complete(loop.run_in_executor(None, sys.stdin.read))
        server.close()


class RawEcho(asyncio.Protocol):
    """Sends everything back."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


def serve_raw_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("tcp://{}:{}".format(*listener.getsockname()), flush=True)
        connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(CHUNK):
            connection.sendall(data)


SERVERS = {"zerorpc": serve_zerorpc, "raw-loop": serve_raw_loop, "raw-socket": serve_raw_socket}


@contextlib.contextmanager
def own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """uvloop's event loop where it is installed, as zerorpc's own server takes it."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    with contextlib.closing(loop):
        yield loop


def loop_name() -> str:
    try:
        import uvloop  # noqa: F401 - is it there?
    except ImportError:
        return "asyncio"
    return f"uvloop {version('uvloop')}"


# Telling


def make_rows(candidates: list[Candidate], figures: list[list[float]]) -> list[dict[str, Any]]:
    medians = [statistics.median(rounds) for rounds in figures]
    floors = {c.pattern: m for c, m in zip(candidates, medians, strict=True) if c.is_floor}
    return [
        {
            "pattern": candidate.pattern,
            "name": candidate.name,
            "median_us": round(median, 2),
            "least_us": round(min(rounds), 2),
            "most_us": round(max(rounds), 2),
            "calls_per_second": round(1e6 / median),
            "times_floor": round(median / floors[candidate.pattern], 2) if candidate.pattern in floors else None,
            "rounds_us": [round(figure, 2) for figure in rounds],
        }
        for candidate, median, rounds in sorted(
            zip(candidates, medians, figures, strict=True), key=lambda row: (row[0].pattern, row[1])
        )
    ]


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "cores": cores(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "loop": loop_name(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "in_process": options.in_process,
    }


def cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def one_line(rows: list[dict[str, Any]]) -> str:
    row = rows[0]
    return (
        f"echo over TCP, {row['pattern']}: {row['calls_per_second']:,} calls a second "
        f"({row['median_us']:.1f} µs each; cores: {cores()}, {loop_name()})"
    )


def print_table(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    facts = conditions(options)
    print(
        f"echo of {TEXT!r} over loopback TCP; cores: {facts['cores']}; {facts['python']}, {facts['loop']}; "
        f"{options.rounds} rounds of {options.seconds:g} s"
    )
    if facts["cores"] > 1:
        print("not pinned to one core: run it under `taskset -c 0` for figures that can be compared")
    pattern = ""
    for row in rows:
        if row["pattern"] != pattern:
            pattern = row["pattern"]
            print(f"\n{pattern:44} {'median µs':>9} {'least-most':>15} {'calls/s':>9} {'× floor':>8}")
        spread = f"{row['least_us']:.1f}-{row['most_us']:.1f}"
        print(
            f"  {row['name']:42} {row['median_us']:9.2f} {spread:>15} "
            f"{row['calls_per_second']:9,} {row['times_floor']:8.2f}"
        )


if __name__ == "__main__":
    main()
