"""zerorpc as it is here: AsyncClient on uvloop and on plain asyncio, and the blocking Client.

The methods are coroutines unless their names say "plain".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import zerorpc
from benchmarks.certificates import AUTHORITY, CERTIFICATE, KEY
from benchmarks.keys import CLIENT_SECRET, SERVER_PUBLIC, SERVER_SECRET
from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.coroutines import AsyncPeer, plain_loop
from benchmarks.peers.harness import TEXT, Ready, main
from benchmarks.peers.replay import Replay


class Service:
    async def echo(self, value: Any) -> Any:
        return value

    def plain(self, value: Any) -> Any:
        return value

    async def items(self, count: int) -> AsyncIterator[str]:
        for _ in range(count):
            yield TEXT

    def plain_items(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield TEXT

    async def wait(self) -> None:
        await asyncio.get_running_loop().create_future()


class Async(AsyncPeer):
    takes_arrays: ClassVar = True
    cannot: ClassVar = {"threads": "coroutines are its way"}

    tls: ClassVar[zerorpc.Tls | None] = None
    keys: ClassVar[tuple[str, str] | None] = None  # for CURVE

    async def connect(self) -> None:
        curve = zerorpc.Curve(*self.keys) if self.keys else None
        self._client = client = zerorpc.AsyncClient(self.endpoint, timeout=None, tls=self.tls, curve=curve)
        self.echo = self.echo_bytes = client.echo
        self.plain, self.items, self.plain_items, self.wait = (
            client.plain,
            client.items,
            client.plain_items,
            client.wait,
        )

    async def close(self) -> None:
        await self._client.aclose()


class AsyncTls(Async):
    tls = zerorpc.Tls(ca=AUTHORITY)


class AsyncCurve(Async):
    keys = CLIENT_SECRET, SERVER_PUBLIC


class OnAsyncio(Async):
    @classmethod
    def run(cls, work: Any) -> Any:
        return plain_loop().run_until_complete(work)


class Blocking(BlockingPeer):
    takes_arrays: ClassVar = True
    cannot: ClassVar = {
        "flight": "it blocks; threads are its way",
        "wait": "it blocks",
        "connections": "see AsyncClient",
    }
    shared = True
    tls: ClassVar[zerorpc.Tls | None] = None
    keys: ClassVar[tuple[str, str] | None] = None  # for CURVE

    def connect(self) -> None:
        curve = zerorpc.Curve(*self.keys) if self.keys else None
        self._client = client = zerorpc.Client(self.endpoint, tls=self.tls, curve=curve)
        self.echo = self.echo_bytes = client.echo
        self.plain, self.items, self.plain_items = client.plain, client.items, client.plain_items

    def close(self) -> None:
        self._client.close()


class BlockingTls(Blocking):
    tls = zerorpc.Tls(ca=AUTHORITY)


class BlockingCurve(Blocking):
    keys = CLIENT_SECRET, SERVER_PUBLIC


def serve(flavour: str, ready: Ready) -> None:
    kind, _, more = flavour.partition("-")
    tls = zerorpc.Tls(CERTIFICATE, KEY) if more == "tls" else None
    curve = zerorpc.Curve(SERVER_SECRET) if more == "curve" else None
    processes = int(more) if kind == "processes" else 1
    with zerorpc.Server(Service(), processes=processes, tls=tls, curve=curve) as server:
        ready(server.bind(f"{'tls+tcp' if tls else 'tcp'}://127.0.0.1:0")[0])
        if flavour == "asyncio":
            asyncio.run(server.serve())
        else:
            server.run()


if __name__ == "__main__":
    clients = {
        "async": Async,
        "async-tls": AsyncTls,
        "async-curve": AsyncCurve,
        "asyncio": OnAsyncio,
        "blocking": Blocking,
        "blocking-tls": BlockingTls,
        "blocking-curve": BlockingCurve,
        "processes-1": Replay,
        "processes-2": Replay,
    }
    main(serve, clients, ["zerorpc", "uvloop", "msgspec"])
