"""The tasks in which the functions run that an AsyncClient has lent to a call."""

from __future__ import annotations

import asyncio
import contextvars
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
        self._tasks[call.number] = self._core.loop.create_task(self._run(call), context=self._context.copy())

    async def _run(self, call: CallBack) -> None:
        CURRENT.set(self._scope)
        what: object
        try:
            value = call.run()
            returned, what = True, await value if inspect.isawaitable(value) else value
        except BaseException as error:
            returned, what = False, error
        self._tasks.pop(call.number, None)
        tell_outcome(self._channel, call.number, returned, what)
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
