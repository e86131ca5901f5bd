"""An event loop for the coroutine methods of a Puller that is run from blocking code.

On a thread of its own: there methods may block, push and call as they like, while sockets live on the background loop,
and tasks that a method left behind go on while the next methods run.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from zerorpc.logs import Logger
from zerorpc.transport.loops import new_event_loop

__all__ = ["GLANCE", "MethodLoop"]

logger = Logger("zerorpc.server")

_T = TypeVar("_T")

# s that a thread waits without looking up: the handler of a signal that came when it was just about to wait, such as
GLANCE = 0.5  # Ctrl-C's, only runs then.
_END = 5.0  # s that tasks left behind get to end when they are cancelled, as much as a Pusher's messages get


class MethodLoop:
    """Begun at the first ``run``. Belongs to one thread, that of ``run`` and ``close``."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
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
        thread = threading.Thread(target=_turn, args=(loop,), name="zerorpc-methods", daemon=True)
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        return loop

    def close(self) -> None:
        """Cancel what is left, and end. Waits for it, for a while."""
        if self._loop is not None and self._thread is not None:
            with contextlib.suppress(RuntimeError):  # it was closed: an exception came out of it
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END)
        self._loop = self._thread = None


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        _turn_until_stopped(loop)
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _turn_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """A loop lets ``SystemExit`` and ``KeyboardInterrupt`` of a task out; here that is one that a method made."""
    while True:
        try:
            loop.run_forever()
        except BaseException as error:
            logger.error("a task of a method's raised", raised=error)
        else:
            return
