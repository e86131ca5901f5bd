"""FastAPI on uvicorn (uvloop, httptools) and an aiohttp client: JSON there and back, and octets as they are."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar

import aiohttp
import uvicorn
from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from benchmarks.peers.coroutines import AsyncPeer
from benchmarks.peers.harness import TEXT, Ready, main

app = FastAPI()


@app.post("/echo")
async def echo(value: Annotated[str, Body()]) -> str:
    return value


@app.post("/plain")
def plain(value: Annotated[str, Body()]) -> str:
    return value


@app.post("/echo_bytes")
async def echo_bytes(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.get("/items/{count}")
async def items(count: int) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for _ in range(count):
            yield TEXT + "\n"

    return StreamingResponse(lines(), media_type="text/plain")


class Async(AsyncPeer):
    cannot: ClassVar = {
        "threads": "coroutines are its way",
        "plain_items": "not made",
        "connections": "not made: its client opens connections as it needs them",
        "wait": "not made",
    }

    async def connect(self) -> None:
        self._session = aiohttp.ClientSession(self.endpoint, connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        await self._session.close()

    async def echo(self, value: str) -> str:
        async with self._session.post("/echo", json=value) as response:
            return await response.json()

    async def plain(self, value: str) -> str:
        async with self._session.post("/plain", json=value) as response:
            return await response.json()

    async def echo_bytes(self, data: bytes) -> bytes:
        async with self._session.post("/echo_bytes", data=data) as response:
            return await response.read()

    async def items(self, count: int) -> AsyncIterator[bytes]:
        async with self._session.get(f"/items/{count}") as response:
            async for line in response.content:
                yield line


def serve(_flavour: str, ready: Ready) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    ready("http://{}:{}".format(*listener.getsockname()))
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(serve, {"async": Async}, ["fastapi", "uvicorn", "aiohttp", "uvloop"])
