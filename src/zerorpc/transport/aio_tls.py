"""TLS on an event loop: it stands between the loop's transport and a link, and is to each of them what the other is.

So a link with TLS is one like any other, and one without knows nothing of this. (asyncio's own TLS would cost more: it
copies each large frame once more, keeps what a peer doesn't read in a buffer of its own, and differs between loops.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import Any, cast

from zerorpc.callers import Certificate
from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.link import lost_connection
from zerorpc.transport.tls import SEALED_AT_ONCE, TlsConnection
from zerorpc.zmtp import Frame

__all__ = ["AioTls", "TlsAioLink"]

_TURN_OCTETS = 256 * 1024  # octets of one peer that are decrypted in one turn of the loop; asyncio reads as many,
_TURN_SECONDS = 0.005  # and how long that may take


class TlsAioLink(AioLink):
    """A link whose transport is an ``AioTls``."""

    __slots__ = ("tls",)

    tls: TlsConnection

    @property
    def certificate(self) -> Certificate | None:
        return self.tls.certificate


class AioTls(asyncio.Protocol, asyncio.Transport):
    """A protocol to the loop, a transport to its link.

    What the link sends before the end of the handshake waits here; that is ZMTP's greeting, and nothing more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, link: TlsAioLink, tls: TlsConnection) -> None:
        asyncio.Transport.__init__(self)
        link.tls = tls
        self._loop = loop
        self._link = link
        self._tls = tls
        self._transport: asyncio.Transport
        self._waiting: deque[Frame] = deque()  # to be sealed and sent
        self._sending = False
        self._receiving = False
        self._paused = False  # by the link
        self._resting = False  # until the next turn of the loop, for others to have theirs
        self._turn = 0.0  # when octets came last, by the loop's clock, which stands still during a turn of uvloop's,
        self._in_turn = 0  # and how many have come then
        self._until = 0.0  # when this turn has taken long enough

    # The loop calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._link.connection_made(self)
        self._tls.open()
        self._send()

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        if now != self._turn:
            self._turn, self._in_turn = now, 0
        self._in_turn += len(data)
        self._receive(data)
        if self._in_turn > _TURN_OCTETS:
            self._rest()

    def _receive(self, data: bytes) -> None:
        link = self._link
        self._receiving = True
        self._until = monotonic() + _TURN_SECONDS
        try:
            self._tls.receive(data, link.peer.connection.decoder, link.data_received, self._is_enough)
        except ProtocolError as error:
            self._send()
            link.fail(error)
            return
        except BaseException:  # the loop ends a connection whose octets raise, but not in a later turn
            link.abort(LostRemote(f"the work on the connection to {link.name} was interrupted"))
            raise
        finally:
            self._receiving = False
        if self._tls.has_output or self._waiting:
            self._send()
        if self._tls.ended and not self._transport.is_closing():
            link.eof_received()
        elif self._tls.paused and not self._paused:
            self._rest()

    def _is_enough(self) -> bool:
        return monotonic() > self._until

    def _rest(self) -> None:
        """Take no more in this turn of the loop: uvloop would read 8 MB, and with octets that are cheap to send, such
        as a new key every 30 of them, that would hold up everybody else.
        """
        self._tls.paused = True
        if not self._resting:
            self._resting = True
            self._transport.pause_reading()
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        if not (self._paused or self._tls.closed):
            self.resume_reading()

    def eof_received(self) -> None:
        if not self._tls.ready and self._link.reason is None:
            self._link.reason = lost_connection(self._link.name, EOFError("in the middle of the TLS handshake"))
        self._link.eof_received()

    def pause_writing(self) -> None:
        self._link.pause_writing()

    def resume_writing(self) -> None:
        self._link.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tls.closed = True
        self._waiting.clear()
        link = self._link
        del self._link  # no circle for the garbage collector
        link.connection_lost(exc)

    # The link calls these

    def write(self, data: Frame | memoryview) -> None:
        self._waiting.append(cast("Frame", data))
        if not self._sending:
            self._send()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self._waiting.extend(list_of_data)
        if not self._sending:
            self._send()

    def _send(self) -> None:
        """Send what there is, in order. What a finalizer or a signal handler adds meanwhile is sent by the one that is
        sending already.
        """
        if self._sending:
            return
        self._sending = True
        try:
            tls, waiting, write = self._tls, self._waiting, self._transport.write
            while tls.has_output:
                write(tls.take_output())
            while waiting and tls.ready and not tls.closed:
                data = waiting.popleft()
                if len(data) <= SEALED_AT_ONCE:
                    write(tls.seal(data))
                else:
                    self._send_large(memoryview(data))
        finally:
            self._sending = False

    def _send_large(self, data: memoryview) -> None:
        for start in range(0, len(data), SEALED_AT_ONCE):
            if self._tls.closed:
                return
            self._transport.write(self._tls.seal(data[start : start + SEALED_AT_ONCE]))

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._tls.close()
        self._send()
        self._transport.close()

    def abort(self) -> None:
        self._tls.closed = True
        self._transport.abort()

    def pause_reading(self) -> None:
        """Also of what is here, encrypted: the link has enough for now."""
        self._paused = self._tls.paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self._resting:
            return
        self._tls.paused = False
        if not self._receiving:
            self._receive(b"")
        if not self._tls.paused:
            self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Large frames are decrypted into their place by ``TlsConnection.receive``, and so it is always the link."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def __repr__(self) -> str:
        return f"<AioTls {self._tls!r}>"
