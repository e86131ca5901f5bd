"""What there is to look at by HTTP besides calls: how the server is, and what it has counted."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from zerorpc.doors.http.access import Access
from zerorpc.doors.http.requests import TEXT, Answered
from zerorpc.observe.counts import Tally
from zerorpc.observe.exposition import CONTENT_TYPE
from zerorpc.service.rights import LISTS

__all__ = ["Observed", "metrics", "state"]

Page: TypeAlias = "tuple[int, str, bytes]"  # the status, of which type the body is, and the body


class Observed(Protocol):
    """The server, as it is seen from outside. On its loop."""

    async def why_not_ready(self) -> str:
        """Why it is not to be called just now; "" if it is."""

    def metrics(self) -> bytes | None:
        """What it has counted, None if it counts nothing."""

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
