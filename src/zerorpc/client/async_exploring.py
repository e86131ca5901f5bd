"""The same as exploring.py for an AsyncClient: its ``dir`` waits for nothing, and the server is asked in a task."""

from __future__ import annotations

import asyncio
from math import inf
from os import getpid
from time import monotonic
from typing import Protocol

from zerorpc.client.async_call import Call
from zerorpc.client.call_options import CallOptions
from zerorpc.client.description import Description
from zerorpc.client.exploring import AGAIN, INSPECT, LIST, TIME, question
from zerorpc.errors import RemoteError
from zerorpc.runtime.loops import running_loop

__all__ = ["AsyncExploring", "explored"]


class AsyncCore(Protocol):
    """The core of an AsyncClient."""

    exploring: AsyncExploring | None

    @property
    def loop_if_attached(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it belongs to, None if it belongs to none yet."""

    def call(
        self, method: str, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions, /
    ) -> Call: ...


class AsyncExploring:
    """What is known of the methods of a client's servers, and when they were asked. It holds no client."""

    def __init__(self) -> None:
        self.pid: int = getpid()
        self.description: Description | None = None
        self._begun = -inf
        self._task: asyncio.Task[None] | None = None  # or nothing would refer to it

    def ask(self, core: AsyncCore) -> None:
        """Ask soon, unless that was done. From any thread.

        A client that belongs to no loop yet isn't given one here: at a prompt it could be that of the prompt.
        """
        loop, now = core.loop_if_attached, monotonic()
        if loop is None or loop.is_closed() or now < self._begun + AGAIN:
            return
        self._begun = now
        if loop is running_loop():
            self._start(core, loop)
        else:
            loop.call_soon_threadsafe(self._start, core, loop)

    def _start(self, core: AsyncCore, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run(core))

    async def _run(self, core: AsyncCore) -> None:
        try:
            self.description = Description(await _answer(core))
        except Exception:  # nobody is there, it is closed, a hook of the program raised, …
            return
        finally:
            self._task = None


def explored(core: AsyncCore, ask: bool) -> Description | None:
    """What is known of a client's methods; with ``ask`` its server is asked for them, unless that was done."""
    exploring = core.exploring
    if exploring is None or exploring.pid != getpid():
        if not ask:
            return None if exploring is None else exploring.description
        exploring = core.exploring = AsyncExploring()
    if ask and exploring.description is None:
        try:
            exploring.ask(core)
        except RuntimeError:  # the loop was closed just now
            return None
    return exploring.description


async def _answer(core: AsyncCore) -> object:
    end = monotonic() + TIME
    try:
        return await core.call(INSPECT, (), {}, question(TIME))
    except RemoteError:
        return await core.call(LIST, (), {}, question(max(0.001, end - monotonic())))
