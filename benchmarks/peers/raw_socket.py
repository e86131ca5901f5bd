"""The floor of blocking calls: octets there and back over blocking sockets, a thread for each connection."""

from __future__ import annotations

import socket
import threading
from typing import ClassVar

from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import TEXT, Ready, main

FRAME = bytes(100)  # about what an echo call has on the wire in zerorpc
CHUNK = 65536
ECHO, PAYLOAD = b"e", b"p"  # the first octet of a connection: send back what comes, or whole messages of a known size


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "flight": "it blocks; threads are its way",
        "plain": "no methods",
        "stream": "no streams",
        "wait": "no methods",
    }

    def connect(self) -> None:
        self._socket = opened(self.endpoint, ECHO)
        self._payloads: socket.socket | None = None
        self._buffer = bytearray()

    def close(self) -> None:
        self._socket.close()
        if self._payloads is not None:
            self._payloads.close()

    def echo(self, value: str) -> str:
        self._socket.sendall(FRAME)
        self._socket.recv(CHUNK)
        return TEXT

    def echo_bytes(self, data: bytes) -> bytearray:
        if self._payloads is None:
            self._payloads = opened(self.endpoint, PAYLOAD + len(data).to_bytes(8, "big"))
            self._buffer = bytearray(len(data))
        self._payloads.sendall(data)
        receive(self._payloads, self._buffer)
        return self._buffer


def opened(endpoint: str, begin: bytes) -> socket.socket:
    host, _, port = endpoint.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(begin)
    return connection


def receive(connection: socket.socket, buffer: bytearray) -> bool:
    """Fill the buffer; False when the connection ends before that."""
    rest = memoryview(buffer)
    while rest:
        count = connection.recv_into(rest)
        if not count:
            return False
        rest = rest[count:]
    return True


def serve(_flavour: str, ready: Ready) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        ready("{}:{}".format(*listener.getsockname()))
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()


def serve_one(connection: socket.socket) -> None:
    with connection:
        if connection.recv(1) == PAYLOAD:
            size = bytearray(8)
            receive(connection, size)
            buffer = bytearray(int.from_bytes(size, "big"))
            while receive(connection, buffer):
                connection.sendall(buffer)
        else:
            while data := connection.recv(CHUNK):
                connection.sendall(data)


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, [])
