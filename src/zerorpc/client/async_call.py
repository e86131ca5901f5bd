"""A call of an AsyncClient, to be awaited, and the stream that it may turn out to be."""

from __future__ import annotations

import asyncio
import copy
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any, Protocol

from zerorpc.client.request import Caller, Request
from zerorpc.errors import ZeroRPCError
from zerorpc.not_picklable import NotPicklable
from zerorpc.protocol.channel import STATE_STREAMING, CallCarrier
from zerorpc.protocol.events import STREAM

__all__ = ["AsyncStream", "Call", "items_of"]


class LoopCaller(Caller, Protocol):
    """The core of an AsyncClient."""

    loop: asyncio.AbstractEventLoop
    create_future: Callable[[], asyncio.Future[None]]  # the loop's

    def flush_soon(self, peer: CallCarrier) -> None:
        """Send what the peer has to send, unless it is lost."""


class Call(NotPicklable, Request, Coroutine[Any, Any, Any]):
    """A call on its way. Await it for the value (or the stream), or iterate over it: only the reply tells which.

    It may be given to ``asyncio.create_task``, ``gather`` or ``wait_for`` like any coroutine, and awaited again for
    the same value. It raises RuntimeError while another task awaits it, and when its stream was taken before: a call
    gives its stream once.

    A call that nobody awaits still runs on the server.
    """

    # Until it is awaited, a call is itself its channel's waiter (``protocol.channel.Waiter`` lists what may be one). A
    # ``__del__`` in its place would cost each call 0.1 us.

    __slots__ = ("_steps", "_stream_taken")

    _caller: LoopCaller
    _steps: Generator[Any, Any, Any] | None  # unset until the call is driven as a coroutine
    _stream_taken: bool  # unset until there is a stream, and somebody has it

    def __await__(self) -> Generator[Any, Any, Any]:
        channel = self.channel
        if not channel.answered:
            if channel.waiter is not self:
                raise self._awaited_already()
            channel.waiter = future = self._caller.create_future()
            try:
                # As `yield from` does it, but for the exception by which a future tells its result: 1,000 instructions.
                yield next(iter(future))
            except BaseException:
                channel.waiter = None
                self._caller.abandon(
                    channel
                )  # a stream too, whose first item came in the very turn of the cancellation
                raise
            channel.waiter = None
        elif type(channel.waiter) is _Unclaimed:
            channel.waiter = None
        try:
            return self.outcome()
        except ZeroRPCError as error:
            if error is channel.error:  # else they are a circle: the error, its traceback, a frame there, the channel
                channel.error = copy.copy(error)
            raise

    @property
    def method(self) -> str:
        """The name of what is called."""
        return self.channel.method

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The items: of the stream, or of the list that the method returned. TypeError for a dict, a text, a number."""
        result = await self
        if not isinstance(result, AsyncStream):
            for item in items_of(result, self.channel.method) if result is not None else ():  # Node: an empty stream
                yield item
            return
        inbox = result._inbox
        try:
            while inbox or await result._wait():
                item = result._take()
                if item is _END:
                    return
                yield item
        finally:
            result.close()

    def _awaited_already(self) -> RuntimeError:
        return RuntimeError(f"this call of {self.channel.method} is being awaited already")

    def send(self, value: object, /) -> Any:
        """For event loops, as a coroutine's."""
        steps = getattr(self, "_steps", None)
        waiter = self.channel.waiter
        if steps is None:
            steps = self._steps = self.__await__()
        elif asyncio.isfuture(waiter) and not waiter.done():
            raise self._awaited_already()
        return self._step(steps.send, value)

    def throw(self, *error: object) -> Any:
        """For event loops, as a coroutine's. Before the first step, too, it gives the call up."""
        steps = getattr(self, "_steps", None)
        if steps is None:
            if not self._is_awaited:  # else it is another's to give up
                self.close()
            steps = self._steps = self.__await__()
        return self._step(steps.throw, *error)

    def _step(self, act: Callable[..., object], *args: object) -> object:
        try:
            return act(*args)
        except BaseException:
            self._steps = None  # over: a further task starts anew, as a further await does
            raise

    def close(self) -> None:
        """Give the call up, if it is still under way."""
        steps = getattr(self, "_steps", None)
        if steps is not None:
            steps.close()
        channel = self.channel
        if not channel.answered or type(channel.waiter) is _Unclaimed:
            if not self._is_awaited:
                channel.waiter = None
            self._caller.abandon(channel)

    @property
    def _is_awaited(self) -> bool:
        return asyncio.isfuture(self.channel.waiter)

    def take_stream(self) -> None:
        """Its stream is handed out, which happens once. RuntimeError for the second who wants it."""
        if getattr(self, "_stream_taken", False):
            raise RuntimeError(
                f"this stream of {self.method} is being read by another task, or has been read: "
                "a call gives its stream once"
            )
        self._stream_taken = True

    def set_result(self, result: None) -> None:
        """As a waiter: there is a reply, and nobody awaits it yet."""
        channel = self.channel
        channel.waiter = _Unclaimed(self) if channel.state is STATE_STREAMING else None

    def __repr__(self) -> str:
        return f"<Call {self.channel!r}>"


def items_of(value: object, method: str) -> Iterable[Any]:
    """What a method returned instead of a stream, where a stream was expected. TypeError for what is no list of items.

    Python would iterate over a dict's keys, and a text's characters: hardly what was meant.
    """
    if isinstance(value, Iterable) and not isinstance(value, (Mapping, str, bytes, bytearray)):
        return value
    kind = type(value).__name__
    raise TypeError(f"{method} returned {kind}, and no stream of items: await it, as in `await client.{method}(…)`")


class _Unclaimed(weakref.ref[Call]):
    """The waiter of a stream that began before anybody awaited its Call: if that goes, so does the stream."""

    __slots__ = ("_caller", "_channel")

    def __new__(cls, call: Call) -> _Unclaimed:
        return super().__new__(cls, call, _Unclaimed._give_up)

    def __init__(self, call: Call) -> None:
        self._caller = call._caller
        self._channel = call.channel

    def _give_up(self) -> None:
        self._caller.drop(self._channel)

    def set_result(self, result: None) -> None:
        """As a waiter: there are further items, and still nobody awaits them."""


class AsyncStream(NotPicklable):
    """The items of a streaming method, as an async iterator.

    Closing it (or dropping it, or leaving ``async for`` over a Call early) frees what the stream holds here and at a
    server of ours, and ends the iteration of a task that waits for an item. Cancelling the wait for an item is safe:
    nothing is lost, and iteration can go on, in another task as well. Two tasks can't read at the same time. For use on
    the client's event loop only.
    """

    __slots__ = ("_core", "_ended", "_inbox", "_inflow", "_request")

    def __init__(self, core: LoopCaller, request: Request) -> None:
        self._core = core
        self._request = request
        inflow = request.channel.inflow
        assert inflow is not None
        self._inflow = inflow
        self._inbox = inflow.inbox
        self._ended = False

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Any:
        """The next item. Raises what a call raises, StopAsyncIteration at the end.

        Raises RuntimeError while another task waits for the next item; that task still gets it.
        """
        if self._ended:
            raise StopAsyncIteration
        if not self._inbox and not await self._wait():
            raise StopAsyncIteration
        item = self._take()
        if item is _END:
            raise StopAsyncIteration
        return item

    def latest(self) -> AsyncStream:
        """Have the next item always be the newest that there is; this very stream, for ``for``.

        What comes while the reader is at work is left out at the server, which goes on making items: for cameras and
        robots. An item is asked for when the reader wants it, which takes a round trip. Raises RuntimeError after the
        first item was read, and NotSupported for a server of zerorpc 0.6.
        """
        channel = self._request.channel
        channel.want_newest()
        if channel.peer is not None:
            self._core.flush_soon(channel.peer)
        return self

    @property
    def dropped(self) -> int:
        """How many items were left out so far, because of ``latest``."""
        return self._inflow.dropped

    @property
    def metadata(self) -> dict[str, str | bytes]:
        """What the method has sent along with its first item (``current_call().reply_metadata``)."""
        return self._request.metadata

    @property
    def end_metadata(self) -> dict[str, str | bytes]:
        """What it has sent along with the end (``current_call().end_metadata``); empty before that was read."""
        return self._request.end_metadata

    async def _wait(self) -> bool:
        """Until the channel is readable; False when the stream was closed instead, or another reader had its end."""
        channel = self._request.channel
        while not channel.readable and not self._ended:
            if channel.waiter is not None:
                raise RuntimeError(f"this stream of {channel.method} is being read by another task")
            channel.waiter = future = self._core.loop.create_future()
            if self._inflow.newest_only:
                channel.grant()
            peer, until = channel.peer, channel.begin_wait(self._core.loop.time())
            if peer is not None and (until is not None or peer.connection.output):
                self._core.flush_soon(peer)  # which also sets the timer
            try:
                await future
            finally:
                channel.waiter = None
                channel.end_wait()
        return not self._ended

    def _take(self) -> Any:
        """The next item, once the channel is readable; _END, or the error raised."""
        request, channel = self._request, self._request.channel
        self._ended = True  # unless it is an item
        if not self._inbox:
            request.complete_error()
            error, channel.error = channel.error, None  # or they would be a circle, by way of the error's traceback
            assert error is not None
            try:
                request.failed(error)
                raise error
            finally:
                del error
        event, data = channel.next_event()
        peer = channel.peer
        if peer is not None and peer.connection.output:  # credit
            self._core.flush_soon(peer)
        if event.name == STREAM and request.event is None:
            self._ended = False
            return event.args
        is_item, item = request.item(event, data)
        self._ended = not is_item
        return item if is_item else _END

    def close(self) -> None:
        """Take no more items; a server of ours is told. Safe to call twice."""
        if not self._ended:
            self._ended = True
            self._core.abandon(self._request.channel)

    async def aclose(self) -> None:
        """``close``, under the name that ``contextlib.aclosing`` wants."""
        self.close()

    def __del__(self) -> None:
        if not self._ended:
            self._core.drop(self._request.channel)


_END: Any = object()
