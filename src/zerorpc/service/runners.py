"""Where methods run: coroutines on the loop, plain functions and generators on worker threads.

A coroutine is first stepped right where its request was read: most finish without ever waiting, and those need no
task of their own. It still sees a task as ``asyncio.current_task()``: a spare one, which takes the coroutine over
if it does wait. (A task for each call instead costs 1.9 us of the 6 that an echo call takes at both ends.)
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import operator
import threading
import types
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator
from typing import Any

from zerorpc.errors import ZeroRPCError
from zerorpc.middleware import Context
from zerorpc.protocol.channel import ServerChannel
from zerorpc.service.execution import Execution
from zerorpc.service.methods import Kind, Method
from zerorpc.service.workers import DEFAULT_THREADS, Workers

__all__ = ["Runners", "ServerOverloaded", "ServerStopping"]

_RUNNING_MAX = 65_536  # methods at once when pool_size isn't given; a suspended coroutine costs about 3 KiB
_WAITING_MAX = 16_384  # requests kept waiting beyond that; the next gets an error at once
_AHEAD_ITEMS = 64  # items that a stream may make in one turn of the loop: a turn costs little against so many,
_AHEAD_OCTETS = 1024 * 1024  # and octets: then what was made is written, and it shows whether the peer reads


class ServerOverloaded(ZeroRPCError):
    """The error that a caller gets when too many requests wait already. The method was not run."""


class ServerStopping(ZeroRPCError):
    """The error that a caller gets from a server that is shutting down. The method was not run."""


class Runners:
    """Runs the requests of one server on one loop.

    At most ``pool_size`` at a time; further ones wait their turn, in order. Reading never waits for them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context, pool_size: int | None) -> None:
        self.running = 0
        self.stopping = False
        self._idle = asyncio.Event()  # for the drain
        self._loop = loop
        self._context = context
        self._limit = pool_size or _RUNNING_MAX
        self._waiting: deque[tuple[Any, Execution]] = deque()
        self._workers = Workers(loop, self._receive_posted, pool_size or DEFAULT_THREADS)
        self._base = contextvars.copy_context()
        self._spare: _Spare | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(self, link: Any, channel: ServerChannel, method: Method | None) -> None:
        """Run a request, now or when its turn comes. The caller flushes the link afterwards."""
        execution = Execution(channel, method, self._context)
        if channel.problem is not None:
            channel.send(execution.error(TypeError(f"{channel.name}: {channel.problem}")), last=True)
        elif self.stopping:
            channel.send(execution.error(ServerStopping(f"{channel.name}: the server is shutting down")), last=True)
        elif self.running < self._limit and not self._waiting:  # nobody overtakes those that wait
            self._start(link, execution)
        elif len(self._waiting) < _WAITING_MAX:
            channel.runner = _QUEUED
            self._waiting.append((link, execution))
        else:
            why = f"{channel.name}: {self.running} calls are running and {len(self._waiting)} waiting"
            channel.send(execution.error(ServerOverloaded(why)), last=True)

    def _start(self, link: Any, execution: Execution) -> None:
        self.running += 1
        method = execution.method
        if method is None or (method.on_loop and method.kind is not Kind.ASYNC_GENERATOR):
            self._run_on_loop(link, execution)
        elif method.kind is Kind.ASYNC_GENERATOR:
            execution.channel.runner = runner = _AsyncStream(self, link, execution)
            self._keep(self._base.copy().run(self._loop.create_task, runner.run()))
        else:
            execution.channel.runner = job = _ThreadJob(link, execution, self._workers.post)
            self._workers.submit(_ThreadJob.run, job)

    def finish(self, link: Any, execution: Execution, data: bytes | None) -> None:
        """Send a method's last event (None: nobody wants it) and let the next one run."""
        channel = execution.channel
        if data is not None:
            channel.send(data, last=True)
        if channel.peer.channels:
            link.flush_soon()
        else:
            link.flush()
        self._release()

    def _release(self) -> None:
        self.running -= 1
        if self._waiting:
            self._loop.call_soon(self._start_waiting)  # not from here: this may be inside of a task
        elif self.stopping and not self.running:
            self._idle.set()

    def _start_waiting(self) -> None:
        while self._waiting and self.running < self._limit:
            link, execution = self._waiting.popleft()
            if not execution.channel.closed:
                execution.channel.runner = None
                self._start(link, execution)
                link.flush_soon()

    # On the loop

    def _run_on_loop(self, link: Any, execution: Execution) -> None:
        """Step the method right here; what doesn't finish at once goes on in the spare task."""
        spare = self._spare
        if spare is None:
            spare = self._spare = _Spare(self._loop)
        context = self._base.copy()
        _enter_task(self._loop, spare.task)
        try:
            finished, value = context.run(_first_step, execution)
            if not finished:
                self._spare = None
                execution.channel.runner = work = _Coroutine(self, link, execution, context, execution.coroutine)
                if spare.cancelled:  # by the method itself, perhaps before the task's own first step: take a new one
                    self._keep(_Spare(self._loop).take_over(work, value, cancelled=True))
                else:
                    self._keep(spare.take_over(work, value))
                return
            data = execution.result(value) if not execution.hooked else context.run(execution.result, value)
        except BaseException as error:
            data = context.run(execution.error, error)
        finally:
            _leave_task(self._loop, spare.task)
            if self._spare is spare and spare.cancelled:
                self._spare = None
        execution.channel.send(data, last=True)
        self._release()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # From the workers

    def _receive_posted(self, posted: tuple[_ThreadJob, Any, bool]) -> None:
        """A worker's reply, item, or (as a coroutine) work for the loop."""
        job, data, last = posted
        if last:
            self.finish(job.link, job.execution, data)
        elif isinstance(data, bytes):
            job.execution.channel.send(data)
            job.link.flush_soon()
            job.sent_one(len(data))
        else:
            work = _Coroutine(self, job.link, job.execution, self._base.copy(), data)
            job.execution.channel.runner = work
            self._keep(work.context.run(self._loop.create_task, work.run()))

    # The end

    async def drain(self, grace: float) -> None:
        """Refuse new requests; give the running ones ``grace`` seconds."""
        self.stopping = True
        waiting, self._waiting = self._waiting, deque()
        for link, execution in waiting:
            error = ServerStopping(f"{execution.channel.name}: the server is shutting down")
            execution.channel.send(execution.error(error), last=True)
            link.flush_soon()
        if self.running:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace)

    async def aclose(self) -> None:
        """Cancel what still runs and end the threads."""
        self.stopping = True
        if self._spare is not None:
            self._tasks.add(self._spare.task)
            self._spare = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        self._workers.close()

    def __repr__(self) -> str:
        return f"<Runners running={self.running} waiting={len(self._waiting)} {self._workers!r}>"


class _Queued:
    """The runner of a request that waits for its turn: nothing to wake."""

    def wake(self) -> None: ...


_QUEUED = _Queued()


def _first_step(execution: Execution) -> tuple[bool, Any]:
    """Call the method and run it up to its first wait: ``(True, result)`` or ``(False, what it waits for)``."""
    method = execution.begin()
    value = method.functor(*execution.channel.event.args)  # type: ignore[union-attr]  # begin() has checked
    if method.kind is not Kind.COROUTINE and not inspect.iscoroutine(value):
        return True, value
    execution.coroutine = value
    try:
        return False, value.send(None)
    except StopIteration as stop:
        return True, stop.value


class _Coroutine:
    """A coroutine method that had to wait."""

    __slots__ = ("context", "coroutine", "execution", "link", "runners", "task")

    def __init__(
        self, runners: Runners, link: Any, execution: Execution, context: contextvars.Context, coroutine: Any
    ) -> None:
        self.runners = runners
        self.link = link
        self.execution = execution
        self.context = context
        self.coroutine = coroutine
        self.task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """The whole coroutine, for one that a worker thread handed over."""
        self.task = asyncio.current_task()
        try:
            value = await self.coroutine
        except BaseException as error:
            self.finish(None, error)
        else:
            self.finish(value, None)

    def finish(self, value: Any, error: BaseException | None) -> None:
        data = self.context.run(self.outcome, value, error) if self.execution.hooked else self.outcome(value, error)
        self.runners.finish(self.link, self.execution, data)

    def outcome(self, value: Any, error: BaseException | None) -> bytes | None:
        """The reply to send; None if the caller is gone."""
        execution = self.execution
        if execution.channel.closed:
            return None
        if error is None:
            try:
                return execution.result(value)
            except Exception as failed:
                error = failed
        return execution.error(error)

    def wake(self) -> None:
        """The channel changed; a closed one ends the coroutine."""
        if self.execution.channel.closed and self.task is not None:
            self.task.cancel()


class _Spare:
    """A task in waiting, which becomes the task of the next coroutine that has to wait."""

    __slots__ = ("_handed_over", "_started", "_work", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._work: tuple[_Coroutine, Any] | None = None
        self._started = False
        self._handed_over = loop.create_future()
        self.task = loop.create_task(self._run())
        self.task.add_done_callback(self._ended)

    @property
    def cancelled(self) -> bool:
        """Whether a method has cancelled what it saw as its task: then no other may get it."""
        return self._handed_over.cancelled() or bool(_cancelling(self.task))

    def take_over(self, work: _Coroutine, yielded: Any, cancelled: bool = False) -> asyncio.Task[None]:
        """Go on with a coroutine that waits for ``yielded``; ``cancelled``: by cancelling that wait."""
        work.task = self.task
        self._work = (work, yielded)
        if cancelled:
            self._handed_over.cancel()
        elif not self._handed_over.done():
            self._handed_over.set_result(None)
        return self.task

    async def _run(self) -> None:
        cancelled = False
        try:
            await self._handed_over
        except asyncio.CancelledError:  # by the coroutine's own first step, or at the end
            cancelled = True
        if self._work is None:
            return
        self._started = True
        work, yielded = self._work
        try:
            value = await _resume(work.coroutine, work.context, yielded, cancelled)
        except BaseException as error:
            work.finish(None, error)
        else:
            work.finish(value, None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Cancelled before its very first step: then the coroutine was never gone on with."""
        if self._work is not None and not self._started:
            work = self._work[0]
            work.coroutine.close()
            work.finish(None, asyncio.CancelledError())


# How often cancel() was called; Python 3.10 only tells whether it was, and only before the task's first step.
_cancelling: Callable[[asyncio.Task[Any]], Any] = getattr(
    asyncio.Task, "cancelling", operator.attrgetter("_must_cancel")
)


@types.coroutine
def _resume(
    coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, yielded: Any, cancelled: bool
) -> Generator[Any, Any, Any]:
    """Drive a coroutine that has already yielded, each step in its own context."""
    try:
        if cancelled:
            yielded = context.run(coroutine.throw, asyncio.CancelledError())
        while True:
            try:
                value = yield yielded
            except BaseException as error:
                yielded = context.run(coroutine.throw, error)
            else:
                yielded = context.run(coroutine.send, value)
    except StopIteration as stop:
        return stop.value


class _AsyncStream:
    """An async generator under way, as fast as credit and the peer's reading allow."""

    def __init__(self, runners: Runners, link: Any, execution: Execution) -> None:
        self._runners = runners
        self._link = link
        self._execution = execution
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        execution, link = self._execution, self._link
        self._task = asyncio.current_task()
        data: bytes | None
        try:
            method = execution.begin()
            async with contextlib.aclosing(method.functor(*execution.channel.args)) as items:
                await self._send(items)
            data = execution.done()
        except BaseException as error:
            data = None if execution.channel.closed else execution.error(error)
        self._runners.finish(link, execution, data)

    async def _send(self, items: AsyncIterator[Any]) -> None:
        channel = self._execution.channel
        made = octets = 0
        async for item in items:
            data = self._execution.item(item)
            channel.send(data)
            self._link.flush_soon()
            made += 1
            octets += len(data)
            if made >= _AHEAD_ITEMS or octets >= _AHEAD_OCTETS:  # a generator that never waits must not hog the loop
                made = octets = 0
                await asyncio.sleep(0)
            while (channel.room <= 0 or not channel.peer.writable) and not channel.closed:
                self._room = asyncio.get_running_loop().create_future()
                await self._room
            if channel.closed:
                return

    def wake(self) -> None:
        """Credit came, or the caller went."""
        if self._execution.channel.closed and self._task is not None:
            self._task.cancel()
        elif self._room is not None and not self._room.done():
            self._room.set_result(None)


class _ThreadJob:
    """A plain function or generator on a worker thread. A generator stays on one thread all its life."""

    __slots__ = ("_ahead", "_allowed", "_condition", "_made", "_post", "_sent", "execution", "link")

    def __init__(self, link: Any, execution: Execution, post: Callable[[Any], None]) -> None:
        self.link = link
        self.execution = execution
        self._post = post
        self._condition: threading.Condition | None = None  # made when a stream begins
        self._made = 0  # items posted, counted by the worker
        self._sent = 0  # items sent, counted by the loop
        self._allowed = 1  # items that may have been posted: wire.md §4
        self._ahead = 1  # of these, how many may be on their way to the loop

    # In the worker

    def run(self) -> None:
        execution = self.execution
        data: Any
        try:
            if execution.channel.closed:
                data = None
            else:
                method = execution.begin()
                value = method.functor(*execution.channel.args)
                if method.streams or isinstance(value, Iterator):
                    data = self._stream(value)
                elif inspect.iscoroutine(value):
                    self._post((self, value, False))
                    return
                else:
                    data = execution.result(value)
        except BaseException as error:
            data = execution.error(error)
        self._post((self, data, True))

    def _stream(self, items: Iterable[Any]) -> bytes | None:
        """Post the items as far as credit goes; the last event, or None if the caller is gone."""
        execution, channel = self.execution, self.execution.channel
        self._condition = threading.Condition()
        iterator = iter(items)
        try:
            for item in iterator:
                self._post((self, execution.item(item), False))
                self._made += 1
                if self._made >= self._allowed and not self._wait_for_credit():
                    return None
                if channel.closed:
                    return None
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        return execution.done()

    def _wait_for_credit(self) -> bool:
        """Block until another item may be made; False when the caller is gone."""
        condition = self._condition
        assert condition is not None
        with condition:
            condition.wait_for(lambda: self._made < self._allowed or self.execution.channel.closed)
        return not self.execution.channel.closed

    # On the loop

    def sent_one(self, octets: int) -> None:
        """An item went out: the credit that is left counts from there."""
        self._sent += 1
        self._ahead = min(_AHEAD_ITEMS, _AHEAD_OCTETS // octets + 1)
        self.wake()

    def wake(self) -> None:
        """Credit came, the peer reads again, or the caller went."""
        channel = self.execution.channel
        condition = self._condition
        if condition is None:
            return
        allowed = self._sent + (min(channel.room, self._ahead) if channel.peer.writable else 0)
        more = allowed - self._allowed
        if channel.closed or more > self._ahead // 2 or (more > 0 and self._sent >= self._allowed):
            with condition:
                self._allowed = max(allowed, self._allowed)
                condition.notify()
