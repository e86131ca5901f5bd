"""Web pages that call: whose they may be."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable

from zerorpc.doors.http.asgi_messages import Message, Request, Send
from zerorpc.doors.http.requests import Answered

__all__ = ["Origins", "preflight", "with_headers"]

_REMEMBERED = b"600"  # s that a browser need not ask again; Chromium takes no more than two hours
_FOR_ALL = ("/livez", "/readyz", "/metrics")  # by whatever name: probes and Prometheus come by those of a cluster
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
Headers = tuple[tuple[bytes, bytes], ...]


class Origins:
    """Which pages may call: those of this very server, and those of the origins that its program names.

    A web page may not call all that its visitor reaches: not as another origin, and not by a name of its own that it
    has made lead here (DNS rebinding). So a page of this server has to have been reached by an address or
    ``localhost``, or by our own TLS, where the browser has verified the name. Only browsers say where a request comes
    from; others aren't kept out by this.

    ``patterns`` are those of ``fnmatch``, of origins as browsers write them: ``https://*.example.org``.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)

    def check(self, request: Request) -> Headers:
        """The headers that let a page of another origin read the answer. Raises Answered for one that may not call."""
        headers = request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and self._named(origin):
            return ((b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin"))
        if origin is not None and origin.partition("://")[2] != host:
            raise Answered(403, "OtherOrigin", f"pages of {origin} may not call")
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if origin is None and site in ("cross-site", "same-site") and mode != "navigate":  # a picture, or a script
            raise Answered(403, "OtherOrigin", "pages of other origins may not call")
        # A browser that GETs from a page without TLS says nothing of where that comes from.
        may_be_page = origin is not None or "sec-fetch-site" in headers or request.is_look
        if may_be_page and not (request.connection.verified or request.path in _FOR_ALL or self._is_own(host)):
            why = f"{host} may be anybody's: use an address, localhost, or https://; or name http://{host} in origins="
            raise Answered(403, "OtherHost", why)
        return ()

    def _named(self, origin: str) -> bool:
        is_origin = _ORIGIN.fullmatch(origin) is not None
        return is_origin and any(fnmatch.fnmatchcase(origin, pattern) for pattern in self._patterns)

    def _is_own(self, host: str) -> bool:
        return _is_own_host(host) or self._named(f"http://{host}") or self._named(f"https://{host}")


def preflight(request: Request) -> Headers | None:
    """What to tell a browser that asks before it calls; None for another request (CORS, Fetch Standard, 3.2)."""
    if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
        return None
    asked = request.headers.get("access-control-request-headers", "")
    return (
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", asked.encode("latin-1")),
        (b"access-control-max-age", _REMEMBERED),
    )


def with_headers(send: Send, headers: Headers) -> Send:
    """The same, with these in each answer."""
    if not headers:
        return send

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}  # type: ignore[misc] # a list, always
        await send(message)

    return send_with


def _is_own_host(host: str) -> bool:
    """Whether it is one that nobody else can have made lead here."""
    name = host.rpartition(":")[0] if host.rpartition("]")[2].count(":") else host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
