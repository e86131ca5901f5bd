"""thriftpy2: the binary protocol and a buffered transport, both compiled, and a thread for each connection.

In its favour the server has TCP_NODELAY set: without it 64 KiB take 44 ms here.
"""

from __future__ import annotations

import io
import socket
from typing import Any, ClassVar

import thriftpy2
from thriftpy2.rpc import make_client, make_server
from thriftpy2.transport import TServerSocket

from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import Ready, main

SERVICE = thriftpy2.load_fp(
    io.StringIO("service Service { string echo(1: string value), binary echo_bytes(1: binary value) }"),
    module_name="service_thrift",
).Service


class Handler:
    def echo(self, value: str) -> str:
        return value

    def echo_bytes(self, value: bytes) -> bytes:
        return value


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "flight": "one call at a time; threads are its way",
        "stream": "no streams",
        "connections": "a thread for each",
        "wait": "not made",
    }

    def connect(self) -> None:
        host, _, port = self.endpoint.rpartition(":")
        self._client: Any = make_client(SERVICE, host, int(port), timeout=None)
        self.echo = self.plain = self._client.echo
        self.echo_bytes = self._client.echo_bytes

    def close(self) -> None:
        self._client.close()


def serve(_flavour: str, ready: Ready) -> None:
    class Listener(TServerSocket):
        def listen(self) -> None:
            super().listen()
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits it
            ready("{}:{}".format(*self.sock.getsockname()))

    server = make_server(SERVICE, Handler(), "127.0.0.1", 1)  # the port is the listener's to say
    server.trans = Listener("127.0.0.1", 0, client_timeout=None, backlog=1024)
    server.serve()


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, ["thriftpy2"])
