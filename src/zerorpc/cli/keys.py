"""Keys as they are typed at a terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def typed_keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key, for so many seconds at most, and returns it: "" if none came.

    Meanwhile the terminal doesn't show what is typed; in the end it is as it was. Without a terminal, or on a system
    whose terminals are others, no key ever comes.
    """
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield _nothing
        return
    if sys.stdin is None or not sys.stdin.isatty():
        yield _nothing
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield lambda seconds: _key(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _key(descriptor: int, seconds: float) -> str:
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return ""
    # An arrow's or another's are several octets, which are one key. The end: the terminal is gone.
    return os.read(descriptor, 32).decode(errors="replace") or "q"


def _nothing(seconds: float) -> str:
    time.sleep(seconds)
    return ""
