"""Coroutine methods and async generators: started where their request was read, gone on with in a task."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import types
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeAlias

from zerorpc.service.execution import Execution
from zerorpc.service.forks import NO_LOOP, end_child
from zerorpc.service.methods import Kind

__all__ = ["AHEAD_ITEMS", "AHEAD_OCTETS", "AsyncStream", "Finish", "SpareTask", "SuspendedCoroutine", "first_step"]

_COROUTINE = Kind.COROUTINE  # a global: an enum's member takes 116 ns to look up on CPython 3.11
AHEAD_ITEMS = 64  # items that a stream may make in one turn of the loop: a turn costs little against so many,
AHEAD_OCTETS = 1024 * 1024  # and octets: then what was made is written, and it shows whether the peer reads

# Called with the link, the execution and the packed last event (None: nobody wants it).
Finish: TypeAlias = Callable[[Any, Execution, "bytes | None"], None]


def first_step(execution: Execution) -> tuple[bool, Any]:
    """Call the method and run it up to its first wait: ``(True, result)`` or ``(False, what it waits for)``."""
    method = execution.method
    args: Any = execution.channel.event.args  # type: ignore[union-attr]  # a BadEvent is never begun
    if execution.hooked or method is None or type(args) is not list:
        method = execution.begin()
    value = method.functor(*args)
    if method.kind is not _COROUTINE and not inspect.iscoroutine(value):
        return True, value
    execution.coroutine = value
    try:
        return False, value.send(None)
    except StopIteration as stop:
        return True, stop.value


class SuspendedCoroutine:
    """A coroutine method that had to wait."""

    __slots__ = ("_finish", "context", "coroutine", "execution", "link", "task")

    def __init__(
        self, finish: Finish, link: Any, execution: Execution, context: contextvars.Context, coroutine: Any
    ) -> None:
        self._finish = finish
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
        if self.link.hub.stale:
            end_child(error)
        data = self.context.run(self.outcome, value, error) if self.execution.hooked else self.outcome(value, error)
        self._finish(self.link, self.execution, data)

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


class SpareTask:
    """A task in waiting, which becomes the task of the next coroutine that has to wait."""

    __slots__ = ("_handed_over", "_started", "_work", "is_cancelled", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._work: tuple[SuspendedCoroutine, Any] | None = None
        self._started = False
        self._handed_over = loop.create_future()
        self.task = loop.create_task(self._run())
        self.task.add_done_callback(self._ended)
        # Whether a method has cancelled what it saw as its task: then no other may get it.
        self.is_cancelled: Callable[[], Any] = getattr(self.task, "cancelling", self._is_cancelled_3_10)

    def _is_cancelled_3_10(self) -> bool:
        """Python 3.10 doesn't count cancellations, so look where they go: before the first step, and after it."""
        return self._handed_over.cancelled() or bool(self.task._must_cancel)  # type: ignore[attr-defined]

    def take_over(self, work: SuspendedCoroutine, yielded: Any, cancelled: bool = False) -> asyncio.Task[None]:
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
            value = await _resume(work, yielded, cancelled)
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


@types.coroutine
def _resume(work: SuspendedCoroutine, yielded: Any, cancelled: bool) -> Generator[Any, Any, Any]:
    """Drive a coroutine that has already yielded, each step in its own context."""
    coroutine, context, hub = work.coroutine, work.context, work.link.hub
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
            if hub.stale:
                end_child(RuntimeError(NO_LOOP))
    except StopIteration as stop:
        return stop.value


class AsyncStream:
    """An async generator under way, as fast as credit and the peer's reading allow."""

    def __init__(self, finish: Finish, link: Any, execution: Execution) -> None:
        self._finish = finish
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
            if link.hub.stale:
                end_child(error)
            data = None if execution.channel.closed else execution.error(error)
        if link.hub.stale:
            end_child()
        self._finish(link, execution, data)

    async def _send(self, items: AsyncIterator[Any]) -> None:
        channel, link, pack = self._execution.channel, self._link, self._execution.item
        made = octets = 0
        async for item in items:
            if link.hub.stale:
                end_child()
            data = pack(item)
            channel.send(data)
            if not link.flush_scheduled:
                link.flush_soon()
            made += 1
            octets += len(data)
            if made >= AHEAD_ITEMS or octets >= AHEAD_OCTETS:  # a generator that never waits must not hog the loop
                made = octets = 0
                await asyncio.sleep(0)
            while (channel.credit <= 0 or not channel.peer.writable) and not channel.closed:
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
