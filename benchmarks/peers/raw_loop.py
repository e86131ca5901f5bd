"""The floor of calls from coroutines: octets there and back on uvloop or plain asyncio, and a future for each call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Any, ClassVar

from benchmarks.peers.coroutines import AsyncPeer, plain_loop, uvloop_if_there
from benchmarks.peers.harness import TEXT, Ready, main

FRAME = bytes(100)  # about what an echo call has on the wire in zerorpc
CHUNK = 262144


class OnUvloop(AsyncPeer):
    cannot: ClassVar = {
        "threads": "coroutines are its way",
        "plain": "no methods",
        "stream": "no streams",
        "wait": "it has no calls that wait",
    }

    async def connect(self) -> None:
        host, _, port = self.endpoint.rpartition(":")
        self._caller = (await asyncio.get_running_loop().create_connection(Caller, host, int(port)))[1]
        self.echo = self._caller.echo
        self.echo_bytes = self._caller.echo_bytes

    async def close(self) -> None:
        await self._caller.close()


class OnAsyncio(OnUvloop):
    @classmethod
    def run(cls, work: Any) -> Any:
        return plain_loop().run_until_complete(work)


class Caller(asyncio.BufferedProtocol):
    """Sends FRAMEs, and resolves a future for each that came back. One write for all calls of a turn of the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._buffer = memoryview(bytearray(CHUNK))
        self._received = 0
        self._unsent = 0
        self._payload: memoryview | None = None
        self._closed = self._loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def echo(self, value: str) -> Awaitable[Any]:
        if not self._waiting and not self._unsent:
            self._transport.write(FRAME)  # alone: it need not wait for the end of the turn
        else:
            if not self._unsent:
                self._loop.call_soon(self._flush)
            self._unsent += 1
        return self._new_future()

    def echo_bytes(self, data: bytes) -> Awaitable[Any]:
        self._payload = memoryview(bytearray(len(data)))
        self._transport.write(data)
        return self._new_future()

    def _new_future(self) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _flush(self) -> None:
        self._transport.write(FRAME * self._unsent)
        self._unsent = 0

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer if self._payload is None else self._payload[self._received :]

    def buffer_updated(self, count: int) -> None:
        self._received += count
        if self._payload is not None:
            if self._received == len(self._payload):
                self._waiting.popleft().set_result(self._payload)
                self._payload, self._received = None, 0
            return
        whole, self._received = divmod(self._received, len(FRAME))
        for _ in range(whole):
            self._waiting.popleft().set_result(TEXT)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)

    async def close(self) -> None:
        self._transport.close()
        await self._closed


class Echo(asyncio.Protocol):
    """Sends everything back."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


def serve(flavour: str, ready: Ready) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
        ready("{}:{}".format(*server.sockets[0].getsockname()))
        await server.serve_forever()

    (plain_loop() if flavour == "asyncio" else uvloop_if_there()).run_until_complete(run())


if __name__ == "__main__":
    main(serve, {"uvloop": OnUvloop, "asyncio": OnAsyncio}, ["uvloop"])
