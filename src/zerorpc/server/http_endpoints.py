"""The endpoints ``http://`` and ``https://`` of a server: sockets that uvicorn serves, on the server's own loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from zerorpc.allowed_keys import AllowedKeys
from zerorpc.doors.http import door
from zerorpc.errors import CertificateError, Closed, EndpointError, NotSupported
from zerorpc.exposure import is_public
from zerorpc.plain import Plain
from zerorpc.runtime.loops import running_loop
from zerorpc.settings import ServerSettings
from zerorpc.tls import TlsGiven
from zerorpc.transport.endpoints import parse
from zerorpc.transport.sockets import listening_socket

if TYPE_CHECKING:
    from zerorpc.server.http_serving import HttpServing
    from zerorpc.transport.endpoint_tls import EndpointTls

__all__ = ["HttpEndpoints", "check_keyless"]

_ALPN = "http/1.1"  # what uvicorn speaks, as RFC 7301 has it


class _Bound(NamedTuple):
    endpoint: str
    socket: socket.socket
    tls: EndpointTls | None
    asks_who: bool


class Hub(door.Hub, Protocol):
    """The server's other endpoints, and what they are asked."""

    on_bound: Callable[[list[Any]], None] | None

    def check_changeable(self) -> None: ...


class Service(door.Service, Protocol):
    """What a server is made of."""

    @property
    def hub(self) -> Hub: ...


class HttpEndpoints:
    """Those that a server is bound to. ``bind`` and ``unbind`` are safe from any thread, the rest is the loop's."""

    def __init__(self, service: Service) -> None:
        self.door: door.HttpDoor = door.HttpDoor(service)
        self._settings = service.settings
        self._service = service
        self._bound: dict[str, _Bound] = {}
        self._serving: dict[_Bound, HttpServing] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def endpoints(self) -> list[str]:
        return list(self._bound)

    @property
    def connections(self) -> int:
        """How many there are."""
        return sum(serving.connections for serving in self._serving.values())

    def bind(self, endpoint: str, tls: TlsGiven | None, plain: Plain | None) -> list[str]:
        """Listen. Raises NotSupported without uvicorn, Closed, and what other endpoints raise."""
        _check_uvicorn()
        self._service.hub.check_changeable()
        check_keyless(self._settings, endpoint)
        made = self._tls(endpoint, tls)
        asks = self._settings.authenticator is not None
        if asks and made is None:
            _check_in_clear(endpoint, plain)
        bound = _listen(endpoint, made, asks or (made is not None and made.asks_who))
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

    def _tls(self, endpoint: str, own: TlsGiven | None) -> EndpointTls | None:
        if not endpoint.startswith("https://"):
            if own is not None:
                raise EndpointError(endpoint, "tls= is for endpoints that begin with https:// or tls+tcp://")
            return None
        given = own or self._settings.tls
        if given is None:
            raise CertificateError(f"{endpoint} needs a certificate: give tls=zerorpc.Tls(…) to bind, or to Server")
        from zerorpc.transport.endpoint_tls import EndpointTls  # with ssl

        return EndpointTls(given, server_side=True, alpn=_ALPN)

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
            from zerorpc.server.http_serving import HttpServing  # with uvicorn

            tls = None if bound.tls is None else bound.tls.renewing_context()
            self._serving[bound] = HttpServing(self.door, bound.socket, tls)

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
        self.door.end()
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


def _check_in_clear(endpoint: str, plain: Plain | None) -> None:
    """Raises EndpointError where a password would go over the network in clear."""
    if is_public(endpoint) and (plain is None or not plain.in_clear):
        raise EndpointError(
            endpoint,
            "callers would send passwords and tokens in clear there: use https://, or 127.0.0.1 behind a proxy that "
            "speaks TLS, or bind(…, plain=zerorpc.Plain(in_clear=True))",
        )


def check_keyless(settings: ServerSettings, where: str) -> None:
    """Nobody is let in unasked where others have to show a key. Raises ValueError."""
    asked = settings.authenticator
    if isinstance(asked, AllowedKeys) or (asked is None and settings.curve is not None):
        raise ValueError(f"callers of this server show keys, by CURVE, which {where} can't ask for")


def _check_uvicorn() -> None:
    try:
        import uvicorn  # noqa: F401
    except ImportError:
        raise NotSupported("http:// needs uvicorn: pip install uvicorn") from None


def _listen(text: str, tls: EndpointTls | None, asks_who: bool) -> _Bound:
    scheme, _, address = text.partition("://")
    try:
        parsed = parse(f"tcp://{address.rstrip('/')}")
    except EndpointError as error:
        raise EndpointError(text, error.reason, malformed=error.malformed) from None
    sock = listening_socket(parsed._replace(text=text))
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return _Bound(f"{scheme}://{host}:{sock.getsockname()[1]}", sock, tls, asks_who)
