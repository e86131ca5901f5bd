"""One background thread with an event loop, for sockets that have to work while their user is elsewhere.

A Publisher has to take subscriptions while its program sleeps, a Pusher has to send what is queued; libzmq's I/O
thread did that for zerorpc 0.6. It is started at the first use, and anew in a forked child.
"""

from __future__ import annotations

import asyncio
import os
import threading

from zerorpc.logs import Logger
from zerorpc.runtime import forks, threads
from zerorpc.runtime.loops import new_event_loop

__all__ = ["io_loop"]

logger: Logger = Logger("zerorpc.transport")

_lock = threading.RLock()  # a finalizer or signal handler may come in the middle, and use a socket as well
_loop: asyncio.AbstractEventLoop | None = None
_parents: list[object] = []  # what a forked child keeps, untouched: deallocating a loop that seems to run is an error


def io_loop() -> asyncio.AbstractEventLoop:
    """The background loop, running. Safe from any thread. Raises RuntimeError when no thread can be started."""
    if os.getpid() != forks.pid:
        forks.catch_up()
    return _loop or _start()


def _start() -> asyncio.AbstractEventLoop:
    global _loop  # noqa: PLW0603 - one for the process is the point
    with _lock:
        if _loop is not None:
            return _loop
        loop = new_event_loop()
        try:
            if _loop is None:  # or else a finalizer came in the middle, and made one
                threads.start(threading.Thread(target=_run, args=(loop,), name="zerorpc-io", daemon=True))
                _loop = loop
        finally:
            if _loop is not loop:
                loop.close()
        return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """For ever: a callback that raises SystemExit ends a loop, but no other socket's."""
    while True:
        try:
            loop.run_forever()
            return
        except BaseException as error:
            logger.error("a callback of the sockets' loop raised, and it goes on", raised=error)


@forks.in_child
def _forget() -> None:
    """The parent's thread doesn't exist in a forked child; leave its loop alone."""
    global _loop, _lock  # noqa: PLW0603
    if _loop is not None:
        _parents.append(_loop)
    _loop = None
    _lock = threading.RLock()
