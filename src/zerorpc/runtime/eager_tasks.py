"""Begins a coroutine at once, in a task of its own. Most coroutine methods finish without ever waiting, and what a
task costs beyond that first step (a turn of the loop, 2 us) is spared them.

Since Python 3.12 asyncio does that itself (``Task(eager_start=True)``, 0.7 us). For 3.11 it is done here (0.4 us): a
spare task stands ready, is the current one while the coroutine takes its first step, and becomes the coroutine's own
if it has to wait. Others may use the same spare task afterwards only if nothing shows that this one did.

That takes private names of asyncio; without them a task begins with the loop's next turn, like any other.
``tests/runtime/test_eager_tasks.py`` compares all of this with real tasks.

Tasks are made without the loop's task factory, which may know nothing of contexts, or begin them at another time.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from collections.abc import Coroutine, Generator
from sys import getrefcount
from typing import Any, Protocol, TypeAlias
from weakref import getweakrefcount

from zerorpc.runtime.cpython import TaskSharing, task_sharing

__all__ = ["Starter", "new_starter"]

_Yielded: TypeAlias = "asyncio.Future[object] | None"  # what a step of the work waits for; None: the loop's next turn
_Work: TypeAlias = Coroutine[_Yielded, None, None]


class Starter(Protocol):
    """Belongs to one event loop and its thread."""

    def start(self, work: _Work, context: contextvars.Context, /) -> asyncio.Task[None] | None:
        """Begin a coroutine in a context that no other uses: its task if it has to wait, None if it has ended.

        Not from inside of another task. Raises what the first step of ``work`` raises, except where the task begins
        with the loop's next turn.
        """

    def close(self) -> None:
        """Nothing else will be started."""


def new_starter(loop: asyncio.AbstractEventLoop) -> Starter:
    if sys.version_info >= (3, 12):
        return _Eager(loop)
    sharing = task_sharing()
    return _Later(loop) if sharing is None else _WithSpareTask(loop, sharing)


if sys.version_info >= (3, 12):

    class _Eager:
        """asyncio's own way."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self._loop = loop

        def start(self, work: _Work, context: contextvars.Context) -> asyncio.Task[None] | None:
            task = asyncio.Task(work, loop=self._loop, context=context, eager_start=True)
            if not task.done():
                return task
            try:
                task.result()
            except asyncio.CancelledError:
                return None  # by itself: the work has ended all the same
            return None

        def close(self) -> None: ...

else:

    class _Later:
        """Where nothing else can be had: with the loop's next turn."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self._loop = loop

        def start(self, work: _Work, context: contextvars.Context) -> asyncio.Task[None]:
            return asyncio.Task(work, loop=self._loop, context=context)

        def close(self) -> None: ...

    _ENDED: Any = object()

    class _WithSpareTask:
        """Begins the work in a spare task (Python 3.11)."""

        def __init__(self, loop: asyncio.AbstractEventLoop, sharing: TaskSharing) -> None:
            self._loop = loop
            self._sharing = sharing
            self._spare = _SpareTask(loop)

        def start(self, work: _Work, context: contextvars.Context) -> asyncio.Task[None] | None:
            spare, task = self._spare, self._spare.task
            if not spare.is_ready and not spare.make_ready():
                if task.done():
                    self._spare = _SpareTask(self._loop)
                return asyncio.Task(work, loop=self._loop, context=context)  # begins with the loop's next turn
            loop, (enter, leave, callbacks_of) = self._loop, self._sharing
            enter(loop, task)
            try:
                # Not work.send(): its end would be an exception, for 1,300 instructions.
                yielded = context.run(next, work.__await__(), _ENDED)
            except BaseException:
                self._replace()
                raise
            finally:
                leave(loop, task)
            if yielded is not _ENDED:
                self._spare = _SpareTask(self._loop)
                spare.take_over(work, context, yielded)
                return task
            if spare.is_known() or callbacks_of(task) is not None:
                self._replace()
            return None

        def _replace(self) -> None:
            """The work that was done in the task has ended, and so does the task."""
            self._spare.end()
            self._spare = _SpareTask(self._loop)

        def close(self) -> None:
            self._spare.end()

    class _SpareTask:
        """A task that waits to become a coroutine's own."""

        __slots__ = ("_begun", "_handed_over", "_name", "_references", "_weak_references", "_work", "is_ready", "task")

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self._work: tuple[_Work, contextvars.Context, _Yielded] | None = None
            self._begun = False
            self._handed_over = loop.create_future()
            self.is_ready = False
            self.task = asyncio.Task(self._run(), loop=loop, context=contextvars.Context())

        def make_ready(self) -> bool:
            """Whether it may be used: a task that is cancelled before its own first step never takes one."""
            self._references = getrefcount(self.task) + 1  # the local name of ``is_known``
            self._weak_references = getweakrefcount(self.task)
            self._name = self.task.get_name()
            self.is_ready = self._begun
            return self._begun

        def is_known(self) -> bool:
            """Whether what has run in it left a trace: it is held, has a name, or was cancelled."""
            task = self.task
            return (
                getrefcount(task) != self._references
                or getweakrefcount(task) != self._weak_references
                or task.get_name() is not self._name
                or self._handed_over.done()  # cancelled
            )

        def take_over(self, work: _Work, context: contextvars.Context, yielded: _Yielded) -> None:
            """Go on with a coroutine that waits for ``yielded``."""
            self._work = (work, context, yielded)
            self.end()

        def end(self) -> None:
            """Have the task end when its work has."""
            if not self._handed_over.done():  # or it was cancelled, by what has run in it
                self._handed_over.set_result(None)

        async def _run(self) -> None:
            self._begun = True
            cancelled = None
            try:
                await self._handed_over
            except asyncio.CancelledError as error:
                cancelled = error
            self._begun = self.is_ready = False  # somebody may have cancelled all tasks that there are
            if self._work is not None:
                await _go_on(*self._work, cancelled)

    @types.coroutine
    def _go_on(
        work: _Work, context: contextvars.Context, yielded: _Yielded, cancelled: asyncio.CancelledError | None
    ) -> Generator[_Yielded, None, None]:
        """Drive a coroutine that waits for ``yielded``, each step in its own context.

        One that was cancelled before that is treated as a task does it: what it waits for is cancelled, if possible.
        """
        try:
            if cancelled is not None and (yielded is None or not yielded.cancel(*cancelled.args)):
                yielded = context.run(work.throw, cancelled)
            while True:
                try:
                    value = yield yielded
                except BaseException as error:
                    yielded = context.run(work.throw, error)
                else:
                    yielded = context.run(work.send, value)
        except StopIteration:
            return
