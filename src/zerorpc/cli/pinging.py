"""``zerorpc ping`` and ``zerorpc health``: whether a service answers, and how long that takes.

Both call ``_zerorpc_ping``, which every zerorpc service answers at once, those of zerorpc 0.6 and in Node too. If the
service is one of ours, ``health`` then asks whether it is ready.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import time
from typing import TYPE_CHECKING, Any, NoReturn

from zerorpc.cli.arguments import ADD_COMPLETERS, parse
from zerorpc.cli.calling import connected
from zerorpc.cli.flags import Parser
from zerorpc.cli.printing import one_line, write
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.cli.values import count, seconds, seconds_or_0
from zerorpc.cli.waiting import states
from zerorpc.cli.watching import pause
from zerorpc.errors import (
    HandshakeFailed,
    LostRemote,
    ProtocolError,
    RemoteError,
    ServerStopping,
    TimeoutExpired,
)
from zerorpc.number_checks import FOREVER
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc import Client
    from zerorpc.cli.arguments import Arguments

PING = "_zerorpc_ping"
PATIENCE = "3"  # seconds for an answer; who looks whether a service is there shall not wait for a whole --timeout
INTERVAL = 1.0  # seconds, as ping(8) has it

PING_HELP = f"""\
Call a service again and again, and show how long each round trip takes.

It ends after --count calls, or with Ctrl-C. The exit code is 0 if any call was
answered, else 1. The connection is made before the first call is measured.

An answer may take {PATIENCE} s, or --timeout. Other options are as for a call: see
{{program}} --help.
"""
HEALTH_HELP = f"""\
Call a service once, and say in one line whether it answers.

The exit code is 0 if it does, isn't shutting down, and says that it is ready,
else 1: for Kubernetes' exec probes and Docker's HEALTHCHECK. With --watch it
goes on, and says each change.

An answer may take {PATIENCE} s, or --timeout. Other options are as for a call: see
{{program}} --help.
"""


class PingArguments(argparse.Namespace):
    """What only ``zerorpc ping`` has."""

    count: int | None
    interval: float


class HealthArguments(argparse.Namespace):
    """What only ``zerorpc health`` has, or in another meaning."""

    service: str
    watch: bool
    interval: float


# zerorpc ping


def ping(argv: Sequence[str]) -> int:
    """Call until the count is reached, or until Ctrl-C, print a summary and return the exit code.

    Raises UsageError, and HandshakeFailed for a server that refuses us, which time doesn't change.
    """
    own = PingArguments()
    parser = new_parser("ping", PING_HELP)
    parser.add_argument("-c", "--count", type=count, metavar="count", help="calls to make (default: until Ctrl-C)")
    how_often = f"seconds from one call to the next (default {INTERVAL:g})"
    parser.add_argument("-i", "--interval", type=seconds_or_0, default=INTERVAL, metavar="seconds", help=how_often)
    arguments = understood("ping", parser, argv, own)
    if arguments is None:
        return 0
    trips = RoundTrips()
    began = time.monotonic()
    with connected(arguments) as client:
        try:
            _ping_on(client, own, trips)
        except KeyboardInterrupt:
            write("\n")
    write(trips.summary(_where(arguments), time.monotonic() - began))
    return 0 if trips.times else 1


def _ping_on(client: Client, own: PingArguments, trips: RoundTrips) -> None:
    due = time.monotonic()
    for number in itertools.count(1) if own.count is None else range(1, own.count + 1):
        time.sleep(min(max(0.0, due - time.monotonic()), FOREVER))
        due = time.monotonic() + own.interval
        try:
            if not trips.times:
                _answer(client)  # unmeasured: the connection is made now
            began = time.perf_counter()
            name = _answer(client)
            took = time.perf_counter() - began
        except (LostRemote, ProtocolError, TimeoutExpired) as error:
            if isinstance(error, HandshakeFailed):
                raise
            trips.lost += 1
            write(f"no answer: seq={number} {why_unanswered(client, error)}\n")
        else:
            trips.times.append(took)
            write(f"answer from {name}: seq={number} time={_milliseconds(took)} ms\n")


def _answer(client: Client) -> str:
    """Who answers. One that refuses the call is there as well."""
    try:
        answer = client(PING)
    except RemoteError as error:
        return f"a service that says {error.name}"
    named = isinstance(answer, (list, tuple)) and len(answer) > 1 and isinstance(answer[1], str) and answer[1]
    return f'"{line(answer[1])}"' if named else "the service"


class RoundTrips:
    """What a row of calls has shown: ``times`` in seconds of those that were answered, and how many were ``lost``."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.lost = 0

    def summary(self, where: str, took: float) -> str:
        """Two lines as of ping(8); the second is left out if nothing came back."""
        answered, calls = len(self.times), len(self.times) + self.lost
        share = 100 * self.lost / calls if calls else 0
        told = f"--- {where} ---\n{calls} calls, {answered} answered, {share:.3g}% lost, {took * 1000:.0f} ms\n"
        if not self.times:
            return told
        mean = sum(self.times) / answered
        deviation = math.sqrt(max(0.0, sum(each * each for each in self.times) / answered - mean * mean))
        shown = "/".join(map(_milliseconds, (min(self.times), mean, max(self.times), deviation)))
        return f"{told}round trip min/avg/max/mdev = {shown} ms\n"


def _milliseconds(seconds: float) -> str:
    """With three digits after the point, as ping(8) has it: a call on one machine takes a tenth of one."""
    return f"{seconds * 1000:.3f}"


# zerorpc health


def health(argv: Sequence[str]) -> int:
    """Say in one line whether a service answers, or with --watch each time that this changes; return the exit code.

    Raises UsageError, UnknownService, and HandshakeFailed for a server that refuses us.
    """
    own = HealthArguments()
    parser = new_parser("health", HEALTH_HELP)
    parser.add_argument("--service", default="", metavar="name", help="one of a server's services: a prefix of methods")
    parser.add_argument("--watch", action="store_true", help="go on, and tell each change, until Ctrl-C")
    how_often = f"seconds from one look to the next, with --watch (default {INTERVAL:g})"
    parser.add_argument("-i", "--interval", type=seconds, default=INTERVAL, metavar="seconds", help=how_often)
    arguments = understood("health", parser, argv, own)
    if arguments is None:
        return 0
    where = _where(arguments) if not own.service else f"{line(own.service)} at {_where(arguments)}"
    with connected(arguments, told=False) as client:
        if own.watch:
            _watch_health(client, own, where)
        began = time.perf_counter()
        problem = _problem(client, own.service)
        took = time.perf_counter() - began
    write(f"{where} is {_state(problem, took)}\n")
    return 1 if problem else 0


def _problem(client: Client, service: str) -> str:
    """What is wrong; "" for a service that is healthy."""
    from zerorpc import health

    try:
        ready, why = health(client, service)
    except HandshakeFailed:
        raise
    except (LostRemote, ProtocolError, ServerStopping, TimeoutExpired) as error:
        return why_unanswered(client, error)
    return "" if ready else f"it answers, and isn't ready: {line(why)}"


def _state(problem: str, took: float) -> str:
    return f"not healthy: {problem}" if problem else f"healthy: it answered in {_milliseconds(took)} ms"


def _watch_health(client: Client, own: HealthArguments, where: str) -> NoReturn:
    """Raises KeyboardInterrupt in the end."""
    before = None
    while True:
        began = time.perf_counter()
        problem = _problem(client, own.service)
        if problem != before:
            write(f"{time.strftime('%H:%M:%S')} {where} is {_state(problem, time.perf_counter() - began)}\n")
            before = problem
        pause(own.interval)


# Both, and doctor


def new_parser(command: str, text: str) -> Parser:
    """For the flags that only this command has."""
    return Parser(
        prog=f"{program_name()} {command}",
        usage="%(prog)s [options] address",
        description=text.format(program=program_name()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def understood(command: str, parser: Parser, argv: Sequence[str], own: argparse.Namespace) -> Arguments | None:
    """The rest of the command line, when its ``own`` flags are taken out; None if there was only help to print."""
    if ADD_COMPLETERS:  # the shell asks
        ADD_COMPLETERS.append(functools.partial(_add_flags_of, parser))
    try:
        rest = parser.parse_known_args(argv, own)[1]
        arguments = parse(["--timeout", PATIENCE, *rest])
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return None
    if arguments.server or arguments.command is not None:
        example = f"type: {program_name()} {command} tcp://robot:4242"
        raise UsageError("one address is needed, and nothing else", example)
    return arguments


def _add_flags_of(command: Parser, parser: argparse.ArgumentParser) -> None:
    """For the shell's completion, which knows one parser only."""
    known = {option for action in parser._actions for option in action.option_strings}
    for action in command._actions:
        if known.isdisjoint(action.option_strings):  # unlike --help, or doctor's --json
            parser.add_argument(*action.option_strings, metavar=action.metavar, help=action.help)


def _where(arguments: Arguments) -> str:
    return ", ".join([*arguments.connect, *arguments.bind])


def why_unanswered(client: Any, error: Exception) -> str:
    """Why a call had no answer: of one that reached no server, how it stands with the connection."""
    hub = client._core.hub
    if not isinstance(error, TimeoutExpired):
        return one_line(error)
    with hub.lock:
        return "; ".join(states(hub, hub.links.values()))
