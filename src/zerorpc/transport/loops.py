"""Event loops: the best one there is, and the one that runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

__all__ = ["new_event_loop", "running_loop"]


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop where it is installed, otherwise asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


# The event loop that runs in this thread, None if none does.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = asyncio._get_running_loop
