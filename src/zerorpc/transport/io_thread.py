"""One background thread with an event loop, for sockets that have to work while their user is elsewhere.

A Publisher has to take subscriptions while its program sleeps, a Pusher has to send what is queued; libzmq's I/O
thread did that for zerorpc 0.6. It is started at the first use, and anew in a forked child.
"""

from __future__ import annotations

import asyncio
import os
import threading

from zerorpc.transport.loops import new_event_loop

__all__ = ["io_loop"]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_parents: list[object] = []  # what a forked child keeps, untouched: deallocating a loop that seems to run is an error


def io_loop() -> asyncio.AbstractEventLoop:
    """The background loop, running. Safe from any thread."""
    global _loop  # noqa: PLW0603 - one for the process is the point
    with _lock:
        if _loop is None:
            _loop = new_event_loop()
            threading.Thread(target=_loop.run_forever, name="zerorpc-io", daemon=True).start()
        return _loop


def _after_fork_in_child() -> None:
    """The parent's thread doesn't exist here; leave its loop alone."""
    global _loop, _lock  # noqa: PLW0603
    if _loop is not None:
        _parents.append(_loop)
    _loop = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
