"""The PROXY protocol, version 2: how a proxy such as HAProxy says for whom it connects.

Octets in, the caller's address out. It never wants an octet from behind the header: what follows stays in the socket,
for whoever goes on with it. The specification is HAProxy's proxy-protocol.txt; this is its section 2.2.
"""

from __future__ import annotations

import socket
import struct

from zerorpc.errors import ProtocolError
from zerorpc.transport.endpoints import address_text

__all__ = ["ProxyHeader"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = struct.Struct("!12sBBH")  # signature, version and command, family and transport, length of the rest
_VERSION_2, _LOCAL, _PROXY = 0x20, 0x20, 0x21
_IPV4 = struct.Struct("!4s4xH2x")
_IPV6 = struct.Struct("!16s16xH2x")
_UNIX = struct.Struct("!108s108x")
# Families, each over streams and over datagrams. The specification has every other number refused.
_ADDRESSES = {0x00: None, 0x11: _IPV4, 0x12: _IPV4, 0x21: _IPV6, 0x22: _IPV6, 0x31: _UNIX, 0x32: _UNIX}
_KEPT_MAX = _HEAD.size + _UNIX.size  # octets; behind the addresses come extras (TLVs), of which we use none


class ProxyHeader:
    """One header, in chunks of any size.

    ::

        header = ProxyHeader()
        while header.missing:
            header.receive(sock.recv(header.missing))

    ``missing`` is how many octets still have to come at least, 0 when the header is whole. Then ``caller`` is the
    address that the proxy gave, as an endpoint, or None if it gave none: it connects for itself (a health check), or
    doesn't know. A header may announce up to 65,535 octets, of which no more than 232 are ever kept.
    """

    __slots__ = ("_addresses", "_data", "caller", "missing")

    def __init__(self) -> None:
        self.missing: int = _HEAD.size
        self.caller: str | None = None
        self._data = bytearray()
        self._addresses: struct.Struct | None = None

    def receive(self, data: bytes) -> None:
        """Take what arrived: no more than ``missing``. Raises ProtocolError as soon as it can't be a header."""
        if len(data) > self.missing:
            raise ValueError(f"{len(data)} octets, where {self.missing} were wanted")
        self.missing -= len(data)
        if len(self._data) < _HEAD.size:
            self._data += data
            _check_signature(bytes(self._data[: len(_SIGNATURE)]))
            if not self.missing:
                self.missing = self._read_head()
        else:
            self._data += data[: max(0, _KEPT_MAX - len(self._data))]
        if not self.missing and self._addresses is not None:
            self.caller = _caller(self._addresses, self._data)

    def _read_head(self) -> int:
        """How many octets follow the head."""
        _, command, family, length = _HEAD.unpack(self._data)
        if command not in (_LOCAL, _PROXY):
            what = f"command {command & 0x0F}" if command & 0xF0 == _VERSION_2 else f"version {command >> 4}"
            raise ProtocolError(f"{what} of the PROXY protocol is unknown")
        if command == _PROXY:  # else nothing but the length has a meaning
            if family not in _ADDRESSES:
                raise ProtocolError(f"address family 0x{family:02x} of the PROXY protocol is unknown")
            self._addresses = _ADDRESSES[family]
        if self._addresses is not None and length < self._addresses.size:
            raise ProtocolError(f"a PROXY protocol header of {length} octets is too short for its addresses")
        return int(length)

    def __repr__(self) -> str:
        return f"<ProxyHeader {f'missing={self.missing}' if self.missing else self.caller}>"


def _check_signature(start: bytes) -> None:
    if _SIGNATURE.startswith(start):
        return
    if start.startswith(b"\xff"):
        guess = "a ZMTP greeting: a client that came past the proxy, or a proxy without send-proxy-v2"
    elif start.startswith(b"PROXY "):
        guess = "one of version 1: tell the proxy to send version 2 (for HAProxy, send-proxy-v2)"
    else:
        guess = f"something that began with {start!r}"
    raise ProtocolError(f"expected a PROXY protocol header, but got {guess}")


def _caller(addresses: struct.Struct, data: bytearray) -> str | None:
    if addresses is _UNIX:
        (path,) = _UNIX.unpack_from(data, _HEAD.size)
        path = path[:1].replace(b"\0", b"@") + path[1:].partition(b"\0")[0]  # abstract names begin with a null
        return f"ipc://{repr(path)[2:-1]}" if path != b"@" else None  # escaped: it goes into logs
    host, port = addresses.unpack_from(data, _HEAD.size)
    return address_text((socket.inet_ntop(socket.AF_INET if addresses is _IPV4 else socket.AF_INET6, host), port))
