"""One connection on an event loop, as an asyncio protocol.

What is sent in one turn of the loop goes out in one write; a lone call is written through at once, because waiting
for the end of the turn would cost it another turn (measured: 54 µs instead of 30 on plain asyncio).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Protocol, cast

from zerorpc.errors import LostRemote
from zerorpc.logs import Logger, Sparing
from zerorpc.protocol.peer import Peer
from zerorpc.transport.aio_reading import AioReading
from zerorpc.transport.dialer import LEAVING, Dialer
from zerorpc.transport.link import C, Owner, T, are_joined, lost_connection
from zerorpc.transport.sockets import output_progress
from zerorpc.zmtp.frames import Frame

__all__ = ["AioLink"]

logger: Logger = Logger("zerorpc.transport")

_UNSENT_HIGH = 1024 * 1024  # octets the loop may hold for one peer before its senders have to wait


class Asks(Protocol):
    """Decides whom to let in (``Admission``)."""

    def ask(self, link: AioLink, /) -> None: ...


class AioLinks(Protocol):
    """What a link needs of its hub."""

    owner: Owner[AioLink, Any, Any]
    links: set[AioLink]
    stale: bool  # forked: what is connected belongs to the parent
    refused: Sparing  # lines of the log about those whose octets made no sense

    @property
    def admission(self) -> Asks | None:
        """Who decides about those who connect, if anybody does."""


class AioLink(AioReading):
    """One connection on an event loop.

    ``name`` is the other side: the endpoint that ``dialer`` connected to, or the one that the connection came from.
    """

    __slots__ = ("_name", "_timer", "_timer_at", "_writing", "flush_scheduled", "hub", "over", "reason")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hub: AioLinks, peer: Peer[C, T], dialer: Dialer | None, name: str
    ) -> None:
        super().__init__(hub.owner, peer, dialer)
        peer.name = name
        self.over: asyncio.Future[str] | None = loop.create_future() if dialer else None  # why, once it is
        self.reason: Exception | None = None  # why we closed it
        self.hub: AioLinks = hub
        self._name = name
        self._loop = loop
        self._time = loop.time
        self.flush_scheduled: bool = False
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._turn, self._in_turn = 0.0, 0
        self._unread = b""
        self._taking = self._paused = False

    # The loop calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.hub.links.add(self)
        self._transport.set_write_buffer_limits(high=_UNSENT_HIGH)
        self.peer.opened(self._time())
        self.flush()

    def pause_writing(self) -> None:
        """Too much is unsent: take no more from this peer until it reads, if we are its server."""
        self.peer.writable = False
        if self.peer.pauses_reading:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.peer.take_again()
        self._read_on()
        self.owner.peer_writable(self)
        self.flush()

    def eof_received(self) -> None:
        """The peer has closed. The loop would first try to send what waits, and for as long as that takes."""
        self.peer.writable = False  # calls made before the loop tells that it is lost go elsewhere
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        error = self.reason or lost_connection(self.name, exc)
        self.peer.writable = True
        self.hub.links.discard(self)
        self.lost(error)
        self._end(str(error))

    def ask(self) -> None:
        assert self.hub.admission is not None
        self.hub.admission.ask(self)

    def replace(self) -> None:
        self._end(LEAVING)

    def _end(self, why: str) -> None:
        """Its dialer may connect anew."""
        if self.over is not None and not self.over.done():
            self.over.set_result(why)

    def fail(self, error: Exception) -> None:
        """The peer broke the protocol, and is told so, or is silent, and isn't."""
        if isinstance(error, LostRemote):
            self.abort(error)
        else:
            if (more := self.hub.refused.turn()) is not None:
                logger.warning("refused %s: %s%s", self.name, error, more)
            self.close(error)

    # The owner calls these

    def flush(self) -> None:
        """Send what the peer has to send, and see to it that the peer is woken when it wants to be."""
        peer = self.peer
        connection = peer.connection
        if connection.output and not self._writing:
            self._writing = True
            try:
                while connection.output:  # once, but for what a finalizer or signal handler sends meanwhile
                    output, connection.output = connection.output, []  # take_output(), without the call
                    if self.closed:
                        return
                    if len(output) == 1:
                        self._transport.write(output[0])
                    else:
                        _write_all(self._transport, output)
            except MemoryError:  # of asyncio's copies: nobody knows what of it was sent
                self.abort(LostRemote(f"{self.name}: no memory was left to send what waits"))
            finally:
                self._writing = False
            if not peer.writable and self.unsent > peer.limits.unsent:
                self.abort(LostRemote(f"{self.name} does not read: more than {peer.limits.unsent} octets wait for it"))
        wake = peer.next_wake
        if wake is not None and (self._timer is None or wake < self._timer_at) and not self.closed:
            self._set_timer(wake)

    def flush_soon(self) -> None:
        """Flush at the end of this turn of the loop, together with whatever else comes until then."""
        if not self.flush_scheduled:
            self.flush_scheduled = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self.flush_scheduled = False
        self.flush()

    def close(self, reason: Exception) -> None:
        """End the connection after sending what is buffered."""
        if not self.closed:
            self.reason = self.reason or reason
            self.peer.writable = False
            self._transport.close()

    def abort(self, reason: Exception) -> None:
        """End the connection at once."""
        if not self.closed:
            self.reason = self.reason or reason
            self.peer.writable = False
            self._transport.abort()

    # Timing

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.sweep(self._time())
        self.flush()  # which sets the next one

    # What it is

    @property
    def name(self) -> str:
        return self._name

    @property
    def sock(self) -> socket.socket | None:
        """The loop's, or its stand-in for it; None where there is none (``zerorpc.testing``)."""
        return cast("socket.socket | None", self._transport.get_extra_info("socket"))

    @property
    def unsent(self) -> int:
        """Octets that the loop holds for this peer."""
        return self._transport.get_write_buffer_size()

    def output_progress(self) -> tuple[int, int]:
        return output_progress(self.sock, self.unsent)

    def __repr__(self) -> str:
        return f"<AioLink {self.peer!r}{' closed' if self.closed else ''}>"


def _write_all(transport: asyncio.Transport, output: list[Frame]) -> None:
    if are_joined(len(output), sum(map(len, output))):
        transport.write(b"".join(output))
    elif not transport.is_closing():  # asyncio's writelines() doesn't look, since Python 3.12
        transport.writelines(output)
