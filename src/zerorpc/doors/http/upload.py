"""An argument that streams: the lines of a request's body, as the method reads them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

from zerorpc.doors.http.asgi_messages import Receive
from zerorpc.doors.http.json_values import decode
from zerorpc.errors import Cancelled
from zerorpc.service.stream_parameters import Items

__all__ = ["Body", "LoopLines", "ThreadLines", "TooLongError"]

_AHEAD = 256 * 1024  # octets that wait for the method to read; uvicorn asks for no more of the client meanwhile
_LOOK_EVERY = 1.0  # s between looks whether the client is there, while nobody takes its lines
_End: TypeAlias = "Exception | None"


class TooLongError(Exception):
    """A line is longer than a message may be; says how long that is."""


class Body:
    """The lines of one request's body. On the loop; lines may be taken in any thread.

    ``woken`` is called when there is something new: a line, the end, or that the client is gone.
    """

    def __init__(self, receive: Receive, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.end: _End = None  # what a reader is told after the last line
        self.woken: Callable[[], None] = _nothing
        self._receive = receive
        self._limit = limit
        self._loop = loop
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()  # of a line that isn't whole
        self._whole = False  # the body is here
        self._waiting = 0  # octets of lines that nobody has taken; changed by whoever holds the lock
        self._lock = threading.Lock()
        self._room = asyncio.Event()

    async def first(self) -> bytes:
        """The first line. Raises Cancelled for a client that is gone, and TooLongError."""
        while not self._lines and self.end is None:
            await self._read()
        if (line := self.take()) is not None:
            return line
        if isinstance(self.end, StopAsyncIteration):
            return b""
        assert self.end is not None
        raise self.end

    async def pump(self, gone: Callable[[], None], has_ended: Callable[[], bool]) -> None:
        """Take what comes, as fast as the lines are taken, and notice when the client is ``gone``.

        ``has_ended`` tells whether it is, while its lines wait here and nobody reads on.
        """
        while not self._whole and self.end is None:
            while self._waiting > _AHEAD and self.end is None:
                await self._have_room()
                if self._waiting > _AHEAD and has_ended():
                    self.leave()
            if self.end is None:
                await self._read()
        while not isinstance(self.end, Cancelled) and (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()
        gone()

    async def _have_room(self) -> None:
        """Until lines were taken, or it is time to look whether the client is there."""
        self._room.clear()
        if self._waiting > _AHEAD:  # still: another thread may have taken some just now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._room.wait()

    async def _read(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.leave()
            return
        part = message.get("body", b"")
        assert isinstance(part, bytes)
        first, *others = part.split(b"\n")
        self._rest += first
        lines = [bytes(self._rest), *others[:-1]] if others else []
        if others:
            self._rest = bytearray(others[-1])
        if not message.get("more_body", False):
            self._whole = True
            lines.append(bytes(self._rest))
        kept = [line for line in itertools.takewhile(self._is_short, lines) if line.strip()]
        with self._lock:
            self._lines.extend(kept)
            self._waiting += sum(map(len, kept))
        if not (all(map(self._is_short, lines)) and self._is_short(self._rest)):
            self._finish(TooLongError(f"a line of the body is longer than {self._limit} octets"))
        elif self._whole:
            self._finish(StopAsyncIteration())
        self.woken()

    def _is_short(self, line: bytes | bytearray) -> bool:
        return len(line) <= self._limit

    def _finish(self, end: Exception) -> None:
        if self.end is None:
            self.end = end
            self.woken()

    def leave(self) -> None:
        """Nothing more comes, or is wanted."""
        self._finish(Cancelled("the caller sends no more: it waits no longer, or has the answer"))

    def take(self) -> bytes | None:
        """The next line that is here, if any."""
        with self._lock:
            if not self._lines:
                return None
            line = self._lines.popleft()
            before, self._waiting = self._waiting, self._waiting - len(line)
        if before > _AHEAD >= before - len(line):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing more will come
                self._loop.call_soon_threadsafe(self._room.set)
        return line


def _nothing() -> None: ...


class _Lines(Items):
    """What both have."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._taken = 0

    def _item(self, line: bytes) -> Any:
        """Raises TypeError for what is no JSON, or no item."""
        self._taken += 1
        try:
            item = decode(line)
        except ValueError as error:
            raise TypeError(f"item {self._taken} is no JSON: {error}") from None
        return item if self.convert is None else self.convert(item)

    def _end(self) -> Exception:
        end = self._body.end
        assert end is not None
        return TypeError(str(end)) if isinstance(end, TooLongError) else type(end)(*end.args)  # one for each reader


class ThreadLines(_Lines, Iterator[Any]):
    """For a plain method. Several threads may read: each item goes to one of them."""

    def __init__(self, body: Body, park: Callable[[int], None]) -> None:
        super().__init__(body)
        self._park = park
        self._condition = threading.Condition()
        body.woken = self._wake

    def __next__(self) -> Any:
        with self._condition:
            while (line := self._body.take()) is None:
                if self._body.end is not None:
                    end = self._end()
                    raise StopIteration if isinstance(end, StopAsyncIteration) else end
                self._park(1)
                try:
                    self._condition.wait()
                finally:
                    self._park(-1)
        return self._item(line)

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()


class LoopLines(_Lines, AsyncIterator[Any]):
    """For a method on the loop. Several tasks may read: each item goes to one of them."""

    def __init__(self, body: Body, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(body)
        self._loop = loop
        self._readers: list[asyncio.Future[None]] = []
        body.woken = self._wake

    async def __anext__(self) -> Any:
        while (line := self._body.take()) is None:
            if self._body.end is not None:
                raise self._end()
            future = self._loop.create_future()
            self._readers.append(future)
            await future
        return self._item(line)

    def _wake(self) -> None:
        readers, self._readers = self._readers, []
        for future in readers:
            if not future.done():
                future.set_result(None)
