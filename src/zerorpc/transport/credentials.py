"""What a connection has shown of who is behind it."""

from __future__ import annotations

import socket
import struct

from zerorpc.callers import Caller, UnixProcess
from zerorpc.keys import encode_z85
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.endpoints import address_text
from zerorpc.zmtp.mechanisms import Credentials

__all__ = ["caller_of", "unix_process"]

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: ``struct ucred`` of unix(7)


def caller_of(link: AioLink) -> Caller:
    """Of a link that is asking. Raises OSError if the connection is gone."""
    sock = link.sock
    credentials: Credentials = link.peer.connection.credentials
    shows_password = credentials.mechanism == "PLAIN"
    return Caller(
        endpoint=_our_endpoint(sock, link),
        peer=link.name,
        key=encode_z85(credentials.key) if credentials.key else None,
        certificate=link.certificate,
        process=None if sock is None else unix_process(sock),
        user=credentials.user.decode("utf-8", "surrogateescape") if shows_password else None,
        password=credentials.password.decode("utf-8", "surrogateescape") if shows_password else None,
    )


def _our_endpoint(sock: socket.socket | None, link: AioLink) -> str:
    """Where it has connected to; for a connection that we have made, where to."""
    if link.dialer is not None:
        return link.dialer.endpoint.text
    if sock is None:
        return link.name
    address = sock.getsockname()
    if isinstance(address, tuple):
        return address_text(address, "tls+tcp" if link.name.startswith("tls+tcp:") else "tcp")
    if isinstance(address, bytes):  # an abstract name
        return "ipc://@" + address[1:].decode(errors="surrogateescape")
    return f"ipc://{address}" if address else "inproc://"


def unix_process(sock: socket.socket) -> UnixProcess | None:
    """The process that made a connection by ipc; None for other connections, and where it isn't known."""
    option = getattr(socket, "SO_PEERCRED", None)  # Linux has it
    if option is None or sock.family != socket.AF_UNIX:
        return None
    return UnixProcess(*_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)))
