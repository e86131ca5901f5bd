"""A process that a method forks ends with the method: the call is its parent's to answer, and so are all others."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

__all__ = ["NO_LOOP", "end_child"]

NO_LOOP = "a child that a method forks has no event loop: it has to end before it awaits anything"


def end_child(error: BaseException | None = None) -> NoReturn:
    """The method is over in a child that it forked. End the process as Python would if this was the whole program."""
    code = 0
    if isinstance(error, SystemExit):
        code = _code(error.code)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # there may be none, or nobody to read it
            stream.flush()
    os._exit(code)


def _code(code: object) -> int:
    """What SystemExit carries, as an exit code."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1
