"""uvicorn at one listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator
from math import ceil

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from zerorpc.doors.http.door import HttpDoor
from zerorpc.transport.tls import certificate_of

__all__ = ["HttpServing"]

_AFTER_GRACE = 1  # s that connections get to end, when what runs has had its grace


class HttpServing:
    """The door behind one socket, from now on. On the running loop, which is the server's."""

    def __init__(self, door: HttpDoor, sock: socket.socket, tls: ssl.SSLContext | None, grace: float) -> None:
        config = uvicorn.Config(
            door,
            http=_protocol(door),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=ceil(grace) + _AFTER_GRACE,
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[sock]))

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    def leave(self) -> None:
        """Accept no more."""
        self._server.should_exit = True

    async def ended(self) -> None:
        """Until all connections have ended."""
        await asyncio.wait([self._task])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are ours


def _protocol(door: HttpDoor) -> type[asyncio.Protocol]:
    """One that tells the door which certificate its client has shown: ASGI has no word for that."""

    class Protocol(AutoHTTPProtocol):  # type: ignore[valid-type, misc] # h11's, or httptools'
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            if tls is not None:
                self.app = functools.partial(door, verified=True, certificate=certificate_of(tls))

    return Protocol
