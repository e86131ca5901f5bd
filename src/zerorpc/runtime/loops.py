"""Event loops: the best one there is, and the one that runs here."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from typing import cast

from zerorpc.runtime.cpython import find_running_loop
from zerorpc.runtime.descriptors import occupy_standard_descriptors

__all__ = ["close_event_loop", "new_event_loop", "running_loop"]


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop where it is installed, otherwise asyncio's."""
    occupy_standard_descriptors()
    try:
        from uvloop import new_event_loop as new  # an ImportError, too, for a finalizer in the middle of its import
    except (ImportError, RuntimeError):  # the latter where the program is ending, and we were imported only then
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", new())


def close_event_loop(loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None]) -> None:
    """The end of a loop that is ours, and of what it was for."""
    try:
        if serving.cancel():  # an exception came out of the loop
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(serving)
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


with contextlib.suppress(RuntimeError):  # see above
    importlib.import_module("concurrent.futures.thread")  # uvloop's import needs it, which may come too late for it

# The event loop that runs in this thread, None if none does.
running_loop: Callable[[], asyncio.AbstractEventLoop | None] = find_running_loop()
