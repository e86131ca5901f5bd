"""Cap'n Proto through pycapnp. Its event loop runs on top of asyncio's, here uvloop's.

On uvloop a call takes half the time that it takes on plain asyncio, but a server of pycapnp 2.2.4 may crash there when
a connection ends: the driver then starts it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import capnp

from benchmarks.peers.coroutines import AsyncPeer, uvloop_if_there
from benchmarks.peers.harness import Ready, main

SCHEMA = capnp.load(str(Path(__file__).with_name("echo.capnp")))
LIMIT = 1 << 40  # words that may be read of one message


class Service(SCHEMA.Echo.Server):
    async def echo(self, value: str, **_: Any) -> str:
        return value

    async def echoBytes(self, value: bytes, **_: Any) -> bytes:  # noqa: N802 - as the schema calls it
        return value


class Async(AsyncPeer):
    cannot: ClassVar = {
        "threads": "its objects belong to one thread",
        "plain": "it has no threads for methods",
        "stream": "streams only from client to server",
        "connect": "pycapnp's server crashes on uvloop when connections end",
        "connections": "pycapnp's server crashes on uvloop when connections end",
        "hold": "not made",
        "wait": "not made",
    }

    async def connect(self) -> None:
        host, _, port = self.endpoint.rpartition(":")
        self._stream = await capnp.AsyncIoStream.create_connection(host, int(port))
        self._client = capnp.TwoPartyClient(self._stream, traversal_limit_in_words=LIMIT)
        self._service = self._client.bootstrap().cast_as(SCHEMA.Echo)

    async def close(self) -> None:
        self._client.close()
        self._stream.close()

    async def echo(self, value: str) -> str:
        return (await self._service.echo(value)).value

    async def echo_bytes(self, data: bytes) -> bytes:
        return (await self._service.echoBytes(data)).value

    @classmethod
    def run(cls, work: Any) -> Any:
        return uvloop_if_there().run_until_complete(capnp.run(work))


def serve(_flavour: str, ready: Ready) -> None:
    async def connected(stream: Any) -> None:
        await capnp.TwoPartyServer(stream, bootstrap=Service(), traversal_limit_in_words=LIMIT).on_disconnect()

    async def run() -> None:
        server = await capnp.AsyncIoStream.create_server(connected, "127.0.0.1", 0, backlog=1024)
        ready("{}:{}".format(*server.sockets[0].getsockname()))
        await server.serve_forever()

    Async.run(run())


if __name__ == "__main__":
    main(serve, {"async": Async}, ["pycapnp", "uvloop"])
