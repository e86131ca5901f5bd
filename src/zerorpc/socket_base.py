"""What clients, servers, pushers and pullers have in common: the endpoints that they are bound and connected to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from zerorpc.curve import Curve
from zerorpc.given import UNCHANGED
from zerorpc.not_picklable import NotPicklable
from zerorpc.plain import Plain
from zerorpc.protocol.events import Buffer
from zerorpc.tls import TlsGiven
from zerorpc.transport.hub import Hub
from zerorpc.transport.unix_sockets import socket_file

__all__ = ["SocketBase"]


class Core(Protocol):
    """What stands behind a socket's public face, whose own names must not get in the way of remote ones."""

    tap: Callable[[str, Buffer], None] | None

    @property
    def hub(self) -> Hub: ...


class SocketBase(NotPicklable):
    """A socket as in ZeroMQ: it may bind and connect to any number of endpoints, mixed. Safe from any thread.

    Endpoints are ``tcp://host:port``, ``tcp://*:port``, ``tcp://0:port``, ``tcp://[::1]:port``, the same with
    ``tls+tcp``, for which ``tls`` counts before what the constructor was given, ``ipc://path``,
    ``ipc://@abstract`` (Linux) and ``inproc://name``; a list stands for several, and a name to connect to for all
    addresses that it has, now and later. With ``resolve`` they pass the context's hook ``resolve_endpoint`` first. A
    malformed one raises EndpointError; a closed socket raises Closed.

    An endpoint may have a ``curve`` of its own: a ``zerorpc.Curve``, or None for neither encryption nor
    authentication; or a ``plain``, a ``zerorpc.Plain``, in its place. Others have the socket's.
    """

    _core: Core

    def bind(
        self,
        endpoint: object,
        resolve: bool = True,
        *,
        tls: TlsGiven | None = None,
        mode: int | None = None,
        owner: str | None = None,
        curve: Curve | None = UNCHANGED,
        plain: Plain | None = UNCHANGED,
    ) -> list[str]:
        """Listen on an endpoint; returns the real ones, with the port that the system chose for port 0 or ``*``.

        ``fd://3`` is a listening socket, of TCP or ipc, that whoever has started this process has passed on as that
        descriptor, and ``fd://name`` all those that systemd calls so (LISTEN_FDNAMES); ``tls+fd://`` for TLS.

        ``mode`` and ``owner`` are those of the file of an ipc path, before anybody can connect: ``mode=0o660,
        owner="user:group"``, also ``":group"`` and numbers. Whoever may write to the file may connect. TypeError,
        ValueError or EndpointError for others, OSError where they can't be set.

        Raises AddressInUse, EndpointError for an address that this machine doesn't have, or another OSError. Peers may
        connect from now on; they wait until this socket works: until a server or puller runs, a client makes its first
        call, or a pusher sends its first message.
        """
        hub = self._core.hub
        security = hub.security.changed(curve=curve, plain=plain)
        return hub.bind(endpoint, resolve, security, tls=tls, file=socket_file(mode, owner))

    def connect(
        self,
        endpoint: object,
        resolve: bool = True,
        *,
        tls: TlsGiven | None = None,
        curve: Curve | None = UNCHANGED,
        plain: Plain | None = UNCHANGED,
    ) -> list[str]:
        """Stay connected to an endpoint; returns it, as ``bind`` does, without waiting for the connection.

        Nobody has to listen there yet. A lost connection is made again. Errors of the network raise nothing here: the
        calls that find no server name them.
        """
        hub = self._core.hub
        return hub.connect(endpoint, resolve, hub.security.changed(curve=curve, plain=plain), tls=tls)

    def unbind(self, endpoint: object, resolve: bool = True) -> None:
        """Undo ``bind``; connections that came through it stay. Raises EndpointError if it isn't bound.

        The address is free at once, or a moment later if another thread is just waiting for connections there.
        """
        self._core.hub.unbind(endpoint, resolve)

    def disconnect(self, endpoint: object, resolve: bool = True) -> None:
        """Undo ``connect``; calls that run there end with LostRemote. Raises EndpointError if it isn't connected."""
        self._core.hub.disconnect(endpoint, resolve)

    @property
    def endpoints(self) -> list[str]:
        """The endpoints that it is bound to."""
        return list(self._core.hub.listeners)

    @property
    def debug(self) -> bool:
        """Whether events are logged, at level DEBUG to the logger ``zerorpc.events``.

        It counts for connections that are made later: set it at the start.
        """
        return self._core.tap is not None

    @debug.setter
    def debug(self, value: bool) -> None:
        if not value:
            self._core.tap = None
            return
        from zerorpc.event_log import log_event  # which a program may do without

        self._core.tap = log_event

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.hub!r}>"
