"""``zerorpc.every`` of an AsyncClient with hooks: for these it is one call, and its items are the outcomes."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from zerorpc.client.async_call import Call
from zerorpc.client.async_call_hooks import AsyncCourse
from zerorpc.client.async_replies import AsyncReplies, EveryCaller
from zerorpc.client.call_hooks import ClientCall
from zerorpc.client.every import Asked, Outcome, Peer
from zerorpc.client.every_hooks import as_hooks_want, call_of, outcome_of
from zerorpc.hooks import Around, enter_on_loop
from zerorpc.settings import ClientSettings

__all__ = ["HookedAsyncReplies"]


class HookedCaller(EveryCaller, Protocol):
    """The core of an AsyncClient with hooks."""

    settings: ClientSettings


class HookedAsyncReplies(AsyncReplies):
    """The outcomes, with the hooks around all of them. They are left after the last, or when it is closed."""

    _core: HookedCaller
    _course: _EveryCourse | None = None  # from when the first outcome is asked for
    _answer: tuple[Peer, Outcome] | None = None  # of a hook

    async def __anext__(self) -> tuple[Peer, Outcome]:
        try:
            found = await super().__anext__()
        except StopAsyncIteration:
            answer, self._answer = self._answer, None
            if answer is not None:
                return answer
            if self._course is not None:
                await self._course.end(None)
            raise
        assert self._course is not None
        try:
            self._course.call.pass_item(found)
        except BaseException as error:
            super().close()
            await self._course.end(error)
            raise StopAsyncIteration from None
        return found

    async def _begin(self) -> None:
        self._core.attach()
        course = self._course
        if course is None:
            call = call_of(self._asked)
            around = Around(self._core.settings.on_call or (), call, enter_on_loop)
            course = self._course = _EveryCourse(self._core.loop, around)
            course.reader = weakref.ref(self)
            await course.entered(self._core.create_future)
            self._asked: Asked = as_hooks_want(self._asked, call)
        if course.call.answered:
            self._begun: bool = True
            self._answer = outcome_of(course.call)
            return
        try:
            await super()._begin()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await course.end(error)
            raise StopAsyncIteration from None

    def cut_off(self) -> None:
        super().close()

    def close(self) -> None:
        super().close()
        if self._course is not None:
            self._course.end_soon()

    async def aclose(self) -> None:
        super().close()
        if self._course is not None:
            await self._course.end(None)

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        super().__del__()
        if self._course is not None:
            self._course.drop()


class _EveryCourse(AsyncCourse):
    """The hooks around all of the calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop, around: Around[ClientCall]) -> None:
        super().__init__(loop, around, _not_sent)

    async def entered(self, create_future: Callable[[], asyncio.Future[None]]) -> None:
        """Until the hooks are. Raises what one has raised."""
        if not self.told:
            self.waiter = create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None
        if self.error is not None:
            raise self.error

    async def _act(self) -> None:
        self._tell(None)
        await self._until_stream_ends()


def _not_sent() -> Call:
    raise NotImplementedError
