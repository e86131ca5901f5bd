"""``zerorpc.asgi``: a server's methods in an ASGI program of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from zerorpc.doors.http.asgi_messages import Message, Receive, Send
from zerorpc.errors import Closed
from zerorpc.server.http_endpoints import check_keyless
from zerorpc.server.life import State
from zerorpc.server.server import Server
from zerorpc.shown import message_of

__all__ = ["asgi"]

App: TypeAlias = "Callable[[Message, Receive, Send], Awaitable[None]]"


def asgi(server: Server) -> App:
    """The server as an ASGI application, to run or to mount: ``app.mount("/robot", zerorpc.asgi(server))`` in FastAPI.

    Argument: ``server``, which serves on the program's event loop from the first request on, or from the program's
    startup if this is the whole of it; what else it is bound to is served too. It isn't to be run elsewhere. It stops
    at the program's shutdown, or with its loop; in a program that mounts it and goes on, ``server.stop()`` does it.

    What HTTP callers may do is as at ``http://`` endpoints, below where it is mounted: ``POST /call/METHOD``, ``GET
    /openapi.json``. The server's ``authenticator`` is asked about each request, as there; the certificates that TLS has
    shown to the program are not known here. Without an authenticator, whoever reaches the program can call. Requests
    raise RuntimeError when the server runs on another loop or thread, and Closed once it is closed.

    Raises ValueError for a server whose callers show keys, by ``curve``: HTTP has none.
    """
    check_keyless(server._core.settings, "zerorpc.asgi")
    return _Mounted(server)


class _Mounted:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._service = server._core
        self._serving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._started()
            await self._service.http_endpoints().door(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._started()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": message_of(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._server.stop()
        if self._serving is not None:
            await asyncio.wait([self._serving])
        await send({"type": "lifespan.shutdown.complete"})

    async def _started(self) -> None:
        service = self._service
        if self._serving is None and service.life.state is State.NEW:
            self._serving = asyncio.ensure_future(self._server.serve())
        while service.runners is None and service.life.state in (State.NEW, State.SERVING):
            if self._serving is not None and self._serving.done():
                self._serving.result()  # why it can't serve
            await asyncio.sleep(0)  # it begins in the next turn of the loop, and nothing tells when
        if service.life.state is State.CLOSED or service.runners is None:
            raise Closed("this server is closed")
        if service.runners.loop is not asyncio.get_running_loop():
            raise RuntimeError("this server is served on another event loop: give zerorpc.asgi one of its own")
