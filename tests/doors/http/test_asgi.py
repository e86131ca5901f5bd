"""A server in an ASGI program: mounted in FastAPI, and as the whole of it."""

from __future__ import annotations

import asyncio
from typing import Any

import fastapi
import httpx
import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, eventually, eventually_async, run, serving
from zerorpc.server.life import State


class Service:
    def add(self, a: int, b: int) -> int:
        return a + b


def mounted(server: zerorpc.Server) -> Any:
    app = fastapi.FastAPI()

    @app.get("/own")
    def own() -> str:
        return "mine"

    app.mount("/robot", zerorpc.asgi(server))
    return app


def test_mounted_in_another_program() -> None:
    async def act() -> None:
        server = zerorpc.Server(Service())
        (endpoint,) = server.bind(TCP)
        transport = httpx.ASGITransport(mounted(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert (await http.get("/own")).json() == "mine"
            answers = await asyncio.gather(*(http.post("/robot/call/add", json=[n, 1]) for n in range(5)))
            assert [answer.json() for answer in answers] == [1, 2, 3, 4, 5]
            assert "/call/add" in (await http.get("/robot/openapi.json")).json()["paths"]
            assert (await http.post("/robot/add")).status_code == 404
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
                assert await client.add(2, 3) == 5, "and it is a server like any other"
            server.close()
            await eventually_async(lambda: server._core.life.state is State.CLOSED)

    run(act())


def test_the_program_itself() -> None:
    async def act() -> None:
        server = zerorpc.Server(Service())
        app = zerorpc.asgi(server)
        told: asyncio.Queue[Any] = asyncio.Queue()
        said: asyncio.Queue[Any] = asyncio.Queue()
        living = asyncio.ensure_future(app({"type": "lifespan"}, told.get, said.put))
        await told.put({"type": "lifespan.startup"})
        assert await said.get() == {"type": "lifespan.startup.complete"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            assert (await http.post("/call/add", json=[1, 1])).json() == 2
            await told.put({"type": "lifespan.shutdown"})
            assert await said.get() == {"type": "lifespan.shutdown.complete"}
            await living
            with pytest.raises(zerorpc.Closed):
                await http.post("/call/add", json=[1, 1])
        again = asyncio.ensure_future(app({"type": "lifespan"}, told.get, said.put))
        await told.put({"type": "lifespan.startup"})
        assert await said.get() == {"type": "lifespan.startup.failed", "message": "this server is closed"}
        await again

    run(act())


def test_a_server_that_runs_elsewhere() -> None:
    with serving(Service()) as server:
        eventually(lambda: server._core.runners is not None)
        transport = httpx.ASGITransport(zerorpc.asgi(server))

        async def act() -> None:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                with pytest.raises(RuntimeError, match="served on another event loop"):
                    await http.post("/call/add", json=[1, 1])

        run(act())


def test_where_callers_have_to_show_who_they_are() -> None:
    async def authenticator(caller: zerorpc.Caller) -> str | None:
        callers.append(caller)
        return caller.token

    async def act() -> None:
        server = zerorpc.Server(Service(), authenticator=authenticator)
        transport = httpx.ASGITransport(mounted(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert (await http.post("/robot/call/add", json=[1, 1])).status_code == 401
            told = {"authorization": "Bearer abc"}
            assert (await http.post("/robot/call/add", json=[1, 1], headers=told)).json() == 2
            server.close()
            await eventually_async(lambda: server._core.life.state is State.CLOSED)

    callers: list[zerorpc.Caller] = []
    run(act())
    assert [(caller.endpoint, caller.peer) for caller in callers] == [("http://localhost", "http://127.0.0.1:123")] * 2


def test_a_server_that_can_not_serve_says_why() -> None:
    async def act() -> None:
        app = zerorpc.asgi(zerorpc.Server(Service(), processes=2))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            for _ in range(2):
                with pytest.raises(RuntimeError, match=r"processes=2 needs server\.run\(\)"):
                    await http.post("/call/add", json=[1, 1])

    run(act())
