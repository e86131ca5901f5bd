"""Listening sockets that whoever started this process has passed on: ``fd://3``, and systemd's ``fd://name``.

systemd passes those of a .socket unit from descriptor 3 on, and says in the environment for which process they are,
how many, and how each is called: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Container, Mapping

from zerorpc.errors import AddressInUse, EndpointError
from zerorpc.transport.endpoints import Endpoint, address_text, parse
from zerorpc.transport.security import Security
from zerorpc.transport.sockets import Acceptor, Listener, TcpAcceptor
from zerorpc.transport.unix_sockets import UnixAcceptor

__all__ = ["listen_inherited"]

_FIRST = 3  # systemd's
_DIGITS = 9  # of a descriptor's number


def listen_inherited(
    endpoint: Endpoint,
    secure: Callable[[Endpoint], Security],
    taken: Container[str],
    environment: Mapping[str, str] = os.environ,
) -> list[Listener]:
    """Listen at what ``endpoint`` stands for, under the addresses where that really is; ``secure`` says what the
    connections of each begin with. A name stands for all sockets that have it.

    Raises EndpointError for what was not passed on, or doesn't listen, and AddressInUse for an address that is
    ``taken``. Closing a listener closes its descriptor; the file of an ipc path stays, as whoever has made it wants it.
    """
    listeners: list[Listener] = []
    try:
        listeners.extend(_listener(endpoint, number, secure, taken) for number in _numbers(endpoint, environment))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _numbers(endpoint: Endpoint, environment: Mapping[str, str]) -> list[int]:
    """The descriptors that it stands for."""
    if endpoint.path.isascii() and endpoint.path.isdecimal() and len(endpoint.path) < _DIGITS:
        return [int(endpoint.path)]
    if environment.get("LISTEN_PID") != str(os.getpid()):
        raise EndpointError(endpoint.text, "nobody has passed a socket to this process: LISTEN_PID isn't its own")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = [number for number, name in enumerate(names, _FIRST) if name == endpoint.path]
    if not found:
        raise EndpointError(endpoint.text, f"no socket of this name was passed, only {', '.join(filter(None, names))}")
    return found


def _listener(
    endpoint: Endpoint, number: int, secure: Callable[[Endpoint], Security], taken: Container[str]
) -> Listener:
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise EndpointError(endpoint.text, f"descriptor {number} is no socket: {error.strerror}") from None
    try:
        real = _real(endpoint, sock)
        if real.text in taken:
            raise AddressInUse(endpoint.text)
        security = secure(real)
    except BaseException:
        sock.detach()  # it isn't ours
        raise
    sock.setblocking(False)
    sock.set_inheritable(False)
    acceptor: Acceptor = UnixAcceptor(sock, None) if real.scheme == "ipc" else TcpAcceptor(sock)
    return Listener(real.text, acceptor, security)


def _real(endpoint: Endpoint, sock: socket.socket) -> Endpoint:
    """Where it listens. Raises EndpointError for one that doesn't, and OSError."""
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise EndpointError(endpoint.text, "it is no socket that listens: Accept=no, and ListenStream=, for systemd")
    address, with_tls = sock.getsockname(), endpoint.scheme == "tls+fd"
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        return parse(address_text(address, "tls+tcp" if with_tls else "tcp"))
    if sock.family != getattr(socket, "AF_UNIX", None) or with_tls:
        raise EndpointError(
            endpoint.text, "it is no socket of TCP, which TLS needs" if with_tls else "of another family"
        )
    if isinstance(address, bytes):  # an abstract name
        return parse("ipc://@" + address[1:].decode(errors="surrogateescape"))
    return parse(f"ipc://{address}")
