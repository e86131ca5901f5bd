"""TLS of a blocking link: what it reads and sends goes through a ``TlsConnection``."""

from __future__ import annotations

import contextlib
import socket

from zerorpc.callers import Certificate
from zerorpc.errors import ProtocolError
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.transport.blocking_link import BlockingLink, BlockingLinks
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.link import lost_connection
from zerorpc.transport.sockets import output_progress
from zerorpc.transport.tls import SEALED_AT_ONCE, TlsConnection
from zerorpc.zmtp import Frame

__all__ = ["TlsBlockingLink"]

_READ_MAX = 64 * 1024  # octets a read,
_READ_BODY = 256 * 1024  # and while a large frame arrives
_SEAL_MAX = 4 * SEALED_AT_ONCE  # octets that are sealed before they are sent
_OVERHEAD = 22  # octets that TLS adds to each record: RFC 8446, 5.2


class TlsBlockingLink(BlockingLink):
    """One connection with TLS over a non-blocking socket. All methods need the hub's lock.

    Of the frames that are unsent the first octets may be sealed already: they count as sent when all of what was made
    of them is.
    """

    __slots__ = ("_sealed", "_tls", "_to_send")

    scheme = "tls+tcp"

    def __init__(
        self, hub: BlockingLinks, sock: socket.socket, peer: ClientPeer, dialer: Dialer | None, tls: TlsConnection
    ) -> None:
        super().__init__(hub, sock, peer, dialer)
        self._tls = tls
        self._to_send = memoryview(b"")  # what TLS made and the socket hasn't taken,
        self._sealed = 0  # and how many octets of the first unsent frame are in it
        tls.open()

    def read(self, now: float) -> None:
        if self.closed:
            return
        try:
            data = self.sock.recv(_READ_MAX if self.peer.connection.decoder.body is None else _READ_BODY)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(lost_connection(self.name, error))
            return
        if data:
            self._receive(data, now)
        else:
            self.lose(lost_connection(self.name, self._why_ended()))

    def _receive(self, data: bytes, now: float) -> None:
        peer, tls = self.peer, self._tls
        try:
            tls.receive(
                data,
                peer.connection.decoder,
                lambda data, filled: self.act_on(peer.receive_data(data, now, filled)),
            )
        except ProtocolError as error:
            self._push()  # an alert
            self.lose(error)
            return
        if tls.ended:
            self.lose(lost_connection(self.name))
        elif not self.closed and (self._unsent or tls.has_output):
            self.write()

    def _send_several(self, output: list[Frame]) -> int:
        return self._send(output[0])

    def write(self) -> None:
        if self._push() or self._reason is None:
            super().write()
        else:
            self._lose()

    def _wants_to_write(self) -> bool:
        return bool(self._to_send) or (self._tls.ready and bool(self._unsent))

    def _lose(self) -> None:
        """Say that it is the end (close_notify), unless the socket is in the middle of a record."""
        self._tls.close()
        if not self._to_send:
            with contextlib.suppress(OSError):
                self.sock.send(self._tls.take_output())
        super()._lose()

    def output_progress(self) -> tuple[int, int]:
        records = self.unsent // SEALED_AT_ONCE + len(self._unsent)
        return output_progress(self.sock, self.unsent + _OVERHEAD * records)

    @property
    def certificate(self) -> Certificate | None:
        return self._tls.certificate

    def _why_ended(self) -> Exception | None:
        return None if self._tls.ready else EOFError("in the middle of the TLS handshake")

    def _send(self, data: Frame | memoryview) -> int:
        size, sent = len(data), 0
        while self._push():
            sent += self._sealed
            self._sealed = 0
            if sent == size or not self._tls.ready:
                return sent
            self._seal(memoryview(data)[sent : sent + _SEAL_MAX])
        return -1 if self._reason else sent

    def _seal(self, piece: memoryview) -> None:
        made = [self._tls.seal(piece[start : start + SEALED_AT_ONCE]) for start in range(0, len(piece), SEALED_AT_ONCE)]
        self._sealed = len(piece)
        self._to_send = memoryview(b"".join(made))

    def _push(self) -> bool:
        """Send what TLS has made. Whether the socket took all of it."""
        if self._tls.has_output:
            self._to_send = memoryview(bytes(self._to_send) + self._tls.take_output())
        while self._to_send:
            sent = super()._send(self._to_send)
            if sent <= 0:
                return False
            self._to_send = self._to_send[sent:]
        return True
