"""TLS of one connection, as octets in and octets out: over ``ssl.MemoryBIO``, for both shells.

This file knows no socket and no time. What arrived goes into ``receive``, which hands on what was encrypted in it;
``seal`` encrypts, and ``take_output`` gives what TLS itself has to say: its handshake, an alert, a new key.

What it holds is bounded, whatever the peer does. Octets go into OpenSSL in small pieces, each of which is worked off
at once, so that less than one record (RFC 8446, 5.1: 16 KiB) waits there. What is sealed is taken at once, too, since
OpenSSL's buffers keep the size that they once had: 4/3 of the most that was in them.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from zerorpc.callers import Certificate
from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.zmtp.greeting import guess_protocol

__all__ = ["SEALED_AT_ONCE", "TlsConnection", "certificate_of"]

SEALED_AT_ONCE = 16 * 1024  # octets: a full record
_PIECE = 16 * 1024  # octets that OpenSSL is given at a time
_SMALL = 4 * 1024  # octets of a record below which more are looked for before they are handed on
_RECORD_TYPES = range(20, 24)  # what a record may begin with: RFC 8446, 5.1


class Body(Protocol):
    """Where the octets of a large frame belong, as a ``FrameDecoder`` has it."""

    body: bytearray | None

    def body_room(self) -> memoryview: ...


class TlsConnection:
    """One connection. Not thread-safe.

    Arguments: ``context`` for whichever side we are; ``server_name`` whom the server's certificate has to name, None
    where we are the server.

    ``ready`` is True from the end of the handshake on: before, nothing can be sealed. ``ended`` is True when the peer
    has said that it sends no more. ``closed`` is True after ``close``, and after an error. ``paused`` is the shell's:
    nothing is handed on.
    """

    __slots__ = (
        "_incoming",
        "_object",
        "_outgoing",
        "_rest",
        "_server_side",
        "_start",
        "closed",
        "ended",
        "paused",
        "ready",
    )

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        self._server_side = server_side
        self._start = b""  # what the peer began with, as long as it may be no TLS
        self._rest: bytes | memoryview = b""  # what has arrived, and OpenSSL hasn't been given
        self.paused: bool = False
        self.ready: bool = False
        self.ended: bool = False
        self.closed: bool = False

    def open(self) -> None:
        """The connection exists: a client has something to say."""
        if not self._server_side:
            self._shake_hands()

    # Receiving

    def receive(
        self,
        data: bytes,
        body: Body,
        deliver: Callable[[bytes, int], None],
        is_enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take what arrived, in chunks of any size, and hand on what was encrypted in it.

        ``deliver`` is called with octets and 0, or, while ``body`` has a place for them, with none and how many were
        put there. If that sets ``paused``, or if after a piece it ``is_enough``, the rest is kept, for the next call
        after it is set back: with more, or with nothing. Raises ProtocolError when the peer is not to be talked to:
        then the output may have an alert for it.
        """
        if self._rest:
            data = bytes(self._rest) + data
        self._rest = data if len(data) <= _PIECE else memoryview(data)
        while not (self.paused or self.closed or self.ended):
            self._feed()
            self._go_on(data, body, deliver)
            if not self._rest:
                return
            if is_enough():
                self.paused = True
        self._rest = bytes(self._rest)

    def _feed(self) -> None:
        """Give OpenSSL the next piece."""
        rest = self._rest
        self._incoming.write(rest[:_PIECE])
        self._rest = rest[_PIECE:] if len(rest) > _PIECE else b""  # an empty view would keep all of it

    def _go_on(self, data: bytes, body: Body, deliver: Callable[[bytes, int], None]) -> None:
        """Do what can be done with what is here."""
        if not self.ready:
            if len(self._start) < 2:
                self._look_at_start(data)
            self._shake_hands()
            if not self.ready:
                return
        try:
            self._decrypt(body, deliver)
        except ssl.SSLWantReadError:  # a record's rest isn't here yet
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise self._refusal(error) from None

    def _decrypt(self, body: Body, deliver: Callable[[bytes, int], None]) -> None:
        incoming, pending, read = self._incoming, self._object.pending, self._object.read
        while (incoming.pending or pending()) and not (self.paused or self.closed or self.ended):
            if body.body is not None:
                if filled := self._fill(body.body_room()):
                    deliver(b"", filled)
            elif data := read(SEALED_AT_ONCE):
                if incoming.pending and len(data) < _SMALL:
                    data = self._with_more(data)
                deliver(data, 0)
            else:
                self.ended = True

    def _with_more(self, data: bytes) -> bytes:
        """Join what small records bring: each by itself would cost as much as a large one."""
        parts, size = [data], len(data)
        incoming, read = self._incoming, self._object.read
        with contextlib.suppress(ssl.SSLWantReadError):
            while incoming.pending and size < SEALED_AT_ONCE and (data := read(SEALED_AT_ONCE)):
                parts.append(data)
                size += len(data)
        self.ended = not data
        return b"".join(parts)

    def _fill(self, room: memoryview) -> int:
        """Decrypt right into ``room`` as much as has arrived; how many octets."""
        incoming, pending, read = self._incoming, self._object.pending, self._object.read
        size, filled = len(room), 0
        while filled < size and not self.ended:
            if not (incoming.pending or pending()):
                if not self._rest:
                    break
                self._feed()
            try:
                count: Any = read(size - filled, room[filled:])
            except ssl.SSLWantReadError:
                continue
            filled += count
            self.ended = not count
        return filled

    # The handshake

    def _look_at_start(self, data: bytes) -> None:
        """Refuse what is no TLS, in words; OpenSSL would say "wrong version number"."""
        start = self._start = self._start + data[:16]
        if not start or (start[0] in _RECORD_TYPES and start[1:2] in (b"", b"\3")):
            return
        self.closed = True
        self._outgoing.write(b"\x15\x03\x03\0\2\2\x46")  # an alert, protocol_version: RFC 8446, 6
        if start.startswith(b"\xff"):
            raise HandshakeFailed(
                "expected TLS, but the peer speaks ZMTP in clear: "
                "is the endpoint tcp:// at one end, and tls+tcp:// at the other?"
            )
        raise ProtocolError(f"expected TLS, but the peer speaks {guess_protocol(start)}")

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise self._refusal(error) from None
        self.ready = True

    def _refusal(self, error: ssl.SSLError) -> ProtocolError:
        self.closed = True  # OpenSSL seals nothing more, and would raise
        whose = "the client's" if self._server_side else "the server's"
        if isinstance(error, ssl.SSLCertVerificationError):
            return HandshakeFailed(f"{whose} certificate can't be trusted: {error.verify_message.rstrip('.')}")
        reason = error.reason or str(error)
        if reason in _REASONS and (not self.ready or "ALERT" in reason):  # a client is ready before it may be refused
            return HandshakeFailed(_REASONS[reason])
        return ProtocolError(f"TLS failed: {reason.replace('_', ' ').lower()}")

    @property
    def certificate(self) -> Certificate | None:
        """The peer's, if it had to show one, or has shown one that was verified."""
        return certificate_of(self._object) if self.ready else None

    # Sending

    def seal(self, data: bytes | bytearray | memoryview) -> bytes:
        """Encrypt at most ``SEALED_AT_ONCE`` octets: what to send for them, after what was in the output."""
        self._object.write(data)
        return self._outgoing.read()

    @property
    def has_output(self) -> bool:
        return self._outgoing.pending > 0

    def take_output(self) -> bytes:
        """What TLS itself has to say, for sending, in order with what was sealed."""
        return self._outgoing.read()

    def close(self) -> None:
        """Send no more, and say so in the output, if the handshake is over (close_notify, RFC 8446, 6.1)."""
        if self.closed:
            return
        self.closed = True
        if self.ready:
            with contextlib.suppress(ssl.SSLError):  # the peer has not said so yet: it need not
                self._object.unwrap()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "ended" if self.ended else "open" if self.ready else "handshake"
        return f"<TlsConnection {'server' if self._server_side else 'client'} {state}>"


def certificate_of(tls: ssl.SSLObject) -> Certificate | None:
    """The peer's, after the handshake; None if it has shown none that was verified."""
    der = tls.getpeercert(binary_form=True)
    said = tls.getpeercert() if der else None
    if not said or der is None:  # {}: it was not verified
        return None
    names: Any = said.get("subjectAltName", ())
    return Certificate(
        _common_name(said.get("subject", ())),
        tuple((str(kind), str(name)) for kind, name in names),
        _common_name(said.get("issuer", ())),
        str(said.get("serialNumber", "")),
        str(said.get("notAfter", "")),
        der,
    )


def _common_name(name: object) -> str | None:
    """Of a distinguished name, as ``ssl`` shows it: pairs in tuples in a tuple."""
    for part in name if isinstance(name, tuple) else ():
        for kind, value in part:
            if kind == "commonName":
                return str(value)
    return None


# What OpenSSL calls it, and what it means to whoever reads it. The alerts are the peer's: RFC 8446, 6.2
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate, and needs one here",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server wants a certificate of us: tls=zerorpc.Tls(certificate=…, key=…)",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer doesn't trust our certificate: it knows nobody who vouches for it",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer doesn't trust our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer doesn't trust our certificate: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the peer doesn't trust our certificate: it was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer doesn't trust our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the peer can't use a certificate of our kind",
    "TLSV1_ALERT_DECRYPT_ERROR": "the peer couldn't verify our signature",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer speaks no TLS, or none of a version that we speak",
    "UNSUPPORTED_PROTOCOL": "the peer speaks an older version of TLS only; TLS 1.3 is needed",
    "WRONG_VERSION_NUMBER": "the peer speaks an older version of TLS only, or none; TLS 1.3 is needed",
    "NO_SHARED_CIPHER": "the peer and we have no cipher in common",
}
