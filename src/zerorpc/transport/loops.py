"""Event loops: the best one there is, and the one that runs here."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
from collections.abc import Callable
from typing import Any, cast

__all__ = ["close_event_loop", "hold_signals", "new_event_loop", "release_signals", "running_loop"]


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop where it is installed, otherwise asyncio's."""
    try:
        import uvloop
    except (ImportError, RuntimeError):  # the latter where the program is ending, and we were imported only then
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


def close_event_loop(loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
    """The end of a loop that is ours, and of what it was for."""
    if serving.cancel():  # Ctrl-C on a loop that takes no signals
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(serving)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def hold_signals() -> set[Any]:
    """Have SIGINT and SIGTERM wait, as far as this thread goes, until ``release_signals`` of what this returns."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return set()
    return signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))


def release_signals(held: set[Any]) -> None:
    """Let those through that wait; their handlers run, and may raise, here."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


with contextlib.suppress(RuntimeError):  # see above
    importlib.import_module("concurrent.futures.thread")  # uvloop's import needs it, which may come too late for it

# The event loop that runs in this thread, None if none does.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = asyncio._get_running_loop
