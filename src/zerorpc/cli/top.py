"""``zerorpc top``: what a running service does, as a table that goes on."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from zerorpc.cli.calling import connected
from zerorpc.cli.keys import typed_keys
from zerorpc.cli.pinging import PATIENCE, new_parser, understood, why_unanswered
from zerorpc.cli.printing import note, one_line, to_json, write
from zerorpc.cli.top_figures import SORTS, Figures, read_status
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.cli.values import seconds
from zerorpc.cli.watching import is_terminal
from zerorpc.errors import (
    HandshakeFailed,
    LostRemote,
    PermissionDenied,
    ProtocolError,
    RemoteError,
    TimeoutExpired,
    UnknownMethod,
    ZeroRPCError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zerorpc import Client
    from zerorpc.cli.top_screen import Screen

STATUS = "_zerorpc_status"
INTERVAL = 1.0  # seconds, within which a server that has begun to count has something to tell
TICK = 0.1  # seconds for a key, or a terminal of another size, to be heeded

HELP = f"""\
Show what a service does just now, again and again: its methods by how often
they are called, how long they take and how often they fail, the calls that run
and wait, who made them, and what keeps its event loop from turning.

s sorts by another column, q leaves. A server counts while somebody looks: the
first figures come with the second answer. Where the output is no terminal it
shows one picture, as with --once.

An answer may take {PATIENCE} s, or --timeout. Other options are as for a call: see
{{program}} --help.
"""


class TopArguments(argparse.Namespace):
    """What only ``zerorpc top`` has, in its meaning."""

    interval: float
    once: bool
    json: bool


class Untold(Exception):
    """The server doesn't tell its status; says why."""


def top(argv: Sequence[str]) -> int:
    """Show the table until its user leaves, and return the exit code. Raises UsageError, and what calls raise."""
    own = TopArguments()
    parser = new_parser("top", HELP)
    how_often = f"seconds from one look to the next (default {INTERVAL:g})"
    parser.add_argument("-i", "--interval", type=seconds, default=INTERVAL, metavar="seconds", help=how_often)
    parser.add_argument("--once", action="store_true", help="show one picture, and leave")
    parser.add_argument("--json", action="store_true", help="print what the server tells as JSON, once")
    arguments = understood("top", parser, argv, own)
    if arguments is None:
        return 0
    if len(arguments.connect) != 1 or arguments.bind:
        raise UsageError("one address to connect to is needed", f"type: {program_name()} top tcp://robot:4242")
    screen = None if own.json else _screen(arguments.connect[0], own.interval)
    with connected(arguments, told=False) as client:
        try:
            _show(client, own, screen)
        except Untold as error:
            note(f"{program_name()}: {arguments.connect[0]} doesn't tell what it does: {error}")
            return 1
        except TimeoutExpired as error:
            note(f"{program_name()}: {why_unanswered(client, error)}")
            return 1
    return 0


def _screen(address: str, interval: float) -> Screen:
    try:
        from zerorpc.cli.top_screen import Screen
    except ImportError:
        raise UsageError("the table needs rich", "type: pip install rich, or add --json") from None
    return Screen(address, interval)


def _show(client: Client, own: TopArguments, screen: Screen | None) -> None:
    figures = Figures()
    _add(figures, _told(lambda: client(STATUS)))
    if screen is not None and not own.once and is_terminal():
        _live(client, figures, own.interval, screen)
        return
    time.sleep(own.interval)
    answer = _told(lambda: client(STATUS))
    _add(figures, answer)
    write(f"{to_json(answer)}\n" if screen is None else screen.text(figures))


def _told(ask: Callable[[], Any]) -> Any:
    """Raises Untold for a server that can't tell its status, or won't."""
    try:
        return ask()
    except UnknownMethod:
        raise Untold("it is an older zerorpc") from None
    except PermissionDenied as error:
        raise Untold(str(error.msg)) from None
    except RemoteError as error:
        if (error.name, error.msg) == ("NameError", STATUS):  # of zerorpc 0.6
            raise Untold("it is an older zerorpc, of 0.6 perhaps") from None
        raise


def _add(figures: Figures, answer: Any) -> None:
    status = read_status(answer)
    if status is None:
        raise Untold("what it answers is no status")
    figures.add(status)


# At a terminal


def _live(client: Client, figures: Figures, interval: float, screen: Screen) -> None:
    """Until q, Ctrl-C or SIGTERM: then the terminal is as it was. Raises Untold and HandshakeFailed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with typed_keys() as key, screen.live() as draw:
            _turn(client, figures, interval, key, draw)
    except (KeyboardInterrupt, EOFError):
        pass


def _turn(
    client: Any,
    figures: Figures,
    interval: float,
    key: Callable[[float], str],
    draw: Callable[[Figures, str, str], None],
) -> None:
    sort, problem, asked, due = SORTS[0], "", None, time.monotonic() + interval
    while True:
        draw(figures, sort, problem)
        typed = key(TICK).lower()
        if "q" in typed:
            return
        sort = SORTS[(SORTS.index(sort) + typed.count("s")) % len(SORTS)]
        if asked is None and time.monotonic() >= due:
            asked, due = client(STATUS, async_=True), time.monotonic() + interval
        elif asked is not None and asked.ready():
            problem, asked = _heed(client, figures, asked), None


def _heed(client: Client, figures: Figures, asked: Any) -> str:
    """Take an answer; what is wrong if there is none."""
    try:
        _add(figures, _told(asked.get))
    except HandshakeFailed:
        raise
    except (LostRemote, ProtocolError, TimeoutExpired) as error:
        return f"no answer: {why_unanswered(client, error)}"
    except ZeroRPCError as error:
        return one_line(error)
    return ""
