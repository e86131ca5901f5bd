"""``zerorpc bench``: how quick a service is, measured by calling it.

In order: the command line is understood, all connections are made, the calls run (bench_load.py), and what was found
is printed (bench_report.py).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING, TextIO, cast

from zerorpc.cli.arguments import parse_with, tls_of, with_address
from zerorpc.cli.bench_load import SECOND, Load
from zerorpc.cli.bench_report import Subject, number, print_json, print_text
from zerorpc.cli.drawing import columns, wrapped
from zerorpc.cli.flags import Parser, add_setting, add_tls_flags
from zerorpc.cli.printing import note, write
from zerorpc.cli.trusted import curve_for
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.cli.values import count, seconds
from zerorpc.cli.waiting import telling_of_waiting
from zerorpc.cli.words import decode_parameters
from zerorpc.errors import RemoteError
from zerorpc.settings import ClientSettings, declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zerorpc import AsyncClient

PING = "_zerorpc_ping"  # what every zerorpc service answers, the old ones too
PATIENCE = 3  # seconds to reach the service; whoever mistyped its address shall not wait for a whole --timeout
AT_ONCE, AT_ONCE_WITH_RATE = 10, 1000
DURATION, WARMUP = 10, 1  # seconds

SIZES = {"": 1, "B": 1, "K": 2**10, "KB": 10**3, "KIB": 2**10, "M": 2**20, "MB": 10**6, "MIB": 2**20}

EPILOG = f"""\
Without a method it calls {PING}, which every service answers and which
does nothing.

examples:
  %(prog)s tcp://127.0.0.1:4242                          calls a second
  %(prog)s tcp://127.0.0.1:4242 -c 100 --duration 30     more at once, longer
  %(prog)s tcp://127.0.0.1:4242 --rate 2000              latencies at a rate
  %(prog)s tcp://127.0.0.1:4242 --json add 1 2           with parameters
  %(prog)s tcp://127.0.0.1:4242 --payload 64KiB echo     with bytes
"""


class BenchArguments(argparse.Namespace):
    """The understood command line of ``zerorpc bench``."""

    address: str
    method: str
    params: list[object]
    json: bool
    rate: float | None
    concurrency: int
    connections: int
    payload: int
    duration: float
    warmup: float
    timeout: float
    heartbeat: float
    report: str


def bench(argv: Sequence[str]) -> int:
    """Measure what the command line names, print the report and return the exit code.

    Raises UsageError, and what zerorpc.AsyncClient raises when the service can't be reached.
    """
    try:
        arguments = parse(argv)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    loop = _new_event_loop()
    on_ctrl_c: list[Callable[[], object]] = []
    measuring = loop.create_task(_measure(arguments, on_ctrl_c))
    on_ctrl_c.append(measuring.cancel)
    try:
        with _heeding_ctrl_c(loop, on_ctrl_c):
            load = loop.run_until_complete(measuring)
    except asyncio.CancelledError:  # Ctrl-C came while connecting, or a second time
        raise KeyboardInterrupt from None
    finally:
        if measuring.cancel():
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(measuring)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    _print_report(arguments, load)
    if load.interrupted:
        return 130
    return 0 if load.tally.latency.count else 1


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: what zerorpc.Server takes, but this room knows only what users know."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # no stdin, stdout or stderr: uvloop would abort the process
        pass
    os.close(fd)
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


# Measuring


async def _measure(arguments: BenchArguments, on_ctrl_c: list[Callable[[], object]]) -> Load:
    from zerorpc import options

    async with contextlib.AsyncExitStack() as stack:
        note(f'Connecting to "{arguments.address}"')
        clients = await _connect(arguments, stack)
        params = [*arguments.params, *([os.urandom(arguments.payload)] if arguments.payload else [])]
        words = not arguments.json
        calls = [functools.partial(options(client, words=words), arguments.method, *params) for client in clients]
        load = Load(calls, arguments.concurrency, arguments.rate, arguments.warmup, arguments.duration)
        on_ctrl_c.append(load.interrupt)
        plan = _plan(arguments)
        note("\n".join(wrapped(plan)) if _is_terminal(sys.stderr) else plan)
        with _Progress() as progress:
            await load.run(progress)
    return load


async def _connect(arguments: BenchArguments, stack: contextlib.AsyncExitStack) -> list[AsyncClient]:
    from zerorpc import AsyncClient

    clients = []
    for _ in range(arguments.connections):
        client = AsyncClient(
            arguments.address,
            timeout=arguments.timeout,
            heartbeat=arguments.heartbeat,
            passive_heartbeat=True,  # as servers of zerorpc 0.6 want it
            tls=tls_of(arguments),
            curve=curve_for(arguments.address, None),
        )
        clients.append(await stack.enter_async_context(client))
    with telling_of_waiting(clients[0]):  # the others go there too; later it would stand in the middle of the progress
        await asyncio.gather(*[_reach(client, min(PATIENCE, arguments.timeout)) for client in clients])
    return clients


async def _reach(client: AsyncClient, timeout: float) -> None:
    with contextlib.suppress(RemoteError):  # it doesn't know this method, but it is there
        await client(PING, timeout=timeout)


def _plan(arguments: BenchArguments) -> str:
    how = f"{arguments.concurrency:,} calls at once"
    if arguments.rate is not None:
        how = f"{number(arguments.rate)} calls/s, at most {arguments.concurrency:,} at once"
    over = f" over {arguments.connections:,} connections" if arguments.connections > 1 else ""
    warmup = f" after {arguments.warmup:g} s of warming up" if arguments.warmup else ""
    return f'measuring "{arguments.method}" for {arguments.duration:g} s{warmup}: {how}{over}'


@contextlib.contextmanager
def _heeding_ctrl_c(loop: asyncio.AbstractEventLoop, acts: list[Callable[[], object]]) -> Iterator[None]:
    """Let each Ctrl-C do the last of ``acts`` that is left: end the measurement, then the program.

    KeyboardInterrupt, raised in the middle of uvloop's own code, would be a crash: 5 of 60 while connecting.
    """

    def act() -> None:
        if acts:
            acts.pop()()

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background
        yield
        return
    try:
        loop.add_signal_handler(signal.SIGINT, act)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread: no report then
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


class _Progress:
    """A line on stderr that tells how it goes, if stderr is a terminal."""

    def __init__(self) -> None:
        self._seen = 0
        self._when = time.perf_counter()
        self._is_wanted = _is_terminal(sys.stderr)

    def __enter__(self) -> _Progress:
        return self

    def __call__(self, load: Load) -> None:
        if not self._is_wanted:
            return
        now, ended = time.perf_counter(), load.tally.latency.count + load.tally.errors
        rate = (ended - self._seen) / max(now - self._when, 1e-9)
        passed = time.perf_counter_ns() / SECOND - load.tally.begin / SECOND
        self._seen, self._when = ended, now
        errors = f", {load.tally.errors:,} errors" if load.tally.errors else ""
        self._show(f"{passed:.1f} s: {number(rate)} calls/s{errors}" if passed > 0 else "warming up")

    def __exit__(self, *exc_info: object) -> None:
        if self._is_wanted:
            self._show("")

    def _show(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"\r\x1b[K{text[: columns() - 1]}")  # of a line that is wrapped some would stay
            sys.stderr.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _print_report(arguments: BenchArguments, load: Load) -> None:
    subject = Subject(arguments.address, arguments.method, arguments.params, arguments.payload, arguments.connections)
    (print_json if arguments.report == "json" else print_text)(subject, load)


# The command line


def parse(argv: Sequence[str]) -> BenchArguments:
    """Understand what follows ``zerorpc bench``.

    Raises UsageError when it is wrong, and SystemExit once argparse has printed the help.
    """
    arguments = BenchArguments()
    words = with_address(parse_with(build_parser(), argv, arguments))
    if not words:
        raise UsageError(
            "no address given", f"type: {program_name()} bench tcp://127.0.0.1:4242 [method [parameter ...]]"
        )
    arguments.address, *words = words
    if arguments.payload and not words:
        raise UsageError("--payload needs a method that takes it", f"type: {program_name()} bench --help")
    arguments.method, *params = words or [PING]
    arguments.params = decode_parameters(params, arguments.json)
    if arguments.concurrency is None:
        arguments.concurrency = AT_ONCE if arguments.rate is None else AT_ONCE_WITH_RATE
    return arguments


def build_parser() -> Parser:
    """The flags, and for the help the words too."""
    parser = Parser(
        prog=f"{program_name()} bench",
        usage="%(prog)s [options] address [method [parameter ...]]",
        description="Measure how quick a service is, by calling it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_load_flags(parser)
    _add_call_flags(parser)
    parser.add_argument("address", nargs="?", help="where the service is")
    parser.add_argument("method", nargs="?", help=f"the method to call (default {PING})")
    parser.add_argument("params", nargs="*", metavar="parameter", help="handed to the method")
    return parser


def _add_load_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-c",
        "--concurrency",
        type=count,
        metavar="count",
        help=f"calls at once; with --rate at most (default {AT_ONCE}, with --rate {AT_ONCE_WITH_RATE:,})",
    )
    add(
        "-r",
        "--rate",
        type=_rate,
        metavar="calls",
        help="so many calls a second, due at fixed times from which their latencies count (default: each of "
        "--concurrency callers makes one call after the other)",
    )
    add("--connections", type=count, default=1, metavar="count", help="spread the calls over so many (default 1)")
    add(
        "--duration",
        type=seconds,
        default=DURATION,
        metavar="seconds",
        help=f"measure for so long (default {DURATION})",
    )
    add(
        "--warmup",
        type=_seconds_or_none,
        default=WARMUP,
        metavar="seconds",
        help=f"call for so long before it counts (default {WARMUP})",
    )


def _add_call_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-j", "--json", action="store_true", help="parameters are JSON: numbers, lists, quoted text")
    add(
        "--payload",
        type=_size,
        default=0,
        metavar="size",
        help="one more parameter: so many random bytes, as 1000, 64KiB or 1MB",
    )
    for name in ("timeout", "heartbeat"):
        add_setting(parser, name, declared(ClientSettings)[name], getattr(ClientSettings(), name))
    add_tls_flags(parser)
    add("--report", choices=("text", "json"), default="text", help="for people, or for programs (default text)")


def _seconds_or_none(text: str) -> float:
    return 0 if text == "0" else seconds(text)


def _rate(text: str) -> float:
    try:
        return seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of calls above 0") from None


def _size(text: str) -> int:
    found = re.fullmatch(r"([0-9]+)\s*([a-z]*)", text, re.IGNORECASE | re.ASCII)
    if not found or found[2].upper() not in SIZES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; 1000, 64KiB and 1MB are")
    return int(found[1]) * SIZES[found[2].upper()]
