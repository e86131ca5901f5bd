"""Connections in memory: what one end writes, the other end reads, with the flow control of a socket but without one.

A connection has two lanes, one each way. An end is a transport for an ``AioLink`` on an event loop, or stands in for
the socket of a ``BlockingLink``.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, TypeAlias, cast

from zerorpc.testing.faults import Direction

__all__ = ["Lane", "MemorySocket", "MemoryTransport"]

_HIGH = 256 * 1024  # octets on their way above which the writer has to wait, about what a system's socket holds,
_LOW = _HIGH // 4  # and those below which it may go on
_TICKS = 4  # parts into which what a slow lane does in a second is cut
_READ_MAX = 64 * 1024  # octets handed to a protocol at a time

_Octets: TypeAlias = "bytes | bytearray | memoryview"

_filenos = itertools.count(-2, -1)  # none of the system's, and not -1: that means closed


class Lane:
    """One direction of a connection. Safe from any thread.

    ``arrived`` is called when there is something for the reader, ``drained`` when the writer may go on. ``direction``
    says what is wrong with it; ``later(when, act)`` has something done at that ``time()``, in whatever thread.
    """

    def __init__(
        self, direction: Direction, time: Callable[[], float], later: Callable[[float, Callable[[], object]], object]
    ) -> None:
        self.arrived: Callable[[], object] = _nothing
        self.drained: Callable[[], object] = _nothing
        self.size: int = 0  # octets on their way
        self.taken: int = 0  # octets that have come through
        self.ended: bool = False  # nothing more is written
        self.full: bool = False
        self.swallowed: bool = False  # something, so that the connection is broken
        self._direction = direction
        self._time = time
        self._later = later
        self._chunks: deque[memoryview] = deque()
        self._late: deque[tuple[float, memoryview]] = deque()  # held back, and until when
        self._free_at = self._due = -inf  # when its line is free again, and when the last of what is late comes
        self._lock = threading.Lock()

    def put(self, data: _Octets) -> None:
        with self._lock:
            if self.ended or not data:
                return
            if self._direction.swallows:
                self.swallowed = True
                return
            self.size += len(data)
            self.full = self.full or self.size > _HIGH
            moments = self._pass(memoryview(bytes(data)))
        for when in moments:
            self._later(when, functools.partial(self._arrive_late, when))
        if not moments:
            self.arrived()

    def _pass(self, data: memoryview) -> list[float]:
        """Let it through at once, or in parts, later: when those come."""
        rate, delay = self._direction.rate, self._direction.delay
        if not (delay or rate or self._late):
            self._chunks.append(data)
            return []
        moments = []
        part = len(data) if rate is None else max(1, int(rate / _TICKS))
        for at in range(0, len(data), part):
            chunk = data[at : at + part]
            self._free_at = max(self._free_at, self._time()) + (len(chunk) / rate if rate else 0.0)
            self._due = max(self._due, self._free_at + delay)
            self._late.append((self._due, chunk))
            moments.append(self._due)
        return moments

    def _arrive_late(self, when: float) -> None:
        """What was held back until then, or now: timers may come a little too early."""
        with self._lock:
            now = max(self._time(), when)
            while self._late and self._late[0][0] <= now:
                self._chunks.append(self._late.popleft()[1])
        self.arrived()

    @property
    def is_broken(self) -> bool:
        """Whether something was swallowed. What is just being put is waited for."""
        with self._lock:
            return self.swallowed

    def heal(self) -> None:
        """What is held back comes now."""
        with self._lock:
            self._free_at = self._due = -inf
            self._chunks.extend(chunk for _, chunk in self._late)
            self._late.clear()
        self.arrived()

    @property
    def room(self) -> int:
        """How many octets it takes without a wait."""
        return 0 if self.full else max(_HIGH - self.size, 1)

    def take(self, most: int = _READ_MAX) -> bytes:
        """Up to ``most`` octets; none if nothing is there."""
        with self._lock:
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            if len(chunk) > most:
                self._chunks.appendleft(chunk[most:])
                chunk = chunk[:most]
            self.size -= len(chunk)
            self.taken += len(chunk)
            drained = self.full and self.size <= _LOW
            if drained:
                self.full = False
        if drained:
            self.drained()
        return bytes(chunk)

    def end(self) -> None:
        """Its writer has closed. Safe to call twice."""
        if self._direction.swallows:
            self.swallowed = True
        elif not self.ended:
            self.ended = True
            self.arrived()

    def drop(self) -> None:
        """Its reader has closed: nobody takes what is on its way."""
        with self._lock:
            self._chunks.clear()
            self._late.clear()
            self.size = 0
            self.full = False
        self.end()

    def cut(self) -> None:
        """It is over for both of them, and both are told."""
        self.drop()
        self.ended = True
        self.arrived()
        self.drained()

    @property
    def readable(self) -> bool:
        return bool(self._chunks) or self.over

    @property
    def over(self) -> bool:
        """Whether everything was taken, and nothing more comes."""
        return self.ended and not self.size

    def __repr__(self) -> str:
        return f"<Lane size={self.size}{' ended' if self.ended else ''}>"


class MemoryTransport(asyncio.Transport):
    """One end, for a protocol on an event loop. ``incoming`` and ``outgoing`` are its lanes.

    All but what the lanes call belongs to the loop's thread.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, incoming: Lane, outgoing: Lane
    ) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._incoming = incoming
        self._outgoing = outgoing
        self._reading = True
        self._paused = False  # the protocol was told to write no more
        self._closing = False
        incoming.arrived = self._tell
        outgoing.drained = self._tell

    def open(self) -> None:
        """Begin: from now on the protocol is told."""
        self._protocol.connection_made(self)
        self._tell()

    def _tell(self) -> None:
        """From any thread. Each time anew: an interrupt may have come before the last time was heeded."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.look)

    def look(self) -> None:
        """Tell the protocol what has come, and of the end."""
        try:
            self._tell_protocol()
        except Exception as error:  # as asyncio does it
            self._loop.call_exception_handler(
                {"message": "the protocol failed", "exception": error, "transport": self, "protocol": self._protocol}
            )
            self.abort()
        except BaseException:  # Ctrl-C: nobody knows what of it has been taken
            self.abort()
            raise

    def _tell_protocol(self) -> None:
        if self._paused and not self._outgoing.full and not self._closing:
            self._paused = False
            self._protocol_at_work.resume_writing()
        while self._reading and not self._closing and (data := self._incoming.take()):
            self._feed(data)
        if (self._incoming.over or self._outgoing.ended) and not self._closing:
            self._protocol_at_work.eof_received()  # who does not close then is closed
            self.abort()

    @property
    def _protocol_at_work(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", self._protocol)

    def _feed(self, data: bytes) -> None:
        while data:
            protocol = self._protocol
            if not isinstance(protocol, asyncio.BufferedProtocol):
                self._protocol_at_work.data_received(data)
                return
            with memoryview(cast("bytearray", protocol.get_buffer(len(data)))) as room:
                count = min(len(room), len(data))
                room[:count] = data[:count]
            protocol.buffer_updated(count)
            data = data[count:]

    # What a protocol asks of it

    def write(self, data: _Octets) -> None:
        if self._closing:
            return
        self._outgoing.put(data)
        if self._outgoing.full and not self._paused:
            self._paused = True
            self._protocol_at_work.pause_writing()

    def close(self) -> None:
        self.abort()  # what was written is on its way already

    def abort(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._outgoing.end()
        self._incoming.drop()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._tell()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The lane's own are as good."""

    def get_write_buffer_size(self) -> int:
        return self._outgoing.size

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def __repr__(self) -> str:
        return f"<MemoryTransport{' closing' if self._closing else ''} in={self._incoming!r} out={self._outgoing!r}>"


class MemorySocket:
    """One end, as much of a non-blocking socket as a ``BlockingLink`` uses."""

    family = socket.AF_UNSPEC  # no options to set

    def __init__(self, incoming: Lane, outgoing: Lane) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._fileno = next(_filenos)
        self._closed = False

    def fileno(self) -> int:
        """A number that no descriptor of the system has."""
        return -1 if self._closed else self._fileno

    def getpeername(self) -> str:
        raise OSError("a connection in memory has no address")

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def send(self, data: _Octets) -> int:
        if self._closed or self._outgoing.ended:
            raise BrokenPipeError("the other end has closed")
        room = self._outgoing.room
        if not room:
            raise BlockingIOError
        part = memoryview(data)[:room]
        self._outgoing.put(part)
        return len(part)

    def sendmsg(self, buffers: Iterable[_Octets]) -> int:
        sent = 0
        for each in buffers:
            if sent and not self._outgoing.room:
                break
            sent += (took := self.send(each))
            if took < len(each):
                break
        return sent

    def recv(self, most: int) -> bytes:
        """Nothing means the end; BlockingIOError when nothing is there yet."""
        data = self._incoming.take(most)
        if not data and not self._incoming.over:
            raise BlockingIOError
        return data

    def recv_into(self, room: memoryview) -> int:
        data = self.recv(len(room))
        room[: len(data)] = data
        return len(data)

    @property
    def readable(self) -> bool:
        return self._incoming.readable

    @property
    def writable(self) -> bool:
        return self._outgoing.room > 0 or self._outgoing.ended

    def cut(self) -> None:
        """The connection is over, and both ends will find that out."""
        self._incoming.cut()
        self._outgoing.cut()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._outgoing.end()
            self._incoming.drop()

    def __repr__(self) -> str:
        return f"<MemorySocket{' closed' if self._closed else ''} in={self._incoming!r} out={self._outgoing!r}>"


def _nothing() -> None: ...
