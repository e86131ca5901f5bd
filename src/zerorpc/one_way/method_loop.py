"""An event loop for the coroutine methods of a Puller that is run from blocking code.

On a thread of its own: there methods may block, push and call as they like, while sockets live on the background loop,
and tasks that a method left behind go on while the next methods run.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from zerorpc.logs import Logger
from zerorpc.runtime import threads
from zerorpc.runtime.loops import new_event_loop

__all__ = ["GLANCE", "MethodLoop"]

logger: Logger = Logger("zerorpc.server")

_T = TypeVar("_T")

# s that a thread waits without looking up: the handler of a signal that came when it was just about to wait, such as
GLANCE = 0.5  # Ctrl-C's, only runs then.
_END = 5.0  # s that tasks left behind get to end when they are cancelled, as much as a Pusher's messages get


class MethodLoop:
    """Begun at the first ``run``. Belongs to one thread, that of ``run`` and ``close``."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def run(self, coroutine: Coroutine[object, None, _T]) -> _T:
        """Run it in a task, in a copy of this thread's context; wait for its result. Raises what it raises.

        Interrupted, as by Ctrl-C, it cancels the task, or ``close`` does.
        """
        try:
            loop = self._loop or self._start()
        except BaseException:
            coroutine.close()
            raise
        task = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            while True:
                with contextlib.suppress(concurrent.futures.TimeoutError):
                    task.exception(GLANCE)
                if task.done():
                    return task.result()
        finally:
            task.cancel()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        thread = threading.Thread(target=_turn, args=(loop, self._over), name="zerorpc-methods", daemon=True)
        try:
            threads.start(thread)
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        return loop

    def close(self) -> None:
        """Cancel what is left, and end. Waits for it, for a while."""
        if self._loop is not None and self._thread is not None:
            self._over.set()
            with contextlib.suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END)
        self._loop = self._thread = None


def _turn(loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    try:
        while not over.is_set():  # a method may have stopped it
            _run(loop.run_forever)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        _finish(loop, asyncio.gather(*left, return_exceptions=True))
        _finish(loop, loop.shutdown_asyncgens())
        _finish(loop, loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _finish(loop: asyncio.AbstractEventLoop, work: Awaitable[object]) -> None:
    future = asyncio.ensure_future(work, loop=loop)
    while not future.done():
        _run(functools.partial(loop.run_until_complete, future))


def _run(turn: Callable[[], object]) -> None:
    """A loop lets ``SystemExit`` of any task out; here that is one that a method made."""
    try:
        turn()
    except BaseException as error:
        logger.error("a task of a method's raised", raised=error)
