"""What clients, servers, pushers and pullers have in common: the endpoints that they are bound and connected to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from zerorpc.protocol.events import Buffer
from zerorpc.transport.hub import Hub

__all__ = ["SocketBase"]


class Core(Protocol):
    """What stands behind a socket's public face, whose own names must not get in the way of remote ones."""

    tap: Callable[[str, Buffer], None] | None

    @property
    def hub(self) -> Hub: ...


class SocketBase:
    """A socket in ZeroMQ's sense: it may bind and connect to any number of endpoints, mixed. Safe from any thread.

    Endpoints are ``tcp://host:port``, ``tcp://*:port``, ``tcp://0:port``, ``tcp://[::1]:port``, ``ipc://path``,
    ``ipc://@abstract`` (Linux) and ``inproc://name``; a list stands for several. With ``resolve`` they pass the
    context's hook ``resolve_endpoint`` first. A malformed one raises EndpointError.
    """

    _core: Core

    def bind(self, endpoint: Any, resolve: bool = True) -> list[str]:
        """Listen on an endpoint; returns the real ones, with the port that the system chose for port 0 or ``*``.

        Raises AddressInUse or another OSError at once. Peers may connect from now on, and wait until they are heeded.
        """
        return self._core.hub.bind(endpoint, resolve)

    def connect(self, endpoint: Any, resolve: bool = True) -> list[str]:
        """Stay connected to an endpoint. Returns at once; nobody has to listen there yet, and whoever does may go
        and come back.
        """
        return self._core.hub.connect(endpoint, resolve)

    def unbind(self, endpoint: Any, resolve: bool = True) -> None:
        """Undo ``bind``; connections that came through it stay. Raises EndpointError if it isn't bound."""
        self._core.hub.unbind(endpoint, resolve)

    def disconnect(self, endpoint: Any, resolve: bool = True) -> None:
        """Undo ``connect``; calls that run there end with LostRemote. Raises EndpointError if it isn't connected."""
        self._core.hub.disconnect(endpoint, resolve)

    @property
    def endpoints(self) -> list[str]:
        """Where it listens."""
        return list(self._core.hub.listeners)

    @property
    def debug(self) -> bool:
        """Whether each event of connections to come is logged, at level DEBUG to the logger ``zerorpc.events``."""
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
