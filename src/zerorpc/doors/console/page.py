"""The page and the files that it is made of, in the folder ``static``. What they do, they do by the door for HTTP.

A browser is told to run nothing but these files, and to reach nothing but this server: so what a service says of itself
is text there, whatever is in it.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from zerorpc.doors.http.access import Access
from zerorpc.doors.http.asgi_messages import Request, Send
from zerorpc.doors.http.requests import Answered
from zerorpc.exposure import is_public

__all__ = ["Asset", "asset", "check_shown", "send_asset"]

_STATIC = Path(__file__).with_name("static")
_UNDER = "/console/"  # the page's files; the page itself is at /
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"private, no-cache"),  # a browser asks each time whether its copy is the newest
)


class Asset(NamedTuple):
    """A file, and what is told of it."""

    body: bytes
    tag: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def asset(request: Request) -> Asset | None:
    """The file that a request is for; None if it is for none of them."""
    if not request.is_look or not (request.path == "/" or request.path.startswith(_UNDER)):
        return None
    return _assets().get(request.path)


def check_shown(request: Request, access: Access, anyone_may_call: bool) -> None:
    """Raises Answered where other machines reach the page, and nobody is asked who it is."""
    asked = access.rights is not None or request.connection.certificate is not None
    if not asked and not anyone_may_call and is_public(request.endpoint):
        why = (
            "the console is for this machine alone where nobody is asked who calls: "
            "give the server an authenticator, or anyone_may_call=True"
        )
        raise Answered(403, "PermissionDenied", why)


async def send_asset(send: Send, request: Request, found: Asset) -> None:
    """The file; or that the browser has it already (RFC 9110, 13.1.2)."""
    known = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if tags & {"*", found.tag.decode()}:
        await send({"type": "http.response.start", "status": 304, "headers": [*_HEADERS, (b"etag", found.tag)]})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": list(found.headers)})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else found.body})


@functools.cache
def _assets() -> dict[str, Asset]:
    """All of them, by path. Read when somebody looks for the first time: 20 small files."""
    found = {}
    for path in sorted(_STATIC.rglob("*")):
        kind = _TYPES.get(path.suffix)
        if kind is not None:
            name = path.relative_to(_STATIC).as_posix()
            found["/" if name == "index.html" else _UNDER + name] = _asset(path.read_bytes(), kind)
    return found


def _asset(body: bytes, kind: bytes) -> Asset:
    tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    told = ((b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"etag", tag))
    return Asset(body, tag, (*told, *_HEADERS))
