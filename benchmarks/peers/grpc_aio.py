"""gRPC with its asyncio API. Generic handlers and text as UTF-8: the cost of protobuf is left out, in its favour."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import grpc.aio

from benchmarks.certificates import AUTHORITY, CERTIFICATE, KEY
from benchmarks.peers.coroutines import AsyncPeer
from benchmarks.peers.grpc_sync import OPTIONS, THREADS, count_to_bytes, handlers
from benchmarks.peers.grpc_sync import echo as plain
from benchmarks.peers.harness import TEXT, Ready, main


class Async(AsyncPeer):
    cannot: ClassVar = {
        "threads": "coroutines are its way; see gRPC sync",
        "plain_items": "not made",
        "wait": "not made",
    }

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.endpoint, OPTIONS)

    async def connect(self) -> None:
        self._channel = channel = self.channel()
        self.echo = channel.unary_unary("/bench/echo", str.encode, bytes.decode)
        self.plain = channel.unary_unary("/bench/plain", str.encode, bytes.decode)
        self.echo_bytes = channel.unary_unary("/bench/echo_bytes")
        self.items = channel.unary_stream("/bench/items", count_to_bytes, bytes.decode)

    async def close(self) -> None:
        await self._channel.close()


class AsyncTls(Async):
    def channel(self) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(AUTHORITY.read_bytes())
        return grpc.aio.secure_channel(self.endpoint, credentials, OPTIONS)


async def echo(value: Any, _context: Any) -> Any:
    return value


async def items(count: bytes, _context: Any) -> AsyncIterator[str]:
    for _ in range(int(count)):
        yield TEXT


def serve(flavour: str, ready: Ready) -> None:
    async def run() -> None:
        server = grpc.aio.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
        methods = {"echo": echo, "plain": plain, "echo_bytes": echo, "items": items}
        server.add_generic_rpc_handlers((handlers(methods, None),))
        if flavour == "async-tls":
            credentials = grpc.ssl_server_credentials([(KEY.read_bytes(), CERTIFICATE.read_bytes())])
            port = server.add_secure_port("127.0.0.1:0", credentials)
        else:
            port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        ready(f"127.0.0.1:{port}")
        await server.wait_for_termination()

    Async.run(run())


if __name__ == "__main__":
    main(serve, {"async": Async, "async-tls": AsyncTls}, ["grpcio", "uvloop"])
