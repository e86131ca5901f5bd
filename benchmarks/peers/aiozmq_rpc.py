"""aiozmq.rpc on uvloop."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import aiozmq.rpc

from benchmarks.peers.coroutines import AsyncPeer, uvloop_if_there
from benchmarks.peers.harness import Ready, main


class Service(aiozmq.rpc.AttrHandler):
    @aiozmq.rpc.method
    async def echo(self, value: Any) -> Any:
        return value


class Async(AsyncPeer):
    cannot: ClassVar = {
        "threads": "coroutines are its way",
        "plain": "it has no threads for methods",
        "stream": "no streams",
        "connections": "not made",
        "wait": "not made",
    }

    async def connect(self) -> None:
        self._client = await aiozmq.rpc.connect_rpc(connect=self.endpoint)
        self.echo = self.echo_bytes = self._client.call.echo

    async def close(self) -> None:
        self._client.close()
        await self._client.wait_closed()


def serve(_flavour: str, ready: Ready) -> None:
    async def run() -> None:
        server = await aiozmq.rpc.serve_rpc(Service(), bind="tcp://127.0.0.1:*")
        ready(next(iter(server.transport.bindings())))
        await asyncio.get_running_loop().create_future()

    uvloop_if_there().run_until_complete(run())


if __name__ == "__main__":
    main(serve, {"async": Async}, ["aiozmq", "pyzmq", "msgpack", "uvloop"])
