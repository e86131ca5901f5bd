"""Calls on the event loop: coroutines, async generators and quick plain functions, each in a task of its own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from types import CoroutineType
from typing import Any, Protocol

from zerorpc.runtime.eager_tasks import new_starter
from zerorpc.runtime.loops import running_loop
from zerorpc.service.execution import Execution, Outlet
from zerorpc.service.forks import end_child, end_child_where_it_waits

__all__ = ["AHEAD_ITEMS", "AHEAD_OCTETS", "VALUES", "LoopCalls"]

AHEAD_ITEMS = 64  # items that a stream may make in one turn of the loop: a turn costs little against so many,
AHEAD_OCTETS = 1024 * 1024  # and octets: then what was made is written, and it shows whether the peer reads

# What most methods return. It is sent as it is; anything else may be something to await or to iterate over.
VALUES = frozenset((type(None), bool, int, float, str, bytes, list, dict, tuple))


class Owner(Protocol):
    """Whoever counts the calls that run."""

    def finish(self, link: Outlet, execution: Execution, data: bytes | None, at_once: bool = False, /) -> None:
        """A call is over; ``data`` is its last event, None if nobody wants it. ``at_once``: before ``run`` returned."""

    def advance(self, link: Outlet, execution: Execution, items: Iterator[Any], /) -> None:
        """Stream the items of a plain iterator, which may block. From then on the call is the owner's."""


class LoopCalls:
    """Runs calls on one event loop, in its thread. Each has a fresh copy of the context in which this was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._loop = loop
        self._owner = owner
        self._base = contextvars.copy_context()
        self._starter = new_starter(loop)
        self._starting: Execution | None = None  # the call that takes its first step just now
        self._tasks: set[asyncio.Task[Any]] = set()  # of those that had to wait

    def run(self, link: Outlet, execution: Execution) -> None:
        """Begin a call. It is over when this returns, unless it has to wait for something."""
        self._starting = execution
        try:
            task = self._starter.start(self._call(link, execution), self._base.copy())
        finally:
            self._starting = None
        if task is not None:
            self._keep(task, link, execution)

    def go_on(self, link: Outlet, execution: Execution, value: object, context: contextvars.Context) -> None:
        """Go on with what a plain function has returned on a thread: something to await, or an async iterator."""
        if execution.channel.closed:
            _close(value)
            self._owner.finish(link, execution, None)
            return
        execution.channel.runner = None
        task = asyncio.Task(self._settle(link, execution, value), loop=self._loop, context=context)
        self._keep(task, link, execution, value)

    def _keep(self, task: asyncio.Task[Any], link: Outlet, execution: Execution, value: object = None) -> None:
        if execution.channel.runner is None:
            execution.channel.runner = Running(task, execution)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._ended, link, execution, value))

    def _ended(self, link: Outlet, execution: Execution, value: object, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not execution.over:  # the task was cancelled before its first step
            _close(value)
            execution.ran = None
            self._owner.finish(link, execution, _error(execution, asyncio.CancelledError()))

    # In the call's task

    async def _call(self, link: Outlet, execution: Execution) -> None:
        """The method from its first step to its last event."""
        data: bytes | None
        try:
            method = execution.method
            args: Any = execution.channel.event.args  # type: ignore[union-attr]  # a BadEvent is never begun
            if execution.hooked or method is None or type(args) is not list:
                method = execution.begin()
            value = method.functor(*args)
            if type(value) is CoroutineType:
                value = await value
            if link.hub.stale:
                end_child()
            if type(value) not in VALUES:
                await self._settle(link, execution, value)
                return
            data = execution.result(value)
        except BaseException as error:
            if link.hub.stale:
                end_child(error)
            data = _error(execution, error)
        self._finish(link, execution, data)

    async def _settle(self, link: Outlet, execution: Execution, value: Any) -> None:
        """Await or iterate over what a method has returned, as long as that makes sense; then answer."""
        data: bytes | None
        try:
            before: Any = None
            while inspect.isawaitable(value) and value is not before:  # a database's client may give itself
                before, value = value, await value
                if link.hub.stale:
                    end_child()
            method = execution.method
            if method is not None and method.unary:
                value = await _listed(value)
            elif method is not None and method.streams:
                value = aiter(value) if isinstance(value, AsyncIterable) else iter(value)
            if isinstance(value, AsyncIterator):
                data = await self._stream(link, execution, value)
            elif isinstance(value, Iterator):
                execution.over = True
                self._owner.advance(link, execution, value)
                return
            else:
                data = execution.result(value)
        except BaseException as error:
            if link.hub.stale:
                end_child(error)
            data = _error(execution, error)
        self._finish(link, execution, data)

    def _finish(self, link: Outlet, execution: Execution, data: bytes | None) -> None:
        execution.over = True
        self._owner.finish(link, execution, data, self._starting is execution)

    async def _stream(self, link: Outlet, execution: Execution, items: AsyncIterator[Any]) -> bytes:
        """Send the items, as fast as credit and the peer's reading allow; the last event."""
        channel = execution.channel
        channel.runner = running = Running(asyncio.current_task(), execution)
        execution.begin_stream()
        made = octets = 0
        try:
            async for item in items:
                if link.hub.stale:
                    end_child()
                data = execution.item(item)
                channel.send(data)
                if not link.flush_scheduled:
                    link.flush_soon()
                made += 1
                octets += len(data)
                if made >= AHEAD_ITEMS or octets >= AHEAD_OCTETS:  # a generator that never waits must not hog the loop
                    made = octets = 0
                    await asyncio.sleep(0)
                while (channel.room <= 0 or not channel.peer.writable) and not channel.closed:
                    running.room = self._loop.create_future()
                    await running.room
                if channel.closed:
                    break
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        if link.hub.stale:
            end_child()
        return execution.done()

    # Fork

    def forked(self) -> None:
        """This is a forked child. If a method on the loop forked it, the loop must not turn again."""
        if running_loop() is self._loop and (self._starting is not None or asyncio.current_task() in self._tasks):
            end_child_where_it_waits(_CODE)

    # The end

    async def aclose(self, patience: float) -> None:
        """Cancel what still runs, and wait for its end, for at most ``patience`` seconds."""
        self._starter.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=patience)


_CODE = (LoopCalls._call.__code__, LoopCalls._settle.__code__)


class Running:
    """The runner of a call that waits on the loop."""

    __slots__ = ("_execution", "_task", "room")

    def __init__(self, task: asyncio.Task[Any] | None, execution: Execution) -> None:
        self._task = task
        self._execution = execution
        self.room: asyncio.Future[None] | None = None  # a stream waits for it: credit, or a peer that reads

    def wake(self) -> None:
        """The channel changed: credit came, or the caller is gone, and nobody wants the call any more."""
        if self._execution.channel.closed:
            if self._task is not None:
                self._task.cancel()
        elif self.room is not None and not self.room.done():
            self.room.set_result(None)


def _error(execution: Execution, error: BaseException) -> bytes | None:
    """The reply to send; None if the caller is gone."""
    return None if execution.channel.closed else execution.error(error)


def _close(value: object) -> None:
    """Nobody will await it: not from here. One that has begun already is somebody else's as well."""
    if isinstance(value, CoroutineType) and inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
        value.close()


async def _listed(value: object) -> Any:
    """An iterator's items as one list, for ``@rep``; anything else as it is."""
    if isinstance(value, AsyncIterator):
        return [item async for item in value]
    return list(value) if isinstance(value, Iterator) else value
