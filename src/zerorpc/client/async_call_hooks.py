"""The hooks of ``AsyncClient(…, on_call=…)``: each call has a task for them, in which they begin and end."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, Protocol

from zerorpc.client.async_call import AsyncStream, Call, LoopCaller, items_of
from zerorpc.client.call_hooks import ClientCall, hooked_options
from zerorpc.client.call_options import CallOptions, take_old_spelling
from zerorpc.errors import LostRemote
from zerorpc.hooks import Around, enter_on_loop
from zerorpc.remote_method import method_name
from zerorpc.settings import ClientSettings

__all__ = ["AsyncCourse", "AsyncHooked", "HookedAsyncCall"]

_USUAL = CallOptions()


class AsyncHooked:
    """Stands before an AsyncClient's core. A class of its own, so that a call without hooks costs nothing."""

    settings: ClientSettings
    old_spelling: tuple[str, ...]

    def call(
        self,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None = None,
    ) -> Call:
        """``AsyncClient.__call__``. What that raises at once, this raises when it is awaited."""
        core: Any = self
        core.attach()
        if kwargs and options is None:
            options = take_old_spelling(self.old_spelling, kwargs)
        given = options or _USUAL
        call = ClientCall(method_name(method), args, kwargs, given)
        return HookedAsyncCall(core, AsyncCourse(core.loop, self._around(call), lambda: self._send(call, given)))

    def _around(self, call: ClientCall) -> Around[ClientCall]:
        return Around(self.settings.on_call or (), call, enter_on_loop)

    def _send(self, call: ClientCall, options: CallOptions) -> Call:
        made: Call = super().call(  # type: ignore[misc]  # the core stands behind it
            call.method, tuple(call.args), dict(call.kwargs), hooked_options(call, options)
        )
        return made


class Reader(Protocol):
    """A stream, or what ``every`` gives."""

    def cut_off(self) -> None:
        """There are no further items: the course's ``end`` says why."""


class AsyncCourse:
    """One call with its hooks, in a task: until its outcome, or until its stream has ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop, around: Around[ClientCall], send: Callable[[], Call]) -> None:
        self.call: ClientCall = around.call
        self.inner: Call | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.told: bool = False  # there is an outcome
        self.streams: bool = False  # which is a stream
        self.forgotten: bool = False  # nobody will ask for it
        self.waiter: asyncio.Future[None] | None = None  # who awaits it
        self.reader: weakref.ref[Reader] | None = None  # who takes what the hooks are around, item by item
        self._begun = False
        self._given_up = False
        self._around = around
        self._send = send
        self._loop = loop
        self._stream_end: asyncio.Future[BaseException | None] = loop.create_future()
        self.task: asyncio.Task[None] = loop.create_task(self._run())

    async def _run(self) -> None:
        call = self.call
        self._begun = True
        if not self._given_up:
            try:
                await self._around.enter()
                if not call.answered:
                    await self._act()
            except BaseException as error:
                self.error = await self._failed(error)
            else:
                self.error = await self._raised_by(self._around.leave())
        if self._given_up and (self.error is None or isinstance(self.error, asyncio.CancelledError)):
            self.error = LostRemote(f"the call of {call.method} was given up")
            self.error.method, self.error.ran = call.method, None if self.inner is not None else False
        if not self.told:
            self._tell(call.result)
        elif self.error is not None and (not self._stream_end.done() or self._stream_end.cancelled()):
            self._cut_off()

    def give_up(self) -> None:
        """Nobody wants it any more. A task that has not begun is let begin: it tells so."""
        self._given_up = self._given_up or not self.told
        if self._begun:
            self.task.cancel()

    def _cut_off(self) -> None:
        """A hook has ended before the stream that it is around: so does that, and its reader is told why."""
        reader = None if self.reader is None else self.reader()
        if reader is not None:
            reader.cut_off()

    async def _act(self) -> None:
        """Inside of the hooks."""
        self.inner = self._send()
        value = await self.inner
        if not isinstance(value, AsyncStream):
            self.call.result = value
            return
        self.streams = True
        stream = HookedAsyncStream(value, self)
        self.reader = weakref.ref(stream)
        self._tell(stream)
        del value, stream  # whoever has the stream may drop it
        await self._until_stream_ends()

    async def _until_stream_ends(self) -> None:
        error = await self._stream_end
        if error is not None:
            raise error

    async def _failed(self, error: BaseException) -> BaseException | None:
        """What is raised in the end."""
        try:
            raised = await self._around.fail(error)
        except BaseException as other:
            return other
        if raised or not (self.call.answered or self.told):
            return error
        return None

    @staticmethod
    async def _raised_by(step: Coroutine[object, object, None]) -> BaseException | None:
        try:
            await step
        except BaseException as error:
            return error
        return None

    def _tell(self, value: object) -> None:
        self.told = True
        if not self.forgotten:
            self.value = value
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    # For the call

    def take(self) -> Any:
        """The outcome, which is there. Of a stream it is given away."""
        if self.error is not None:
            raise self.error
        value = self.value
        if self.streams:
            self.value = None
        return value

    def forget(self) -> None:
        """Nobody will take it: of a stream nobody wants the items."""
        self.forgotten = True
        self.value = None

    # For its stream

    def end_soon(self, error: BaseException | None = None) -> None:
        """The stream has ended. Safe to call twice."""
        if not self._stream_end.done():
            self._stream_end.set_result(error)

    def drop(self) -> None:
        """The same from a finalizer: in any thread, at any moment."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.end_soon)

    async def end(self, error: BaseException | None) -> None:
        """The stream has ended: raise its error, or what the hooks make of it."""
        self.end_soon(error)
        await asyncio.wait([self.task])
        if self.error is not None:
            raise self.error


class HookedAsyncCall(Call):
    """A call of a client with hooks: for its users a Call. It is sent soon, and not at once."""

    __slots__ = ("_course",)

    def __init__(self, core: LoopCaller, course: AsyncCourse) -> None:
        self._caller = core
        self._course = course

    def __await__(self) -> Generator[Any, Any, Any]:
        course = self._course
        if not course.told:
            if course.waiter is not None:
                raise self._awaited_already()
            course.waiter = self._caller.create_future()
            try:
                yield from course.waiter
            except BaseException:
                self.close()
                raise
            finally:
                course.waiter = None
        if course.streams:
            self.take_stream()
        return course.take()

    async def __aiter__(self) -> AsyncIterator[Any]:
        result = await self
        if not isinstance(result, AsyncStream):
            for item in items_of(result, self.method) if result is not None else ():
                yield item
            return
        async with contextlib.aclosing(result):
            async for item in result:
                yield item

    @property
    def method(self) -> str:
        return self._course.call.method

    @property
    def metadata(self) -> dict[str, str | bytes]:
        return self._course.call.reply_metadata

    @property
    def end_metadata(self) -> dict[str, str | bytes]:
        return self._course.call.end_metadata

    # For event loops, as a coroutine's

    def send(self, value: object, /) -> Any:
        steps = getattr(self, "_steps", None)
        if steps is None:
            if self._course.waiter is not None:
                raise self._awaited_already()
            steps = self._steps = self.__await__()
        return self._step(steps.send, value)

    def throw(self, *error: object) -> Any:
        """Before the first step, too, it gives the call up."""
        steps = getattr(self, "_steps", None)
        if steps is None:
            if self._course.waiter is None:
                self.close()
            steps = self._steps = self.__await__()
        return self._step(steps.throw, *error)

    def close(self) -> None:
        """Give the call up, if it is still under way."""
        self._course.give_up()

    def _awaited_already(self) -> RuntimeError:
        return RuntimeError(f"this call of {self.method} is being awaited already")

    def __del__(self) -> None:
        course: AsyncCourse | None = getattr(self, "_course", None)
        if course is not None:
            course.forget()

    def __repr__(self) -> str:
        return f"<HookedAsyncCall {self.method}{'' if self._course.told else ': waits'}>"


class HookedAsyncStream(AsyncStream):
    """A stream with the hooks around it: they are left when it has ended, was closed, or is dropped."""

    __slots__ = ("__weakref__", "_course", "_cut")

    def __init__(self, stream: AsyncStream, course: AsyncCourse) -> None:
        super().__init__(stream._core, stream._request)
        stream._ended = True  # this one takes its place
        self._course = course
        self._cut = False  # and whoever reads it doesn't know yet

    async def __anext__(self) -> Any:
        if self._ended and not self._cut:
            raise StopAsyncIteration
        try:
            item = await super().__anext__()
        except StopAsyncIteration:
            self._cut = False
            await self._course.end(None)
            raise
        except BaseException as error:
            if not self._ended:  # the wait was cancelled, or another task reads
                raise
            await self._course.end(error)
            raise StopAsyncIteration from None
        try:
            self._course.call.pass_item(item)
        except BaseException as error:
            super().close()
            await self._course.end(error)
            raise StopAsyncIteration from None
        return item

    def cut_off(self) -> None:
        self._cut = not self._ended
        super().close()

    def close(self) -> None:
        super().close()
        self._course.end_soon()

    async def aclose(self) -> None:
        super().close()
        await self._course.end(None)

    def __del__(self) -> None:
        super().__del__()
        self._course.drop()
