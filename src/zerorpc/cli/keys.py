"""Keys as they are typed at a terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|.)?")  # what a key sends that is no character (ECMA-48)


@contextlib.contextmanager
def typed_keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key, for so many seconds at most, and returns the characters that were typed: "" if
    none were. Arrows and other such keys are none.

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
        yield lambda seconds: _typed(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _typed(descriptor: int, seconds: float) -> str:
    """Raises EOFError when the terminal is gone."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return ""
    typed = os.read(descriptor, 1024)
    if not typed:
        raise EOFError
    return _SEQUENCE.sub("", typed.decode(errors="replace"))


def _nothing(seconds: float) -> str:
    time.sleep(seconds)
    return ""
