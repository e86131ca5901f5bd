"""What there is to look at by HTTP besides calls: how the server is, and what it has counted."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from zerorpc.doors.http.access import Access
from zerorpc.doors.http.asgi_messages import Request
from zerorpc.doors.http.invocation import JSON
from zerorpc.doors.http.json_values import encode
from zerorpc.doors.http.requests import TEXT, Answered
from zerorpc.exposure import is_here
from zerorpc.observe.counts import Tally
from zerorpc.observe.exposition import CONTENT_TYPE
from zerorpc.service.registry import ONLY_HERE
from zerorpc.service.rights import LISTS, STATUS

__all__ = ["Observed", "metrics", "state", "status"]

Page: TypeAlias = "tuple[int, str, bytes]"  # the status, of which type the body is, and the body


class Observed(Protocol):
    """The server, as it is seen from outside. On its loop."""

    async def why_not_ready(self, service: str = "", /) -> str:
        """Why it, or one of its services, is not to be called just now; "" if it is."""

    def metrics(self) -> bytes | None:
        """What it has counted, None if it counts nothing."""

    def status(self) -> dict[str, Any]:
        """How it is just now."""

    def tally(self, door: str, /) -> Tally | None:
        """What counts the calls of a door, if they are counted."""


async def state(server: Observed, path: str) -> Page | None:
    """What probes ask, whoever they are. None for others.

    ``/livez`` and ``/readyz`` are what Kubernetes calls them: a server that stops still lives.
    """
    if path == "/livez":
        return 200, TEXT, b"ok\n"
    if path == "/readyz":
        why = await server.why_not_ready()
        return (503, TEXT, f"{why}\n".encode(errors="backslashreplace")) if why else (200, TEXT, b"ok\n")
    return None


def metrics(server: Observed, access: Access) -> Page:
    """Raises Answered where they are off, and for a caller that may not know which methods there are."""
    if not access.admits(LISTS):
        raise Answered(403, "PermissionDenied", f"metrics name all methods: they are for who may call {LISTS}")
    told = server.metrics()
    if told is None:
        how = "this server counts nothing: make it with Server(..., metrics=True), or start it with --metrics"
        raise Answered(404, "NotFound", how)
    return 200, CONTENT_TYPE, told


def status(server: Observed, access: Access, request: Request) -> Page:
    """Raises Answered for a caller that may not know it: who that is, the authorizer says; without an authenticator,
    callers of this machine alone.
    """
    if access.rights is None and (not is_here(request.peer) or any(name in request.headers for name in _OF_PROXIES)):
        raise Answered(403, "PermissionDenied", ONLY_HERE)
    if not access.admits(STATUS):
        raise Answered(403, "PermissionDenied", f"the status is for who may call {STATUS}")
    return 200, JSON, encode(server.status())


# Whoever passes requests on from elsewhere says so with one of these (RFC 7239; RFC 9110, 7.6.3).
_OF_PROXIES = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
