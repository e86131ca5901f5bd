"""Endpoints ``http://`` that are bound while their server begins to serve."""

from __future__ import annotations

import asyncio

import zerorpc
from tests.service.running import run


def test_an_endpoint_that_is_bound_while_the_server_begins_is_served_once() -> None:
    async def act() -> None:
        server = zerorpc.Server({"one": lambda: 1})
        http = server._core.http_endpoints()
        http.start(asyncio.get_running_loop())
        server.bind("http://127.0.0.1:0")  # seen to in the next turn of the loop …
        http.start(asyncio.get_running_loop())  # … and by what comes in between
        first = list(http._serving.values())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert list(http._serving.values()) == first
        http.leave()
        await http.aclose()
        server.close()

    run(act())
