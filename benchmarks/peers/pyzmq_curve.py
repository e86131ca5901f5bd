"""libzmq's CURVE through pyzmq, with our codec: each event of zerorpc packed by msgspec, its reply found by its id.

As lean as it can be: no methods, no timeouts, no heartbeats, and no object for a call under way but its id.
"""

from __future__ import annotations

import itertools
import time
from typing import Any, ClassVar

import msgspec
import zmq

from benchmarks.keys import CLIENT_PUBLIC, CLIENT_SECRET, SERVER_PUBLIC, SERVER_SECRET
from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import TEXT, Ready, main

pack, unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "plain": "no methods",
        "plain_items": "no methods",
        "items": "no streams",
        "connections": "not made",
        "wait": "no methods",
    }

    def connect(self) -> None:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        socket.set_hwm(0)
        socket.curve_publickey, socket.curve_secretkey = CLIENT_PUBLIC.encode(), CLIENT_SECRET.encode()
        socket.curve_serverkey = SERVER_PUBLIC.encode()
        socket.connect(self.endpoint)
        self._socket = socket
        self._ids = itertools.count()
        self._open: set[bytes] = set()

    def close(self) -> None:
        self._socket.close(0)

    def _send(self, value: Any) -> None:
        message_id = next(self._ids).to_bytes(16, "big")
        self._open.add(message_id)
        self._socket.send_multipart((b"", pack(({"message_id": message_id, "v": 3}, "echo", (value,)))))

    def _receive(self) -> Any:
        header, _, args = unpack(self._socket.recv_multipart()[1])
        self._open.remove(header["response_to"])
        return args[0]

    def echo(self, value: Any) -> Any:
        self._send(value)
        return self._receive()

    echo_bytes = echo

    def in_flight(self, callers: int, seconds: float) -> int:
        end = time.perf_counter() + seconds
        for _ in range(callers):
            self._send(TEXT)
        calls = 0
        while time.perf_counter() < end:
            self._receive()
            self._send(TEXT)
            calls += 1
        for _ in range(callers):
            self._receive()
        return calls + callers


def serve(_flavour: str, ready: Ready) -> None:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    socket.set_hwm(0)
    socket.curve_server, socket.curve_secretkey = True, SERVER_SECRET.encode()
    socket.bind("tcp://127.0.0.1:*")
    ready(socket.get_string(zmq.LAST_ENDPOINT))
    ids = itertools.count()
    while True:
        sender, _, request = socket.recv_multipart()
        header, _, args = unpack(request)
        reply = {"message_id": next(ids).to_bytes(16, "big"), "v": 3, "response_to": header["message_id"]}
        socket.send_multipart((sender, b"", pack((reply, "OK", args))))


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, ["pyzmq", "msgspec"])
