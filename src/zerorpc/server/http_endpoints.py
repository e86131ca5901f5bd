"""The endpoints ``http://`` of a server: sockets that uvicorn serves, on the server's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any, NamedTuple, Protocol

from zerorpc.doors.http.door import HttpDoor
from zerorpc.errors import Closed, EndpointError, NotSupported
from zerorpc.runtime.loops import running_loop
from zerorpc.service.registry import Registry
from zerorpc.service.runners import Runners
from zerorpc.settings import ServerSettings
from zerorpc.transport.endpoints import parse
from zerorpc.transport.sockets import listening_socket

__all__ = ["HttpEndpoints", "check_open_to_all"]

_AFTER_GRACE = 1  # s that connections get to end, when what runs has had its grace


class _Bound(NamedTuple):
    endpoint: str
    socket: socket.socket
    asks_who: bool = False


class Hub(Protocol):
    """Of the server's other endpoints."""

    on_bound: Callable[[list[Any]], None] | None

    def check_changeable(self) -> None: ...


class Service(Protocol):
    """What a server is made of."""

    registry: Registry
    settings: ServerSettings

    @property
    def hub(self) -> Hub: ...

    @property
    def running(self) -> Runners: ...


class HttpEndpoints:
    """Those that a server is bound to. ``bind`` and ``unbind`` are safe from any thread, the rest is the loop's."""

    def __init__(self, service: Service) -> None:
        self.door: HttpDoor = HttpDoor(service.registry, lambda: service.running, service.settings.limits)
        self._settings = service.settings
        self._service = service
        self._bound: dict[str, _Bound] = {}
        self._serving: dict[_Bound, _Serving] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def endpoints(self) -> list[str]:
        return list(self._bound)

    def bind(self, endpoint: str) -> list[str]:
        """Listen. Raises NotSupported without uvicorn, Closed, and what other endpoints raise."""
        _check_uvicorn()
        self._service.hub.check_changeable()
        check_open_to_all(self._settings, endpoint)
        bound = _listen(endpoint)
        with self._lock:
            if self._closed:
                bound.socket.close()
                raise Closed("this server is closed")
            self._bound[bound.endpoint] = bound
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._serve, bound)
        if (tell := self._service.hub.on_bound) is not None:
            tell([bound])
        return [bound.endpoint]

    def unbind(self, endpoint: str) -> None:
        """Listen no more; requests that run there are answered."""
        with self._lock:
            bound = self._bound.pop(endpoint, None)
            if bound is None:
                raise EndpointError(endpoint, "not bound to it")
            if self._loop is None or running_loop() is self._loop:
                self._leave(bound)
            else:
                self._loop.call_soon_threadsafe(self._leave, bound)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve from now on."""
        with self._lock:
            self._loop = loop
            bound = list(self._bound.values())
        for each in bound:
            self._serve(each)

    def _serve(self, bound: _Bound) -> None:
        if bound in self._serving:  # bound while the server began: both ``bind`` and ``start`` saw to it
            return
        if self._bound.get(bound.endpoint) is bound and not self._closed:
            self._serving[bound] = _Serving(self.door, bound.socket, self._settings.grace)

    def _leave(self, bound: _Bound) -> None:
        serving = self._serving.get(bound)
        if serving is None:  # it was not served yet
            bound.socket.close()
        else:
            serving.leave()

    def leave(self) -> None:
        """Accept no more."""
        self.close()
        for serving in self._serving.values():
            serving.leave()

    async def aclose(self) -> None:
        """Until all connections have ended."""
        for serving in self._serving.values():
            await serving.ended()

    def close(self) -> None:
        """Nothing is bound any more. From any thread."""
        with self._lock:
            self._closed = True
            bound, self._bound = self._bound, {}
        for each in bound.values():
            if each not in self._serving:
                each.socket.close()


class _Serving:
    """uvicorn at one socket."""

    def __init__(self, door: HttpDoor, sock: socket.socket, grace: float) -> None:
        import uvicorn

        class Server(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # they are ours

        config = uvicorn.Config(
            door,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=ceil(grace) + _AFTER_GRACE,
        )
        self._server = Server(config)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[sock]))

    def leave(self) -> None:
        self._server.should_exit = True

    async def ended(self) -> None:
        await asyncio.wait([self._task])


def check_open_to_all(settings: ServerSettings, where: str) -> None:
    """Nobody is let in unasked where others have to show who they are. Raises ValueError."""
    asked = [name for name in ("authenticator", "curve", "plain") if getattr(settings, name) is not None]
    if asked:
        raise ValueError(f"{where} can't ask who calls yet, and this server has {', '.join(asked)}")


def _check_uvicorn() -> None:
    try:
        import uvicorn  # noqa: F401
    except ImportError:
        raise NotSupported("http:// needs uvicorn: pip install uvicorn") from None


def _listen(text: str) -> _Bound:
    try:
        parsed = parse(f"tcp://{text.partition('://')[2].rstrip('/')}")
    except EndpointError as error:
        raise EndpointError(text, error.reason, malformed=error.malformed) from None
    sock = listening_socket(parsed._replace(text=text))
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return _Bound(f"http://{host}:{sock.getsockname()[1]}", sock)
