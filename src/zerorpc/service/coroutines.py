"""Calls on the event loop: coroutines, async generators and quick plain functions, each in a task of its own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from types import CoroutineType, FrameType
from typing import Any, Protocol

from zerorpc.runtime.eager_tasks import new_starter
from zerorpc.runtime.loops import running_loop
from zerorpc.scope import enter_scope
from zerorpc.service.forks import end_child, end_child_where_it_waits
from zerorpc.service.invocation import Invocation

__all__ = ["AHEAD_ITEMS", "AHEAD_OCTETS", "VALUES", "LoopCalls", "Running", "invocation_in", "listed"]

AHEAD_ITEMS = 64  # items that a stream may make in one turn of the loop: a turn costs little against so many,
AHEAD_OCTETS = 1024 * 1024  # and octets: then what was made is written, and it shows whether the peer reads

# What most methods return. It is sent as it is; anything else may be something to await or to iterate over.
VALUES = frozenset((type(None), bool, int, float, str, bytes, list, dict, tuple))


class Owner(Protocol):
    """Whoever counts the calls that run."""

    def finish(self, invocation: Invocation, data: bytes | None, flush: bool = True, /) -> None:
        """A call is over; ``data`` is its answer, None if nobody wants it. No ``flush`` before ``run`` has returned."""

    def advance(self, invocation: Invocation, items: Iterator[object], /) -> None:
        """Stream the items of a plain iterator, which may block. From then on the call is the owner's."""


class LoopCalls:
    """Runs calls on one event loop, in its thread. Each has a fresh copy of the context in which this was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._loop = loop
        self._owner = owner
        self._base = contextvars.copy_context()
        self._starter = new_starter(loop)
        self._starting: Invocation | None = None  # the call that takes its first step just now
        self._stale = False  # this is a forked child
        self._tasks: set[asyncio.Task[Any]] = set()  # of those that had to wait

    def run(self, invocation: Invocation) -> None:
        """Begin a call. It is over when this returns, unless it has to wait for something."""
        self._starting = invocation
        try:
            task = self._starter.start(self._call(invocation), self._base.copy())
        finally:
            self._starting = None
        if task is not None:
            self._keep(task, invocation)

    def go_on(self, invocation: Invocation, value: object, context: contextvars.Context) -> None:
        """Go on with what a plain function has returned on a thread: something to await, or an async iterator."""
        if invocation.closed:
            _close(value)
            self._owner.finish(invocation, None)
            return
        invocation.runner = None
        task = asyncio.Task(self._settle(invocation, value), loop=self._loop, context=context)
        self._keep(task, invocation, value)

    def _keep(self, task: asyncio.Task[Any], invocation: Invocation, value: object = None) -> None:
        if invocation.runner is None:
            invocation.runner = Running(task, invocation)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._ended, invocation, value))

    def _ended(self, invocation: Invocation, value: object, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not invocation.over:  # the task was cancelled before its first step
            _close(value)
            invocation.ran = None
            self._owner.finish(invocation, _error(invocation, asyncio.CancelledError()))

    # In the call's task

    async def _call(self, invocation: Invocation) -> None:
        """The method from its first step to its last event."""
        data: bytes | None
        enter_scope(invocation)
        try:
            method, args = invocation.method, invocation.args
            if invocation.hooked or method is None or type(args) is not list:
                method = invocation.begin()
            kwargs = invocation.kwargs
            value = method.functor(*args) if kwargs is None else method.functor(*args, **kwargs)
            if type(value) is CoroutineType:
                value = await value
            if self._stale:
                end_child()
            if type(value) not in VALUES:
                await self._settle(invocation, value)
                return
            data = invocation.result(value)
        except BaseException as error:
            if self._stale:
                end_child(error)
            data = _error(invocation, error)
        invocation.over = True  # as in ``_finish``, without the call
        self._owner.finish(invocation, data, self._starting is not invocation)

    async def _settle(self, invocation: Invocation, value: Any) -> None:
        """Await or iterate over what a method has returned, as long as that makes sense; then answer."""
        data: bytes | None
        try:
            before: Any = None
            while inspect.isawaitable(value) and value is not before:  # a database's client may give itself
                before, value = value, await value
                if self._stale:
                    end_child()
            method = invocation.method
            if method is not None and method.unary:
                value = await listed(value)
            elif method is not None and method.streams:
                value = aiter(value) if isinstance(value, AsyncIterable) else iter(value)
            if isinstance(value, AsyncIterator):
                data = await self._stream(invocation, value)
            elif isinstance(value, Iterator):
                invocation.over = True
                self._owner.advance(invocation, value)
                return
            else:
                data = invocation.result(value)
        except BaseException as error:
            if self._stale:
                end_child(error)
            data = _error(invocation, error)
        self._finish(invocation, data)

    def _finish(self, invocation: Invocation, data: bytes | None) -> None:
        invocation.over = True
        self._owner.finish(invocation, data, self._starting is not invocation)

    async def _stream(self, invocation: Invocation, items: AsyncIterator[Any]) -> bytes:
        """Send the items, as fast as credit and the peer's reading allow; the last event."""
        invocation.runner = running = Running(asyncio.current_task(), invocation)
        invocation.begin_stream()
        made = octets = 0
        try:
            async for item in items:
                if self._stale:
                    end_child()
                data = invocation.item(item)
                invocation.send_item(data)
                made += 1
                octets += len(data)
                if made >= AHEAD_ITEMS or octets >= AHEAD_OCTETS:  # a generator that never waits must not hog the loop
                    made = octets = 0
                    await asyncio.sleep(0)
                while invocation.room <= 0 and not invocation.closed:
                    running.room = self._loop.create_future()
                    await running.room
                if invocation.closed:
                    break
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
        if self._stale:
            end_child()
        return invocation.done()

    # Fork

    def forked(self) -> None:
        """This is a forked child. If a method on the loop forked it, the loop must not turn again."""
        self._stale = True
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


def invocation_in(frame: FrameType) -> Invocation | None:
    """The call whose method runs above this frame of a loop's thread; None if the frame is of something else."""
    found: Invocation | None = frame.f_locals.get("invocation") if frame.f_code in _CODE else None
    return found


class Running:
    """The runner of a call that waits on the loop."""

    __slots__ = ("_task", "invocation", "room")

    def __init__(self, task: asyncio.Task[Any] | None, invocation: Invocation) -> None:
        self._task = task
        self.invocation: Invocation = invocation
        self.room: asyncio.Future[None] | None = None  # a stream waits for it: credit, or a peer that reads

    def wake(self) -> None:
        if self.invocation.closed:
            self.invocation.cancel_calls()
            if self._task is not None:
                self._task.cancel()
        elif self.room is not None and not self.room.done():
            self.room.set_result(None)


def _error(invocation: Invocation, error: BaseException) -> bytes | None:
    """The reply to send; None if the caller is gone."""
    return None if invocation.closed else invocation.error(error)


def _close(value: object) -> None:
    """Nobody will await it: not from here. One that has begun already is somebody else's as well."""
    if isinstance(value, CoroutineType) and inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
        value.close()


async def listed(value: object) -> Any:
    """An iterator's items as one list, for ``@rep``; anything else as it is."""
    if isinstance(value, AsyncIterator):
        return [item async for item in value]
    return list(value) if isinstance(value, Iterator) else value
