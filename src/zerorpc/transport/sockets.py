"""Sockets as we want them: listening ones for each scheme, connected ones with the right options."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from zerorpc.errors import EndpointError
from zerorpc.runtime.descriptors import occupy_standard_descriptors
from zerorpc.transport.endpoints import Address, Endpoint, resolve
from zerorpc.transport.inproc import InprocListener, connect_inproc
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.transport.unix_sockets import BACKLOG, SocketFile, bind_unix, naming

if sys.platform == "linux":
    import fcntl  # now: at its first use the process may be out of descriptors

__all__ = [
    "CONNECT_TIMEOUT",
    "OUT_OF_DESCRIPTORS",
    "Acceptor",
    "Listener",
    "TcpAcceptor",
    "connect_blocking",
    "has_peer_ended",
    "lead_nowhere",
    "listen",
    "open_socket",
    "output_progress",
    "taken_octets",
    "tune",
    "unsent_octets",
]

_KEEPALIVE_IDLE = 60  # s without traffic before the system asks whether the other host still exists
_KEEPALIVE_INTERVAL = 10
_KEEPALIVE_COUNT = 6
# s for an attempt. The system asks again at growing
# intervals, so that new attempts find somebody who comes back sooner: within 1.9 s, on Linux 6.5 and later 1.0, where
# it took up to 4.1 and 2.5 with attempts of 10 s (measured, outages of 4 to 18 s).
CONNECT_TIMEOUT = 3.0
_ENDED_BY_PEER = (7, 8)  # TCP_CLOSE, after a reset; TCP_CLOSE_WAIT: netinet/tcp.h
_SIOCOUTQ = 0x5411
_BYTES_ACKED = 120  # where Linux's struct tcp_info has tcpi_bytes_acked, 8 octets
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept: no use to try again at once


class Acceptor(Protocol):
    """What a listener does for a shell."""

    def fileno(self) -> int: ...

    def accept(self) -> socket.socket:
        """A connected socket; BlockingIOError when nobody waits."""

    def close(self) -> None: ...


class Listener:
    """One bound address. ``endpoint`` is the real one: with the port that the system chose. ``security`` is that of
    the connections that come there.
    """

    def __init__(self, endpoint: str, acceptor: Acceptor, security: Security = UNSECURED) -> None:
        self.endpoint = endpoint
        self.security: Security = security
        self.fileno: Callable[[], int] = acceptor.fileno
        self.accept: Callable[[], socket.socket] = acceptor.accept
        self._close = acceptor.close

    @property
    def asks_who(self) -> bool:
        """Whether who connects has to prove who they are."""
        return self.security.asks_who

    def close(self) -> None:
        self._close()

    def __repr__(self) -> str:
        return f"<Listener {self.endpoint}>"


def listen(endpoint: Endpoint, security: Security = UNSECURED, file: SocketFile | None = None) -> Listener:
    """Bind and listen; ``file`` is what an ipc path's shall be like. Raises AddressInUse, EndpointError, or another
    OSError (no permission, …).
    """
    occupy_standard_descriptors()
    if file is not None and endpoint.scheme != "ipc":
        raise EndpointError(endpoint.text, "mode and owner are for ipc paths")
    if endpoint.scheme == "inproc":
        return Listener(endpoint.text, InprocListener(endpoint), security)
    if endpoint.scheme == "ipc":
        return Listener(endpoint.text, bind_unix(endpoint, file), security)
    acceptor = TcpAcceptor(listening_socket(endpoint))
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return Listener(f"{endpoint.scheme}://{host}:{acceptor.port}", acceptor, security)


def listening_socket(endpoint: Endpoint) -> socket.socket:
    """A TCP socket that listens there. Raises as ``listen``."""
    occupy_standard_descriptors()
    family, address = resolve(endpoint, passive=True)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows it would let two servers share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with naming(endpoint):
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


class TcpAcceptor:
    """A socket of TCP that listens."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.port: int = sock.getsockname()[1]
        self.fileno: Callable[[], int] = sock.fileno

    def accept(self) -> socket.socket:
        return self._socket.accept()[0]

    def close(self) -> None:
        self._socket.close()


def open_socket(address: Address) -> socket.socket:
    """A non-blocking socket for an address, not yet connected."""
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def connect_blocking(endpoint: Endpoint, made: Callable[[socket.socket], None] = lambda _: None) -> socket.socket:
    """A connected socket, for an endpoint that needs no look-up. Raises OSError.

    ``made`` is told of the socket before it connects.
    """
    if endpoint.scheme == "inproc":
        sock = connect_inproc(endpoint.path)
        made(sock)
        return sock
    family, address = resolve(endpoint)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    made(sock)
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect(address)
    except TimeoutError:
        sock.close()
        raise OSError(f"no answer within {CONNECT_TIMEOUT:g} s") from None
    except BaseException:
        sock.close()
        raise
    return sock


def tune(sock: socket.socket) -> None:
    """Options for a connected socket: small messages go at once, and a vanished host is noticed when idle."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # the peer may be gone already; the first read will tell
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_COUNT)


def has_peer_ended(sock: socket.socket) -> bool:
    """Whether the other end has closed a connection, even if what it sent before hasn't been read. Linux can tell."""
    if sys.platform != "linux":
        return False
    try:
        with socket.socket(fileno=os.dup(sock.fileno())) as same:  # uvloop's own can't be asked
            state = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:  # it is closed here
        return True
    return state in _ENDED_BY_PEER


def lead_nowhere(filenos: Iterable[int]) -> None:
    """In a forked child: have these descriptors, its copies, lead to nothing. Those of the parent are as before.

    Just closed, their numbers would be given to other files, which whoever still knows them would write to; and an
    event loop closing them would strike the parent's off the epoll instance that both share. Raises nothing: where the
    system has no file left for the process, all but the first stay as they are.
    """
    numbers = [fileno for fileno in filenos if fileno >= 0]
    if not numbers:
        return
    with contextlib.suppress(OSError):
        null = _open_null(numbers[0])
        for fileno in numbers:
            if fileno != null:
                os.dup2(null, fileno, inheritable=False)
        if null not in numbers:
            os.close(null)


def _open_null(spare: int) -> int:
    """A descriptor that leads to nothing. Only where there is none left, ``spare`` is closed for it.

    Where Python was not told of the fork, other threads open files meanwhile, and may be given any number that is free.
    """
    with contextlib.suppress(OSError):
        return os.open(os.devnull, os.O_RDWR)
    with contextlib.suppress(OSError):  # somebody closed it who had no business to
        os.close(spare)
    return os.open(os.devnull, os.O_RDWR)


class Measurable(Protocol):
    """A socket, or what an event loop shows of it."""

    def fileno(self) -> int: ...

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def output_progress(sock: Measurable | None, kept: int) -> tuple[int, int]:
    """How many octets of our output the peer's system has taken, by a count that only grows, and how many it has not:
    those that the socket holds, and those that were ``kept`` back from it. The socket is None when it is closed.
    """
    unsent = kept + (0 if sock is None else unsent_octets(sock.fileno()))
    return taken_octets(sock, unsent), unsent


def unsent_octets(fileno: int) -> int:
    """What the system holds of our output and the peer hasn't taken; 0 where the system can't tell."""
    if sys.platform != "linux":
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(fileno, _SIOCOUTQ, b"\0\0\0\0"))[0])
    except (OSError, ValueError):  # closed, perhaps
        return 0


def taken_octets(sock: Measurable | None, unsent: int) -> int:
    """How much of our output the peer's system has taken so far; where ours can't tell, a count that grows likewise."""
    if sys.platform == "linux" and sock is not None:
        with contextlib.suppress(OSError, AttributeError):  # not TCP, or closed; no socket of the system's
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
            if len(info) == _BYTES_ACKED + 8:  # Linux 4.1
                return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)
    return -unsent
