"""Calls that have failed lately, with their tracebacks: of each server the newest few."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, TypeAlias

__all__ = ["KEPT", "Failed", "Failures"]

KEPT = 20


class Failed(NamedTuple):
    """A method raised: ``error`` is the name of its class. ``when`` in seconds since the epoch."""

    method: str
    error: str
    message: str
    traceback: str
    when: float
    caller: str


Failures: TypeAlias = "deque[Failed]"  # the oldest first; any thread may add one
