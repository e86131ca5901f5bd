"""An argument that streams, as the method reads it: an iterator, on a thread or on the loop."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from zerorpc.errors import Cancelled, RemoteError
from zerorpc.protocol.events import ERR, STREAM
from zerorpc.protocol.patterns import remote_error
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.service.stream_parameters import Items
from zerorpc.transport.aio_link import AioLink

__all__ = ["LoopItems", "ThreadItems"]


class _Items(Items):
    """What both have. The client sends nothing before the first item is asked for."""

    def __init__(self, channel: ServerChannel, link: AioLink, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._link = link
        self._loop = loop
        self._over: Exception | None = None  # what is raised from now on: at the end StopAsyncIteration

    def _begin(self) -> None:
        """Let items come. On the loop."""
        if self._channel.inflow is None and not self._channel.closed:
            self._channel.accept_items()
            self._link.flush_soon()

    def _grant(self) -> None:
        """Let more of them come. On the loop."""
        if self._channel.grant():
            self._link.flush_soon()

    def _end(self) -> Exception | None:
        """What to raise if nothing more will come, though the client hasn't said so."""
        channel = self._channel
        if self._over is None and (channel.closed or channel.finished):
            return Cancelled(f"the caller of {channel.name} sends no more: it waits no longer, or has the answer")
        return copy.copy(self._over)

    def _taken(self, name: str, args: object) -> Any:
        """The item; the end of all raised."""
        if name == STREAM:
            return args if self.convert is None else self.convert(args)
        self._over = _failure(args, self._channel.name) if name == ERR else StopAsyncIteration()
        raise copy.copy(self._over)

    def _is_low(self) -> bool:
        inflow = self._channel.inflow
        return inflow is not None and inflow.granted + len(inflow.inbox) <= inflow.low


class ThreadItems(_Items, Iterator[Any]):
    """For a plain method. Several threads may read: each item goes to one of them."""

    def __init__(
        self, channel: ServerChannel, link: AioLink, loop: asyncio.AbstractEventLoop, park: Callable[[int], None]
    ) -> None:
        super().__init__(channel, link, loop)
        self._park = park
        self._condition = threading.Condition()
        channel.reader = self

    def __next__(self) -> Any:
        """The next item. Raises StopIteration at the end, RemoteError if the caller's iterator raised, Cancelled."""
        try:
            event = self._next_event()
            if self._is_low():
                with contextlib.suppress(RuntimeError):  # the loop is closed: nothing more will come
                    self._loop.call_soon_threadsafe(self._grant)
            return self._taken(event.name, event.args)
        except StopAsyncIteration:
            raise StopIteration from None

    def _next_event(self) -> Any:
        begun = False
        while True:
            with self._condition:
                inflow = self._channel.inflow
                if inflow is not None and inflow.inbox and self._over is None:
                    return inflow.inbox.popleft()[0]
                if (over := self._end()) is not None:
                    self._condition.notify_all()
                    raise over
                if begun or inflow is not None:
                    self._park(1)
                    try:
                        self._condition.wait()
                    finally:
                        self._park(-1)
                    continue
            begun = True
            self._loop.call_soon_threadsafe(self._begin)

    def wake(self) -> None:
        with self._condition:
            self._condition.notify_all()


class LoopItems(_Items, AsyncIterator[Any]):
    """For a method on the loop. Several tasks may read: each item goes to one of them."""

    def __init__(self, channel: ServerChannel, link: AioLink, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(channel, link, loop)
        self._waiting: list[asyncio.Future[None]] = []
        channel.reader = self

    async def __anext__(self) -> Any:
        """The next item. Raises StopAsyncIteration at the end, else what ``ThreadItems`` does."""
        self._begin()
        channel = self._channel
        while channel.inflow is None or not channel.inflow.inbox or self._over is not None:
            if (over := self._end()) is not None:
                self.wake()
                raise over
            future = self._loop.create_future()
            self._waiting.append(future)
            await future
        event = channel.inflow.inbox.popleft()[0]
        self._grant()
        return self._taken(event.name, event.args)

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _failure(args: object, method: str) -> RemoteError:
    """The caller's iterator raised."""
    told = remote_error(args, 3)
    return RemoteError(told.name, told.msg, told.traceback, method=method)
