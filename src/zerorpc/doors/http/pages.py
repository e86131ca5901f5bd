"""What there is to look at by HTTP besides calls: what the methods are, how the server is, and what it has counted."""

from __future__ import annotations

from typing import Protocol

from zerorpc.doors.http.json_values import encode
from zerorpc.doors.http.openapi import openapi
from zerorpc.doors.http.requests import JSON, TEXT, Answered
from zerorpc.observe.exposition import CONTENT_TYPE
from zerorpc.service.registry import Registry

__all__ = ["Observed", "Pages"]


class Observed(Protocol):
    """The server, as it is seen from outside. On its loop."""

    async def why_not_ready(self) -> str:
        """Why it is not to be called just now; "" if it is."""

    def metrics(self) -> bytes | None:
        """What it has counted, None if it counts nothing."""


class Pages:
    """``/livez`` and ``/readyz`` are what Kubernetes calls them: a server that stops still lives."""

    def __init__(self, registry: Registry, server: Observed) -> None:
        self._registry = registry
        self._server = server

    async def page(self, path: str) -> tuple[int, str, bytes] | None:
        """The status, of which type it is, and the body; None if there is nothing. Raises Answered for what is off."""
        match path:
            case "/openapi.json":
                return 200, JSON, encode(openapi(self._registry))
            case "/livez":
                return 200, TEXT, b"ok\n"
            case "/readyz":
                why = await self._server.why_not_ready()
                return (503, TEXT, f"{why}\n".encode(errors="backslashreplace")) if why else (200, TEXT, b"ok\n")
            case "/metrics":
                return 200, CONTENT_TYPE, self._metrics()
        return None

    def _metrics(self) -> bytes:
        told = self._server.metrics()
        if told is None:
            how = "this server counts nothing: make it with Server(..., metrics=True), or start it with --metrics"
            raise Answered(404, "NotFound", how)
        return told
