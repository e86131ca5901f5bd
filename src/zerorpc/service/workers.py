"""Worker threads for plain functions, and the way back to the loop.

Jobs go out by queue; what they post comes back in batches, one wake-up of the loop for many. Measured:
1.3-2 us a hop under load, where ``run_in_executor`` costs 13-16.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from zerorpc.logs import Logger
from zerorpc.runtime import threads

__all__ = ["DEFAULT_THREADS", "Workers"]

logger: Logger = Logger("zerorpc.server")

DEFAULT_THREADS = 512  # of one caller: enough for that many methods that block; measured: 13 KiB each
_GROW_AFTER = 0.002  # s that jobs may wait before more threads are tried
_IDLE = 5.0  # s without a job after which a thread ends; they take turns, so as many stay as get a job so often,
_KEPT = 2  # and at least as many as quick functions take
_GOOD_PROGRESS = 5  # ticks within which the queue would be empty at today's pace: no more threads then
_STOP: Any = None


class Workers:
    """A pool of daemon threads that grows while jobs wait and don't get done.

    Quick functions are run by one or two threads however many are in flight, since more would only fight for the
    interpreter; functions that block get a thread each within milliseconds, and it ends when it has been idle for
    long. ``receive`` is called on the loop with each thing posted, ``has_parked`` by a worker that waits for somebody
    else. ``submit`` and ``close`` belong to the loop's
    thread, ``post`` to the workers'.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[Any], None],
        limit: int,
        has_parked: Callable[[], None] = lambda: None,
    ) -> None:
        self.threads: int = 0
        self.stale: bool = False  # this is a forked child: they are the parent's
        self.parked: int = 0  # threads whose stream waits for its reader: they don't count towards the limit
        self._counting = threading.Lock()  # of threads and parked
        self._loop = loop
        self._receive = receive
        self._has_parked = has_parked
        self._limit = limit
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._posted: deque[Any] = deque()
        self._drain_scheduled = False
        self._submitted = 0
        self._done = 0  # jobs finished; workers add without a lock: it is only compared roughly
        self._done_before = 0
        self._growing: asyncio.TimerHandle | None = None
        self._closed = False

    def submit(self, function: Callable[[Any], None], argument: object) -> None:
        """Run ``function(argument)`` on a worker. What it raises is logged: it should answer for that itself."""
        self._submitted += 1
        self._jobs.put((function, argument))
        if self.threads == 0 and self._start_thread():
            return
        if self._growing is None:
            self._done_before = self._done
            self._growing = self._loop.call_later(_GROW_AFTER, self._grow)

    def post(self, item: object) -> None:
        """Hand something to the loop, from a worker."""
        self._posted.append(item)
        if not self._drain_scheduled:
            self._drain_scheduled = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants it any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._drain_scheduled = False  # first, so that a post from now on schedules the next drain
        posted = self._posted
        receive = self._receive
        for _ in range(len(posted)):  # no more than that: other callbacks of the loop have their turn between drains
            try:
                receive(posted.popleft())
            except Exception as error:
                logger.error("what a worker thread had posted could not be dealt with", raised=error)
            except BaseException:  # Ctrl-C: should the loop go on all the same, nothing is lost
                self._loop.call_soon(self._drain)
                raise

    def _grow(self) -> None:
        """Add threads while jobs wait without progress: half as many again at each tick."""
        self._growing = None
        waiting = self._jobs.qsize()
        if not waiting or self._closed:
            return
        done = self._done - self._done_before
        if done * _GOOD_PROGRESS < waiting:
            jobs = self._submitted - self._done  # more threads than these would have nothing to do
            most = min(jobs, self._limit + self.parked)
            for _ in range(min(max(1, self.threads // 2), waiting, most - self.threads)):
                if not self._start_thread():
                    break  # jobs wait for those that there are, and for a later try
        self._done_before = self._done
        self._growing = self._loop.call_later(_GROW_AFTER, self._grow)

    def park(self, by: int, note: Callable[[int], None]) -> None:
        """A worker begins (1) or ends (-1) to wait for somebody else. From there; ``note(by)`` with a lock held."""
        with self._counting:
            self.parked += by
            note(by)
        if by > 0:
            self._has_parked()

    def _start_thread(self) -> bool:
        """Whether the system had room for one more."""
        try:
            threads.start(threading.Thread(target=self._work, name=f"zerorpc-worker-{self.threads + 1}", daemon=True))
        except (RuntimeError, MemoryError):
            return False
        with self._counting:
            self.threads += 1
        return True

    def _work(self) -> None:
        while (job := self._next_job()) is not _STOP:
            function, argument = job
            try:
                function(argument)
            except BaseException as error:  # else one thread less, and nobody would know
                logger.error("a worker thread's job raised", raised=error)
            self._done += 1
            del job, function, argument  # keep nothing of a finished call alive while waiting for the next

    def _next_job(self) -> Any:
        """Wait for one; _STOP for a thread that nobody has needed for a while."""
        while True:
            try:
                return self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._counting:
                    if self.threads > _KEPT:
                        self.threads -= 1
                        return _STOP

    def close(self) -> None:
        """Let the threads end when their current job has; they are daemons, so none keeps the process."""
        self._closed = True
        if self._growing is not None:
            self._growing.cancel()
        for _ in range(self.threads):
            self._jobs.put(_STOP)

    def __repr__(self) -> str:
        return f"<Workers threads={self.threads} waiting={self._jobs.qsize()}>"
