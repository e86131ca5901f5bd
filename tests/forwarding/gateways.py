"""What the tests of gateways share: a server, another one in front of it, and callers of that one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

import zerorpc
from tests.service.running import PATIENCE, serving

HTTP = "http://127.0.0.1:0"


class Front(NamedTuple):
    """A gateway, and its callers by zerorpc and by HTTP."""

    server: zerorpc.Server
    client: zerorpc.Client
    http: httpx.Client


@contextlib.contextmanager
def in_front_of(remote: object, **options: Any) -> Iterator[Front]:
    """A gateway in front of ``remote``, an endpoint or an AsyncClient."""
    service = remote if isinstance(remote, zerorpc.RemoteService) else zerorpc.RemoteService(remote)
    with serving(service, **options) as server, callers_of(server) as front:
        yield front


@contextlib.contextmanager
def callers_of(server: zerorpc.Server) -> Iterator[Front]:
    (endpoint,) = server.bind(HTTP)
    with (
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30.0) as client,
        httpx.Client(base_url=endpoint, timeout=PATIENCE) as http,
    ):
        yield Front(server, client, http)


@contextlib.contextmanager
def gateway(methods: object, remote: dict[str, Any] | None = None, **options: Any) -> Iterator[Front]:
    """A server of ours with these methods, and a gateway in front of it."""
    with serving(methods, **(remote or {})) as server, in_front_of(server.endpoints[0], **options) as front:
        yield front
