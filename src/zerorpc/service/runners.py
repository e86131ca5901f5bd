"""Where methods run, and when: coroutines on the loop, plain functions and generators on worker threads, those
marked with ``@process`` in worker processes; at once if there is room, in their turn, or not at all.

Each call gets a fresh copy of the context (contextvars) in which the server began to serve, wherever it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from math import inf

from zerorpc.errors import ServerOverloaded, ServerStopping
from zerorpc.logs import Logger
from zerorpc.observe.counts import Gauges
from zerorpc.service import process_pool
from zerorpc.service.coroutines import LoopCalls
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Where
from zerorpc.service.nested import Nested
from zerorpc.service.places import Places, Refusal
from zerorpc.service.process_jobs import ProcessJob
from zerorpc.service.thread_jobs import Posted, ThreadJob
from zerorpc.service.workers import DEFAULT_THREADS, Workers
from zerorpc.settings import ServerSettings

__all__ = ["Runners"]

logger: Logger = Logger("zerorpc.server")

# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11.
_LOOP, _PROCESS = Where.LOOP, Where.PROCESS
_RUNNING_MAX = 65_536  # methods of one caller at once on the loop, without pool_size; each costs about 3 KiB there
_IN_PROCESSES_MAX = 64  # and in worker processes, of which there are as many as cores: the next one is at hand
_CANCEL_TIMEOUT = 1.0  # s that cancelled coroutines get for their ``finally`` when the server stops


class Runners:
    """Runs the requests of one server on one loop.

    At most ``pool_size`` at a time; further ones wait their turn, unless that would take longer than ``max_wait`` or
    half of what their caller waits (``places``). Reading never waits for them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: ServerSettings) -> None:
        process_pool.check_not_importing_main()
        self.stopping: bool = False  # new requests are refused
        self._idle = asyncio.Event()  # for the drain
        self._loop = loop
        size, max_wait = settings.pool_size, inf if settings.max_wait is None else settings.max_wait
        limits = settings.limits
        self._places = Places(size or _with_others(_RUNNING_MAX), max_wait, alone=size is not None, limits=limits)
        # Of what runs beside the loop: in queues there nobody would know whose it is.
        self._beside = {Where.THREAD: self._places, Where.PROCESS: self._places}
        if size is None:
            self._beside = {
                Where.THREAD: Places(
                    _with_others(DEFAULT_THREADS), max_wait, parked=lambda: self._workers.parked, limits=limits
                ),
                Where.PROCESS: Places(_with_others(_IN_PROCESSES_MAX), max_wait, limits=limits),
            }
        self._all_places = tuple(dict.fromkeys((self._places, *self._beside.values())))
        self._nested = Nested(loop, self._start_nested)
        self._overloaded = False  # somebody was refused, and others wait still
        threads = size or _with_others(DEFAULT_THREADS)
        self._workers = Workers(loop, self._receive_posted, threads, self._has_parked)
        self._processes = process_pool.ProcessPool(max(1, process_pool.usable_cores() // settings.processes))
        self._base = contextvars.copy_context()
        self._on_loop = LoopCalls(loop, self)

    @property
    def running(self) -> int:
        """How many methods run."""
        return sum(places.running for places in self._all_places)

    def gauges(self) -> Gauges:
        """How many run and wait, and on what."""
        return Gauges(
            running=self.running,
            waiting=sum(places.waiting for places in self._all_places),
            threads=self._workers.threads,
            workers=self._processes.living,
            busy_workers=self._processes.busy,
        )

    def count_callers(self, callers: int) -> None:
        """How many there are: of places that are few, one who is alone may have all."""
        if len(self._all_places) == 1:
            self._places.alone = callers <= 1
            self.start_waiting()  # the last one may have more now

    def submit(self, invocation: Invocation) -> None:
        """Run a request, now or when its turn comes, or refuse it. The caller flushes."""
        method, places = invocation.method, self._places
        if method is not None and method.where is not _LOOP:
            places = self._beside[method.where]
        if self.stopping:
            self._turn_away(invocation)
        elif (
            (places.running < places.plenty and not places.waiting)
            or places.has_room(invocation)
            or (method is not None and method.needs_no_place)
        ):
            places.running += 1
            if method is None or method.where is _LOOP:  # as in ``_start``, without the call
                self._on_loop.run(invocation)
            else:
                self._start(invocation)
        else:
            self._let_wait(invocation, places)

    def _places_of(self, invocation: Invocation) -> Places:
        method = invocation.method
        return self._places if method is None or method.where is _LOOP else self._beside[method.where]

    def submit_within(self, invocation: Invocation, outer: object) -> None:
        """Run one without which another that runs, ``outer``, can't go on: whether there is room or not. But no more
        of them at a time than there may be methods; further ones wait for those.
        """
        if self.stopping:
            self._turn_away(invocation)
        elif not self._nested.submit(invocation, outer, self._places_of(invocation).count):
            self._refuse(invocation, Refusal("", 0.0))

    def _start_nested(self, invocation: Invocation) -> None:
        self._places_of(invocation).running += 1
        self._start(invocation)

    def _let_wait(self, invocation: Invocation, places: Places) -> None:
        """Keep a request until its turn, or refuse it at once if that would come too late for its caller."""
        if not places.waiting:
            self._overloaded = False
        kept = places.let_wait(invocation, self._loop.time())
        if isinstance(kept, Refusal):
            self._refuse(invocation, kept)
            return
        invocation.runner = kept
        if places.taken < places.count:  # or it would wait for the end of another
            self._loop.call_soon(self._start_waiting, places)

    def start_waiting(self) -> None:
        """What waits may have a turn: its caller takes answers again, or has a larger share."""
        for places in self._all_places:
            if places.waiting:
                self._loop.call_soon(self._start_waiting, places)

    def _refuse(self, invocation: Invocation, refusal: Refusal) -> None:
        waiting = sum(places.waiting for places in self._all_places)
        why = f"{invocation.name}: {self.running} calls are running and {waiting} waiting{refusal.details}"
        if not self._overloaded:  # once for all: a line for each would be one more thing to do
            logger.warning("overloaded, and refuses calls: %s", why)
            self._overloaded = True
        error = ServerOverloaded("ServerOverloaded", why, None, ran=False, method=invocation.name)
        error.retry_after = refusal.wait
        invocation.answer(invocation.refusal(error))

    def _start(self, invocation: Invocation) -> None:
        """Run a request that is counted as running already."""
        method = invocation.method
        if method is None or method.where is _LOOP:
            self._on_loop.run(invocation)
            return
        if method.where is _PROCESS:
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

    def park(self, invocation: Invocation, by: int) -> None:
        """A method's thread begins (1) or ends (-1) to wait for its caller. From that thread."""
        self._workers.park(by, invocation.park)

    def _has_parked(self) -> None:
        """There may be a place again. From a worker's thread."""
        places = self._beside[Where.THREAD]
        if places.waiting:
            self._loop.call_soon_threadsafe(self._start_waiting, places)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def finish(self, invocation: Invocation, data: bytes | None, flush: bool = True) -> None:
        """Send a method's answer (None: nobody wants it) and let the next one run.

        Without ``flush`` inside of ``submit``, whose caller flushes.
        """
        method, places = invocation.method, self._places
        if method is not None and method.where is not _LOOP:
            places = self._beside[method.where]
        places.running -= 1
        invocation.finished = True
        if data is not None:
            invocation.answer(data, flush)
        else:
            invocation.gone()
        if places.waiting or self.stopping or self._nested.running:
            self._let_others_run(invocation, places)

    def _let_others_run(self, invocation: Invocation, places: Places) -> None:
        """A method has ended: the next that waits may run, or the drain is over."""
        self._nested.finish(invocation)
        if places.waiting:
            self._loop.call_soon(self._start_waiting, places)  # not from here: this may be inside of a task
        elif self.stopping and not self.running:
            self._idle.set()

    def _start_waiting(self, places: Places) -> None:
        now = self._loop.time()
        while (waiting := places.next(now)) is not None:
            invocation = waiting.request
            assert isinstance(invocation, Invocation)
            if invocation.closed:
                invocation.gone()
                continue
            if now > waiting.too_late:  # ``max_wait`` is over, or the patience of one of 0.6, which can't cancel
                self._refuse(invocation, Refusal("; its turn has come too late", places.wait_now(now)))
            else:
                invocation.runner = None
                places.running += 1
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
        for places in self._all_places:
            for invocation in places.clear():
                assert isinstance(invocation, Invocation)
                self._turn_away(invocation)
        for nested in self._nested.clear():
            self._turn_away(nested)
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
        waiting = sum(places.waiting for places in self._all_places)
        return f"<Runners running={self.running} waiting={waiting} {self._workers!r}>"


def _with_others(count: int) -> int:
    """How many places there are, if one caller is to have so many as its share."""
    return count + count // 3 + 1
