"""A pool of worker processes, each with a thread of the server that hands it one job at a time.

Made with ``multiprocessing`` and not with an executor. The standard library's can't end a job that runs, and one
crash breaks all of it. Pebble's can, but looks for what to end every 0.1 s and keeps all of a pool's traffic on one
pipe under a lock that killed processes may hold. One pipe per process needs no lock.

Processes are spawned: forking a server with threads copies locks that nobody will ever release, and a fork server
can't be ended while it imports a program that hangs.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from zerorpc.errors import WorkerDied
from zerorpc.logs import Logger
from zerorpc.runtime import threads
from zerorpc.runtime.cpython import imports_main_script
from zerorpc.service.process_worker import CANCEL_SIGNAL, READY, work

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

__all__ = ["Job", "ProcessPool", "WorkerProcess", "check_not_importing_main", "died", "usable_cores"]

logger: Logger = Logger("zerorpc.server")

_GRACE = 1.0  # s that a cancelled method gets for its ``finally``, as coroutines get when the server stops
_END_TIMEOUT = 1.5  # s for all processes to end when the server does: that grace, and a process's own exit
# s between looks at a busy process: does it live? A pipe tells nothing while its children hold it. And is it cancelled?
# Then it is signalled again, some times within its grace.
_LOOK_AGAIN = 0.25
_SAY_SO = 2.0  # s for their threads to see that they were killed, and answer: at the next look; hooks may never end
_STOP: Any = None
_MAIN_FILE = getattr(sys.modules.get("__main__"), "__file__", None)
_GUARD = 'a script that starts a server has to do so under `if __name__ == "__main__":`'

_STOPPING = "the server is shutting down"


def check_not_importing_main() -> None:
    """Raises RuntimeError in a worker process that imports the server's own script.

    Without it a script that serves without ``if __name__ == "__main__":`` would serve again in each worker.
    """
    if imports_main_script():
        raise RuntimeError(f"a worker process imports this script to find the methods: {_GUARD}")


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Job(Protocol):
    """What a pool runs, in a thread of its own. What it raises is logged: it should answer for that itself."""

    def run(self, worker: WorkerProcess, /) -> None: ...

    def refuse(self, why: str, /) -> None:
        """There is no thread to run it. On the loop."""


class ProcessPool:
    """Runs jobs, each with a worker process to itself; further ones wait their turn.

    Processes are started as they are needed, at most ``size``. One that was cancelled or has died is replaced when
    the next job needs it. ``submit`` and ``aclose`` belong to the loop's thread.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size: int = size or usable_cores()
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)  # threads that wait for a job, less the jobs on their way to them
        self._threads: set[threading.Thread] = set()
        self._workers: list[WorkerProcess] = []
        self._on_end: Callable[[], object] | None = None
        self._pid = os.getpid()

    @property
    def living(self) -> int:
        """How many processes there are."""
        return sum(worker.lives for worker in self._workers)

    @property
    def busy(self) -> int:
        """How many of them work."""
        return sum(worker.busy for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Run a job when a process is free for it. Refuses it if there can't be any."""
        if not self._idle.acquire(blocking=False) and len(self._threads) < self.size:
            try:
                self._start_thread()
            except (RuntimeError, MemoryError) as error:  # no more threads: the job waits for those that there are
                if not self._threads:
                    job.refuse(f"no thread can be started for it: {error}")
                    return
        self._jobs.put(job)

    def _start_thread(self) -> None:
        worker = WorkerProcess()
        thread = threading.Thread(target=self._work, args=(worker,), daemon=True)
        thread.name = f"zerorpc-process-{len(self._threads) + 1}"
        threads.start(thread)
        self._workers.append(worker)
        self._threads.add(thread)

    def _work(self, worker: WorkerProcess) -> None:
        """A thread's life: jobs, with a process that is started when the first comes."""
        try:
            import multiprocessing.util  # noqa: F401 - first, for its own exit handler waits for what ours is to kill

            atexit.register(self._kill_all)
        except BaseException as error:  # out of descriptors, perhaps: then each job says so by itself
            logger.error("a worker process's thread could not prepare for its exit", raised=error)
        while (job := self._jobs.get()) is not _STOP:
            try:
                job.run(worker)
            except BaseException as error:  # else one process less, and nobody would know
                logger.error("a worker process's job raised", raised=error)
            del job  # keep nothing of a finished call alive while waiting for the next
            self._idle.release()
        worker.end()
        on_end = self._on_end
        assert on_end is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            on_end()

    async def aclose(self) -> None:
        """Cancel what runs, and wait for the processes to end; those that don't are killed. Waiting jobs fail.

        All jobs have been answered then, but for those whose hooks don't end.
        """
        if not self._threads:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Semaphore(0)
        self._on_end = lambda: loop.call_soon_threadsafe(ended.release)
        for worker in self._workers:
            worker.close()
            self._jobs.put(_STOP)
        running = len(self._threads)
        try:
            for patience in (_END_TIMEOUT, _SAY_SO):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        while running:
                            await ended.acquire()
                            running -= 1
                self._kill_all()
        finally:
            self._kill_all()
            atexit.unregister(self._kill_all)

    def _kill_all(self) -> None:
        if os.getpid() == self._pid:  # not in a child that a method has forked
            for worker in self._workers:
                worker.kill()

    def __repr__(self) -> str:
        busy = sum(worker.busy for worker in self._workers)
        return f"<ProcessPool size={self.size} busy={busy} waiting={self._jobs.qsize()}>"


class WorkerProcess:
    """One process of the pool, replaced when it has ended. For one thread; ``cancel`` and ``close`` are for any.

    ::

        with worker.lent_to(job):
            reply = worker.call("method", request)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # for the four below: whom a signal would meet must not change meanwhile
        self._job: Job | None = None
        self._process: BaseProcess | None = None
        self._cancelled_at: float | None = None
        self._closed = False
        self._pipe: Connection | None = None
        self._started = False  # the process has said that it is ready

    @property
    def busy(self) -> bool:
        return self._job is not None

    @property
    def lives(self) -> bool:
        """Whether it has a process, which has not been found dead."""
        return self._process is not None

    # In its thread

    @contextlib.contextmanager
    def lent_to(self, job: Job) -> Iterator[None]:
        """The time in which ``cancel(job)`` ends the process."""
        with self._lock:
            self._job = job
            if self._closed:
                self._cancelled_at = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._job = None
                cancelled = self._cancelled_at is not None
            if cancelled:
                self.end()
                self._cancelled_at = None

    def call(self, name: str, request: bytes) -> bytes:
        """Have a request answered. Raises WorkerDied if the process doesn't live to do it; ``name`` is the method's."""
        if self._cancelled_at is not None:
            raise died(name, _STOPPING, ran=False)
        if self._process is None or not self._process.is_alive():
            self.end()
            self._start(name)
        assert self._pipe is not None
        try:
            if not self._started:
                self._started = self._receive(self._pipe) == READY
            self._pipe.send_bytes(request)
            return self._receive(self._pipe)
        except (EOFError, OSError):
            why, ran = self._obituary(), None if self._started else False
            self.end()  # a thread that the method left may keep it, deaf, and the next job would find it alive
            raise died(name, why, ran) from None
        except BaseException:  # no memory for the reply, perhaps: what is left of it would be taken for the next one
            self.end()
            raise

    def _start(self, name: str) -> None:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        _restore_main_file()
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs,), name="zerorpc-worker")
        try:
            _block_signals()
            process.start()
        except Exception as error:  # no more processes, no memory, or this process is a daemon of multiprocessing
            raise died(name, f"no process can be started for it: {error}", ran=False) from error
        finally:
            theirs.close()
        self._started = False
        with self._lock:
            self._process = process
            if self._cancelled_at is not None:  # while it was starting
                self._signal(process)

    def _receive(self, pipe: Connection) -> bytes:
        process = self._process
        assert process is not None
        while not pipe.poll(_LOOK_AGAIN):
            if self._cancelled_at is not None:
                if time.monotonic() - self._cancelled_at < _GRACE:
                    self._signal(process)  # the first one may have interrupted nothing
                else:
                    process.kill()
            if not process.is_alive():
                raise EOFError
        return pipe.recv_bytes()

    def _obituary(self) -> str:
        """Why there is no answer, from a process that has ended or is about to."""
        assert self._process is not None
        _join(self._process, _GRACE)
        code = self._process.exitcode
        if self._closed:
            return _STOPPING
        how = "" if code is None else f" (killed by signal {-code})" if code < 0 else f" (exit code {code})"
        if self._started:
            return f"the process that ran it has ended{how}"
        return (
            f"the process to run it has ended{how} while it was starting; its error is on the server's stderr; {_GUARD}"
        )

    def end(self) -> None:
        """Let the process end, or kill it."""
        process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if process is not None:
            _join(process, _GRACE)
            if process.exitcode is None:
                process.kill()
                process.join()

    # From any thread

    def cancel(self, job: Job) -> None:
        """End the process if it works for this job."""
        with self._lock:
            if self._job is job:
                self._cancel()

    def close(self) -> None:
        """End what runs, and let nothing else begin."""
        with self._lock:
            self._closed = True
            if self._job is not None:
                self._cancel()

    def _cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            if self._process is not None:
                self._signal(self._process)

    def _signal(self, process: BaseProcess) -> None:
        if CANCEL_SIGNAL is None:
            process.kill()
        elif process.pid is not None and process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, CANCEL_SIGNAL)

    def kill(self) -> None:
        process = self._process
        if process is not None:
            process.kill()


def died(method: str, why: str, ran: bool | None) -> WorkerDied:
    """What the caller of a method is told whose process ended, or couldn't be started; ``ran``: if the method did."""
    return WorkerDied("WorkerDied", f"{method}: {why}", None, ran=ran, method=method)


def _join(process: BaseProcess, seconds: float) -> None:
    """``process.join``, which waits for ever for one that has closed its descriptors and lives on."""
    from multiprocessing.connection import wait

    deadline = time.monotonic() + seconds
    wait([process.sentinel], seconds)
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)


def _restore_main_file() -> None:
    """The program's script has no ``__file__`` any more when the main thread has ended; a new process looks there."""
    main = sys.modules.get("__main__")
    if _MAIN_FILE is not None and main is not None and not hasattr(main, "__file__"):
        main.__file__ = _MAIN_FILE


def _block_signals() -> None:
    """In this thread, and so in a process that it starts, until that has handlers for them."""
    if CANCEL_SIGNAL is not None:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # now, since doing it start() would unblock them again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
