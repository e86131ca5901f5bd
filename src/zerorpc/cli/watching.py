"""``--watch``: the same call every so many seconds, until Ctrl-C."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, NoReturn, TypeVar

from zerorpc.cli.printing import note, write
from zerorpc.errors import SerializationError, ZeroRPCError
from zerorpc.number_checks import FOREVER
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CLEAR = "\x1b[H\x1b[2J"  # to the first column of the first line, and nothing on the screen


def watch(
    title: str,
    seconds: float,
    make: Callable[[], T],
    show: Callable[[T], None],
    report: Callable[[ZeroRPCError], str],
) -> NoReturn:
    """Make the call and show its result, again and again; ``title`` says what is called. On a terminal each round takes
    the place of the one before. An error of a call is shown, as ``report`` tells it.

    Raises KeyboardInterrupt in the end; OutputClosed, OSError and UsageError as ``make`` and ``show`` do.
    """
    on_terminal = is_terminal()
    while True:
        began = time.monotonic()
        try:
            result = make()
        except SerializationError:  # it is the command line that is wrong
            raise
        except ZeroRPCError as error:
            problem = report(error)
            _redraw(on_terminal, title, seconds)
            note(problem)
        else:
            _redraw(on_terminal, title, seconds)
            try:
                show(result)
            except ZeroRPCError as error:  # in the midst of a stream
                note(report(error))
        pause(max(0.0, began + seconds - time.monotonic()))


def pause(seconds: float) -> None:
    """Until the next round."""
    time.sleep(min(seconds, FOREVER))  # it takes no more than 292 years


def is_terminal() -> bool:
    """Whether stdout is one that can be cleared."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _redraw(on_terminal: bool, title: str, seconds: float) -> None:
    if on_terminal:
        head = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  every {seconds:g}s: {line(title)}"
        write(f"{CLEAR}{head[: shutil.get_terminal_size().columns]}\n\n")
