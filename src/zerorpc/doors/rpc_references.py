"""Functions and objects that stay at the other side: those that a caller has lent to a method, and those that methods
return (docs/protocol.md, References).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from math import inf
from time import monotonic
from typing import Any

from msgspec.msgpack import Ext

from zerorpc.errors import Cancelled, Closed, RemoteError, SerializationError, TimeoutExpired
from zerorpc.protocol.events import Buffer, encode
from zerorpc.protocol.framed import FramedEvent
from zerorpc.protocol.lent import decode_request
from zerorpc.protocol.patterns import remote_error
from zerorpc.protocol.references import CALL_BACK, FORGET, RELEASE, LendingMessage, Outcome, Pending, Reference
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.remote_objects import ByReference, Lease, RemoteFunction, RemoteObject, name_if_function
from zerorpc.runtime.loops import running_loop
from zerorpc.scope import CURRENT
from zerorpc.service.collecting import collect
from zerorpc.service.methods import Method
from zerorpc.transport.aio_link import AioLink

__all__ = ["LoopLease", "ThreadLease", "borrow_arguments", "encode_with_references", "lent_method"]


# What methods return


def encode_with_references(channel: ServerChannel, header: dict[str, object], name: str, args: object) -> bytes:
    """Pack an event, perhaps with functions or objects in it. Raises SerializationError for what can't be sent at all,
    and for those where the caller can't take them.
    """
    peer, call = channel.peer, channel.call
    natural = peer.level >= 1
    if not natural or (call is not None and call.key is not None):
        return encode(header, name, args, natural)
    numbers: list[int] = []

    def lend(value: Any) -> Ext | None:
        if type(value) is ByReference:
            name, methods = None, collect(value.target)
        elif (name := name_if_function(value)) is not None:
            methods = {name: Method(name, value)}
        else:
            return None
        number, reference = peer.lent.lend(name, methods)
        numbers.append(number)
        return reference

    try:
        data = encode(header, name, args, natural, lend)
    except BaseException:
        peer.lent.release(numbers)
        raise
    if not numbers:
        return data
    message = LendingMessage(data)
    message.numbers = numbers
    if isinstance(data, FramedEvent):
        message.buffers = data.buffers
    return message


def lent_method(channel: ServerChannel, name: str) -> Method | None:
    """The method that a request calls of what was lent; None if it isn't lent any more, or has no such method."""
    method = (channel.target or {}).get(name)
    return method if isinstance(method, Method) else None


# What a caller has lent


def borrow_arguments(channel: ServerChannel, make_lease: Callable[[int], Lease]) -> tuple[Any, dict[str, Any] | None]:
    """The arguments of a request, those by position and those by keyword, with what stands for each reference among
    them. Raises ValueError for what can't be decoded.
    """

    def borrow(reference: Reference) -> object:
        lease = make_lease(reference.number)
        return RemoteObject(lease) if reference.name is None else RemoteFunction(lease, reference.name)

    channel.pending = Pending(channel.peer.lent)
    return decode_request(channel.data, borrow)


class _Lease:
    """What a caller has lent to one call. Over with that call."""

    def __init__(self, channel: ServerChannel, link: AioLink, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self._channel = channel
        self._link = link
        self._loop = loop
        self._number = number
        self._released = False

    def _pack(self, number: int, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> bytes:
        """The event that has it called. Raises what the call then raises."""
        channel = self._channel
        self._check()
        asked = (number, self._number, name, args, kwargs)
        header = channel.peer.event_header(channel)
        try:
            return encode_with_references(channel, header, CALL_BACK, asked)
        except SerializationError as error:
            raise SerializationError(f"the arguments of {name} can't be sent: {error}") from None

    def _check(self) -> None:
        channel = self._channel
        if self._released:
            raise Closed("this was released, and can't be called any more")
        if channel.closed:
            raise Cancelled(f"the caller of {channel.name} waits no longer, and so its functions can't be called")
        if channel.finished:
            raise Closed(f"what the caller of {channel.name} has passed can be called as long as that call goes on")

    def _begin(self, number: int, asker: _Asker, data: bytes) -> None:
        """On the loop."""
        channel = self._channel
        if channel.closed or channel.finished or channel.pending is None:
            channel.peer.lent.take_back([data])
            asker.set_outcome(None)
            return
        channel.pending.begin(number, asker, lambda: self._send(data), data)

    def _send(self, data: Buffer) -> None:
        if not self._channel.closed:
            self._channel.peer.send_event(self._channel, data)
            self._link.flush_soon()

    def _forget(self, number: int) -> None:
        """Nobody waits for the outcome any more. On the loop."""
        pending = self._channel.pending
        if pending is not None and pending.forget(number):
            self._tell(FORGET, number)

    def _tell(self, name: str, number: int) -> None:
        channel = self._channel
        if not channel.closed and not channel.finished:
            self._send(encode(channel.peer.event_header(channel), name, [number]))

    def _value(self, name: str, outcome: Outcome | None) -> Any:
        """What the function returned, or what it raised."""
        if outcome is None:
            self._check()
            raise Cancelled(f"the call of {self._channel.name} is over, and {name} with it")
        if outcome.returned:
            return outcome.what
        told = remote_error(outcome.what, 3)
        raise RemoteError(told.name, told.msg, told.traceback, ran=True, method=name)

    def _seconds_left(self) -> float:
        """Of a ``zerorpc.deadline``, or of the call itself."""
        scope = CURRENT.get()
        return inf if scope is None else scope.deadline - monotonic()

    def release(self) -> None:
        if not self._released:
            self._released = True
            if running_loop() is self._loop:
                self._tell(RELEASE, self._number)
            else:
                self._on_loop(self._tell, RELEASE, self._number)

    def _on_loop(self, act: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(act, *args)

    def __del__(self) -> None:
        if "_released" in self.__dict__ and not self._released:
            self._released = True
            self._on_loop(self._tell, RELEASE, self._number)  # later: this may come in the middle of sending


class LoopLease(_Lease):
    """For a method on the loop: calls are awaited."""

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Coroutine[Any, Any, Any]:
        return self._call(name, args, kwargs)

    async def _call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        if running_loop() is not self._loop:
            raise RuntimeError(f"{name} can be called in the event loop of the method that it was passed to")
        self._check()
        assert self._channel.pending is not None
        number = self._channel.pending.next_number()
        data = self._pack(number, name, args, kwargs)
        future: asyncio.Future[Outcome | None] = self._loop.create_future()
        self._begin(number, _LoopAsker(future), data)
        left = self._seconds_left()
        try:
            async with asyncio.timeout(None if left == inf else left):
                outcome = await future
        except TimeoutError:
            raise _late(name, left) from None
        finally:
            if not future.done() or future.cancelled():
                self._forget(number)
        return self._value(name, outcome)


class ThreadLease(_Lease):
    """For a plain method on a thread: calls block it. ``park`` is told of that."""

    def __init__(
        self,
        channel: ServerChannel,
        link: AioLink,
        loop: asyncio.AbstractEventLoop,
        park: Callable[[int], None],
        number: int,
    ) -> None:
        super().__init__(channel, link, loop, number)
        self._park = park

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        if running_loop() is self._loop:
            raise RuntimeError(f"{name} was passed to a plain method: on the event loop it would wait for itself")
        self._check()
        assert self._channel.pending is not None
        number = self._channel.pending.next_number()
        data = self._pack(number, name, args, kwargs)
        left = self._seconds_left()
        asker = _ThreadAsker()
        try:
            self._loop.call_soon_threadsafe(self._begin, number, asker, data)
        except RuntimeError:
            raise Closed("the server has ended") from None
        self._park(1)
        try:
            came = asker.told.wait(None if left == inf else max(left, 0.0))
        finally:
            self._park(-1)
        if not came:
            self._on_loop(self._forget, number)
            raise _late(name, left)
        return self._value(name, asker.outcome)


class _LoopAsker:
    def __init__(self, future: asyncio.Future[Outcome | None]) -> None:
        self._future = future

    def set_outcome(self, outcome: Outcome | None) -> None:
        if not self._future.done():
            self._future.set_result(outcome)


class _ThreadAsker:
    def __init__(self) -> None:
        self.told = threading.Event()
        self.outcome: Outcome | None = None

    def set_outcome(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.told.set()


_Asker = _LoopAsker | _ThreadAsker


def _late(name: str, left: float) -> TimeoutExpired:
    error = TimeoutExpired(
        round(max(left, 0.0), 3), f"calling {name}, a function of the caller's: no time was left for it"
    )
    error.method = name
    return error
