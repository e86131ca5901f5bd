"""uvicorn at one listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from zerorpc.doors.http.asgi_messages import Connection
from zerorpc.doors.http.door import HttpDoor
from zerorpc.transport.sockets import has_peer_ended
from zerorpc.transport.tls import certificate_of

__all__ = ["HttpServing"]

_LAST_ANSWERS = 1.0  # s in which clients have to read them, when what runs has had its grace
_FIRST_REQUEST = 0.25  # s in which it has to begin on a connection that has just come when the server stops
_HEAD_MAX = 64 * 1024  # octets, as h11's; browsers send 8 KiB at most, and Apache takes no more


class HttpServing:
    """The door behind one socket, from now on. On the running loop, which is the server's."""

    def __init__(self, door: HttpDoor, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        config = uvicorn.Config(
            door,
            http=_protocol(door),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[sock]))

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    def leave(self) -> None:
        """Accept no more; what runs is answered."""
        self._server.should_exit = True

    async def ended(self) -> None:
        """Until all connections have ended. Those whose clients don't read are cut off."""
        await asyncio.wait([self._task], timeout=_LAST_ANSWERS)
        if not self._task.done():
            self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await asyncio.wait([self._task])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are ours


def _protocol(door: HttpDoor) -> type[asyncio.Protocol]:
    """One that tells the door what ASGI has no word for, and bounds what a request may begin with."""

    class Protocol(AutoHTTPProtocol):  # type: ignore[valid-type, misc] # h11's, or httptools'
        told: Connection
        head: int = 0  # octets of the request line and headers so far
        leaving: bool = False  # its next answer is the last

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            certificate = None if tls is None else certificate_of(tls)
            has_ended = functools.partial(has_peer_ended, transport.get_extra_info("socket"))
            self.told = Connection(tls is not None, certificate, is_told=True, has_ended=has_ended)
            self.app = functools.partial(door, connection=self.told)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.told.lost()  # uvicorn tells the newest request alone, and one that asks

        def shutdown(self) -> None:
            """uvicorn closes what waits for a request. Who has just connected may have sent one, and is answered."""
            if self.cycle is None and not self.leaving:
                self.leaving = True
                self.loop.call_later(_FIRST_REQUEST, self._shut_down)
            else:
                super().shutdown()

        def _shut_down(self) -> None:
            if not self.transport.is_closing():
                super().shutdown()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.leaving and self.cycle is not None:
                self.cycle.keep_alive = False  # read when it answers: not before the loop's next turn

        # httptools calls these. It has no limit of its own; h11 has the same.

        def on_message_begin(self) -> None:
            self.head = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(len(name) + len(value) + 4)
            super().on_header(name, value)

        def _count(self, octets: int) -> None:
            self.head += octets
            if self.head > _HEAD_MAX:
                raise ValueError("the headers are too long")  # which httptools makes an invalid request of

    return Protocol
