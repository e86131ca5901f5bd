"""gRPC with its blocking API. Generic handlers and text as UTF-8: the cost of protobuf is left out, in its favour."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import grpc

from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import TEXT, Ready, main

THREADS = 32
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each channel
)


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "plain_items": "all of its generators are plain ones",
        "connections": "not made",
        "wait": "not made",
    }
    shared = True

    def connect(self) -> None:
        self._channel = channel = grpc.insecure_channel(self.endpoint, OPTIONS)
        self.echo = self.plain = self._echo = channel.unary_unary("/bench/echo", str.encode, bytes.decode)
        self.echo_bytes = channel.unary_unary("/bench/echo_bytes")
        self.items = channel.unary_stream("/bench/items", count_to_bytes, bytes.decode)

    def close(self) -> None:
        self._channel.close()

    def in_flight(self, callers: int, seconds: float) -> int:
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        end = time.perf_counter() + seconds
        for _ in range(callers):
            self._echo.future(TEXT).add_done_callback(done.put)
        calls = 0
        while time.perf_counter() < end:
            done.get().result()
            self._echo.future(TEXT).add_done_callback(done.put)
            calls += 1
        for _ in range(callers):
            done.get().result()
        return calls + callers


def count_to_bytes(count: int) -> bytes:
    return str(count).encode()


def echo(value: Any, _context: grpc.ServicerContext) -> Any:
    return value


def items(count: bytes, _context: grpc.ServicerContext) -> Iterator[str]:
    for _ in range(int(count)):
        yield TEXT


def handlers(methods: dict[str, Callable[..., Any]], encode: Callable[[str], bytes] | None) -> grpc.GenericRpcHandler:
    """A service without protoc."""
    made = {}
    for name, method in methods.items():
        if name == "items":
            made[name] = grpc.unary_stream_rpc_method_handler(method, None, encode)
        elif name == "echo_bytes":
            made[name] = grpc.unary_unary_rpc_method_handler(method)
        else:
            made[name] = grpc.unary_unary_rpc_method_handler(method, bytes.decode, encode)
    return grpc.method_handlers_generic_handler("bench", made)


def serve(_flavour: str, ready: Ready) -> None:
    server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
    server.add_generic_rpc_handlers((handlers({"echo": echo, "echo_bytes": echo, "items": items}, str.encode),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ready(f"127.0.0.1:{port}")
    server.wait_for_termination()


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, ["grpcio"])
