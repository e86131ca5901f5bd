"""Where methods run, and when: coroutines on the loop, plain functions and generators on worker threads, those
marked with ``@process`` in worker processes; at once if there is room, in their turn, or not at all.

Each call gets a fresh copy of the context (contextvars) in which the server began to serve, wherever it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Iterator

from zerorpc.errors import ServerOverloaded, ServerStopping
from zerorpc.logs import Logger
from zerorpc.service import process_pool
from zerorpc.service.coroutines import LoopCalls
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Where
from zerorpc.service.process_jobs import ProcessJob
from zerorpc.service.thread_jobs import Posted, ThreadJob
from zerorpc.service.turns import Turns
from zerorpc.service.workers import DEFAULT_THREADS, Workers
from zerorpc.settings import ServerSettings

__all__ = ["Runners"]

logger: Logger = Logger("zerorpc.server")

# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11.
_LOOP, _PROCESS = Where.LOOP, Where.PROCESS
_RUNNING_MAX = 65_536  # methods at once when pool_size isn't given; a suspended coroutine costs about 3 KiB
_WAITING_MAX = 16_384  # requests kept waiting beyond that; the next gets an error at once
_WAIT_SHARE = 0.5  # of its caller's patience that a request may wait: the rest is for the method, and for what varies
_MAX_WAIT_SHARE = 0.75  # of ``max_wait``: guesses err, and who is refused when the turn has come has waited in vain
_CANCEL_TIMEOUT = 1.0  # s that cancelled coroutines get for their ``finally`` when the server stops
_WAITING_OCTETS_MAX = 256 * 1024 * 1024  # and what they may hold together: two of the largest messages


class Runners:
    """Runs the requests of one server on one loop.

    At most ``pool_size`` at a time; further ones wait their turn, in order, unless that would take longer than
    ``max_wait`` or half of what their caller waits. Reading never waits for them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: ServerSettings) -> None:
        process_pool.check_not_importing_main()
        self.running: int = 0
        self.stopping: bool = False  # new requests are refused
        self._idle = asyncio.Event()  # for the drain
        self._loop = loop
        self._limit = settings.pool_size or _RUNNING_MAX
        self._waiting: deque[tuple[Invocation, float]] = deque()  # and when it is too late to begin
        self._waiting_octets = 0
        self._nested: dict[object, _Nested] = {}  # by what can't go on without them
        self._within: dict[Invocation, _Nested] = {}  # what runs of these
        self._turns = Turns(self._limit)
        self._max_wait = float("inf") if settings.max_wait is None else settings.max_wait
        self._overloaded = False  # somebody was refused, and others wait still
        self._workers = Workers(loop, self._receive_posted, settings.pool_size or DEFAULT_THREADS)
        self._processes = process_pool.ProcessPool(max(1, process_pool.usable_cores() // settings.processes))
        self._base = contextvars.copy_context()
        self._on_loop = LoopCalls(loop, self)

    def submit(self, invocation: Invocation) -> None:
        """Run a request, now or when its turn comes, or refuse it. The caller flushes."""
        if self.stopping:
            self._turn_away(invocation)
        elif self.running < self._limit and not self._waiting:  # nobody overtakes those that wait
            self.running += 1
            method = invocation.method
            if method is None or method.where is _LOOP:  # as in ``_start``, without the call
                self._on_loop.run(invocation)
            else:
                self._start(invocation)
        else:
            self._let_wait(invocation)

    def submit_within(self, invocation: Invocation, outer: object) -> None:
        """Run one without which another that runs, ``outer``, can't go on: whether there is room or not. But no more
        of them at a time than there may be methods; further ones wait for those.
        """
        if self.stopping:
            self._turn_away(invocation)
            return
        nested = self._nested.get(outer)
        if nested is None:
            nested = self._nested[outer] = _Nested(outer)
        if nested.running < self._limit:
            self._start_within(invocation, nested)
        elif len(nested.waiting) >= _WAITING_MAX or self._waiting_octets >= _WAITING_OCTETS_MAX:
            self._refuse(invocation, "", 0.0)
        else:
            invocation.runner = _QUEUED
            nested.waiting.append(invocation)
            self._waiting_octets += invocation.octets

    def _start_within(self, invocation: Invocation, nested: _Nested) -> None:
        nested.running += 1
        self._within[invocation] = nested
        self.running += 1
        self._start(invocation)

    def _finish_within(self, nested: _Nested) -> None:
        nested.running -= 1
        if nested.waiting:
            self._loop.call_soon(self._start_nested, nested)
        elif not nested.running:
            del self._nested[nested.outer]

    def _start_nested(self, nested: _Nested) -> None:
        while nested.waiting and nested.running < self._limit:
            invocation = nested.waiting.popleft()
            self._waiting_octets -= invocation.octets
            if not invocation.closed:
                invocation.runner = None
                self._start_within(invocation, nested)
                invocation.flush_soon()
        if not nested.running and not nested.waiting:
            self._nested.pop(nested.outer, None)

    def _let_wait(self, invocation: Invocation) -> None:
        """Keep a request until its turn, or refuse it at once if that would come too late for its caller."""
        now, ahead = self._loop.time(), len(self._waiting)
        if not ahead:
            self._turns.begin(now)
            self._overloaded = False
        patience = invocation.patience
        wait = self._turns.wait(now, ahead)
        too_long = wait > min(patience * _WAIT_SHARE, self._max_wait * _MAX_WAIT_SHARE)
        if too_long or ahead >= _WAITING_MAX or self._waiting_octets >= _WAITING_OCTETS_MAX:
            self._refuse(invocation, f"; its turn would come in {wait:.3g} s" if too_long else "", wait)
            return
        invocation.runner = _QUEUED
        self._waiting.append((invocation, now + min(patience, self._max_wait)))
        self._waiting_octets += invocation.octets

    def _refuse(self, invocation: Invocation, details: str, wait: float) -> None:
        why = f"{invocation.name}: {self.running} calls are running and {len(self._waiting)} waiting{details}"
        if not self._overloaded:  # once for all: a line for each would be one more thing to do
            logger.warning("overloaded, and refuses calls: %s", why)
            self._overloaded = True
        error = ServerOverloaded("ServerOverloaded", why, None, ran=False, method=invocation.name)
        error.retry_after = wait
        invocation.answer(invocation.refusal(error))

    def _start(self, invocation: Invocation) -> None:
        """Run a request that is counted as running already."""
        method = invocation.method
        if method is None or method.where is _LOOP:
            self._on_loop.run(invocation)
        elif method.where is _PROCESS:
            process_job = ProcessJob(invocation, self._workers.post, self._base.copy())
            invocation.runner = process_job
            self._processes.submit(process_job)
        else:
            self._start_on_thread(ThreadJob(invocation, self._workers), self._base.copy())

    def _start_on_thread(self, job: ThreadJob, context: contextvars.Context) -> None:
        job.invocation.runner = job
        self._workers.submit(context.run, job.run)

    def advance(self, invocation: Invocation, items: Iterator[object]) -> None:
        """Stream the items of an iterator that a method on the loop has returned: on a thread, since it may block."""
        self._start_on_thread(ThreadJob(invocation, self._workers, items), contextvars.copy_context())

    def park(self, by: int) -> None:
        """A method's thread begins (1) or ends (-1) to wait for its caller. From that thread."""
        self._workers.park(by)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def finish(self, invocation: Invocation, data: bytes | None, flush: bool = True) -> None:
        """Send a method's answer (None: nobody wants it) and let the next one run.

        Without ``flush`` inside of ``submit``, whose caller flushes.
        """
        self.running -= 1
        invocation.finished = True
        if data is not None:
            invocation.answer(data, flush)
        if self._waiting or self.stopping or self._within:
            self._let_others_run(invocation)

    def _let_others_run(self, invocation: Invocation) -> None:
        """A method has ended: the next that waits may run, or the drain is over."""
        if (nested := self._within.pop(invocation, None)) is not None:
            self._finish_within(nested)
        if self._waiting:
            self._loop.call_soon(self._start_waiting)  # not from here: this may be inside of a task
        elif self.stopping and not self.running:
            self._idle.set()

    def _start_waiting(self) -> None:
        now = self._loop.time()
        while self._waiting and self.running < self._limit:
            invocation, too_late = self._waiting.popleft()
            self._waiting_octets -= invocation.octets
            self._turns.give(now)
            if invocation.closed:
                continue
            if now > too_late:  # ``max_wait`` is over, or the patience of one of zerorpc 0.6, which can't cancel
                self._refuse(invocation, "; its turn has come too late", self._turns.wait(now, len(self._waiting)))
            else:
                invocation.runner = None
                self.running += 1
                self._start(invocation)
                invocation.flush_soon()

    # From the workers

    def _receive_posted(self, posted: Posted) -> None:
        """A worker's reply, item, or (with the context that it belongs to) something for the loop to go on with."""
        job, data, last = posted
        if last:
            self.finish(job.invocation, data)
        elif isinstance(data, bytes):
            job.invocation.send_item(data)
            job.sent_one(len(data))
        else:
            self._on_loop.go_on(job.invocation, *data)

    # Fork

    def forked(self) -> None:
        """This is a forked child."""
        self._workers.stale = True
        self._on_loop.forked()

    # The end

    async def drain(self, grace: float) -> None:
        """Refuse what waits; give what runs ``grace`` seconds."""
        self.stopping = True
        waiting, self._waiting = self._waiting, deque()
        for invocation, _ in waiting:
            self._turn_away(invocation)
        for nested in self._nested.values():
            while nested.waiting:
                self._turn_away(nested.waiting.popleft())
        if self.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._idle.wait()

    def _turn_away(self, invocation: Invocation) -> None:
        why = f"{invocation.name}: the server is shutting down"
        error = ServerStopping("ServerStopping", why, None, ran=False, method=invocation.name)
        invocation.answer(invocation.refusal(error))

    async def aclose(self) -> None:
        """Cancel what still runs and end the threads and processes."""
        self.stopping = True
        await self._on_loop.aclose(_CANCEL_TIMEOUT)
        await self._processes.aclose()
        self._workers.close()

    def __repr__(self) -> str:
        return f"<Runners running={self.running} waiting={len(self._waiting)} {self._workers!r}>"


class _Nested:
    """Requests without which another that runs, ``outer``, can't go on."""

    def __init__(self, outer: object) -> None:
        self.outer: object = outer
        self.running: int = 0
        self.waiting: deque[Invocation] = deque()


class _Queued:
    """The runner of a request that waits for its turn: nothing to wake."""

    def wake(self) -> None: ...


_QUEUED = _Queued()
