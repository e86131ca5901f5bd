"""One background thread with an event loop, for sockets that have to work while their user is elsewhere.

A Publisher has to take subscriptions while its program sleeps, a Pusher has to send what is queued; libzmq's I/O
thread did that for zerorpc 0.6. It is started at the first use, and anew in a forked child.

It ends before the interpreter does: libuv's timers may call into Python while there is none any more, and the process
dies of SIGSEGV (one of some 5,000 programs on a busy machine, CPython 3.11). What is used even later, by a handler of
``atexit`` that comes after ours, turns the loop itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine

from zerorpc.logs import Logger
from zerorpc.one_way.method_loop import GLANCE
from zerorpc.runtime import forks, threads
from zerorpc.runtime.loops import new_event_loop, running_loop
from zerorpc.transport.waking import Gate

__all__ = ["complete", "end", "io_loop", "turns"]

logger: Logger = Logger("zerorpc.transport")

_END_MAX = 1.0  # s that a program's end waits for a callback that is under way

_lock = threading.RLock()  # a finalizer or signal handler may come in the middle, and use a socket as well
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_ended = False  # the program is about to
_parents: list[object] = []  # what a forked child keeps, untouched: deallocating a loop that seems to run is an error


def io_loop() -> asyncio.AbstractEventLoop:
    """The background loop, running. Safe from any thread. Raises RuntimeError when no thread can be started."""
    if os.getpid() != forks.pid:
        forks.catch_up()
    return _loop or _start()


def _start() -> asyncio.AbstractEventLoop:
    global _loop, _thread  # noqa: PLW0603 - one for the process is the point
    with _lock:
        if _loop is not None:
            return _loop
        loop = new_event_loop()
        try:
            if _loop is None:  # or else a finalizer came in the middle, and made one
                if not _ended:
                    thread = threading.Thread(target=_run, args=(loop,), name="zerorpc-io", daemon=True)
                    threads.start(thread)
                    _thread = thread
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


def turns(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether ``complete`` can do anything on this loop."""
    return loop.is_running() or (_ended and loop is _loop)


def complete(coroutine: Coroutine[object, None, None], loop: asyncio.AbstractEventLoop) -> None:
    """Run it on a loop that turns, while this thread waits; unless that is the one that runs the loop.

    A finalizer or signal handler that comes in the middle may do the same. So nothing is locked that the loop needs:
    to tell a ``concurrent.futures.Future`` it would wait for the thread, and the thread, in the handler, for the loop.
    """
    if _ended and loop is _loop and not loop.is_running():
        loop.run_until_complete(coroutine)
        return
    tasks: list[asyncio.Task[None]] = []  # a loop doesn't keep them
    errors: list[BaseException] = []
    done = Gate()

    async def run() -> None:
        try:
            await coroutine
        except BaseException as error:
            errors.append(error)
        finally:
            done.open()

    loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(run())))
    if running_loop() is not loop:
        while not done.wait(GLANCE):
            pass
        if errors:
            raise errors.pop()


def end() -> None:
    """The program ends: the thread does. Whoever uses the loop from now on turns it."""
    global _thread, _ended  # noqa: PLW0603
    _ended = True
    thread, _thread = _thread, None
    if thread is not None and _loop is not None:
        _loop.call_soon_threadsafe(_loop.stop)
        thread.join(_END_MAX)


@forks.in_child
def _forget() -> None:
    """The parent's thread doesn't exist in a forked child; leave its loop alone."""
    global _loop, _lock, _thread, _ended  # noqa: PLW0603
    if _loop is not None:
        _parents.append(_loop)
    _loop, _thread, _ended = None, None, False
    _lock = threading.RLock()
