"""What libzmq itself costs: a ROUTER and a DEALER, blocking, without any codec."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

import zmq

from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import TEXT, Ready, main

FRAME = bytes(60)  # with ZMTP's frame around it about what an echo call has in zerorpc
STREAM = b"stream"
LARGE = 65536  # octets from which on copying costs more than what zmq needs to do without


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "plain": "no methods",
        "plain_items": "no methods",
        "connections": "not made",
        "wait": "no methods",
    }

    def connect(self) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.set_hwm(0)
        self._socket.connect(self.endpoint)

    def close(self) -> None:
        self._socket.close(0)

    def echo(self, value: str) -> str:
        self._socket.send(FRAME)
        self._socket.recv()
        return TEXT

    def echo_bytes(self, data: bytes) -> memoryview | bytes:
        large = len(data) >= LARGE
        self._socket.send(data, copy=not large)
        answer = self._socket.recv(copy=not large)
        return answer.buffer if isinstance(answer, zmq.Frame) else answer

    def items(self, count: int) -> Iterator[bytes]:
        self._socket.send(STREAM + str(count).encode())
        for _ in range(count):
            yield self._socket.recv()

    def in_flight(self, callers: int, seconds: float) -> int:
        end = time.perf_counter() + seconds
        send, receive = self._socket.send, self._socket.recv
        for _ in range(callers):
            send(FRAME)
        calls = 0
        while time.perf_counter() < end:
            receive()
            send(FRAME)
            calls += 1
        for _ in range(callers):
            receive()
        return calls + callers


def serve(_flavour: str, ready: Ready) -> None:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    socket.set_hwm(0)
    socket.bind("tcp://127.0.0.1:*")
    ready(socket.get_string(zmq.LAST_ENDPOINT))
    while True:
        sender, message = socket.recv_multipart(copy=False)
        if len(message) < LARGE:
            data = message.bytes
            if data.startswith(STREAM):
                for _ in range(int(data.removeprefix(STREAM))):
                    socket.send_multipart((sender.bytes, FRAME))
            else:
                socket.send_multipart((sender.bytes, data))
        else:
            socket.send_multipart((sender, message), copy=False)


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, ["pyzmq"])
