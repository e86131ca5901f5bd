"""The tasks in which the functions run that an AsyncClient has lent to a call."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from typing import Protocol

from zerorpc.client.lending import Within, tell_outcome
from zerorpc.protocol.channel import CallCarrier, ClientChannel
from zerorpc.protocol.lent import CallBack
from zerorpc.scope import CURRENT

__all__ = ["TaskFunctions"]


class FunctionCaller(Protocol):
    """The core of an AsyncClient."""

    loop: asyncio.AbstractEventLoop

    def flush_soon(self, peer: CallCarrier) -> None: ...


class TaskFunctions:
    """Runs the functions of one call on the loop, each in a task, in a copy of the caller's context."""

    def __init__(self, core: FunctionCaller, channel: ClientChannel) -> None:
        assert channel.lent is not None
        self._core = core
        self._channel = channel
        self._scope = Within(channel)
        self._context = contextvars.copy_context()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        channel.lent.hand = self

    def begin(self, call: CallBack) -> None:
        if self._scope.over:  # it was an earlier attempt's
            self._scope = Within(self._channel)
        task = self._core.loop.create_task(self._run(call, self._scope), context=self._context.copy())
        self._tasks[call.number] = task
        task.add_done_callback(functools.partial(self._ended, call.number, self._scope))

    async def _run(self, call: CallBack, scope: Within) -> None:
        CURRENT.set(scope)
        what: object
        try:
            value = call.run()
            returned, what = True, await value if inspect.isawaitable(value) else value
        except BaseException as error:
            returned, what = False, error
        self._tell(call.number, scope, returned, what)

    def _ended(self, number: int, scope: Within, task: asyncio.Task[None]) -> None:
        if self._tasks.get(number) is task:  # it was cancelled before it began
            self._tell(number, scope, False, asyncio.CancelledError())

    def _tell(self, number: int, scope: Within, returned: bool, what: object) -> None:
        self._tasks.pop(number, None)
        tell_outcome(self._channel, scope, number, returned, what)
        if self._channel.peer is not None:
            self._core.flush_soon(self._channel.peer)

    def forget(self, number: int) -> None:
        task = self._tasks.get(number)
        if task is not None:
            task.cancel()

    def end(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
        self._scope.end()
