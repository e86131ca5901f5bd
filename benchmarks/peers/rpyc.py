"""RPyC, with its threaded server.

In its favour: remote methods are looked up once (``root.echo`` is a call of its own each time), nothing is compressed
(it would do that to more than 3,000 octets), and TCP_NODELAY is set (without it 64 KiB take 44 ms here).
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

import rpyc
import rpyc.core.channel
from rpyc.utils.server import ThreadedServer

from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import TEXT, Ready, main

rpyc.core.channel.Channel.COMPRESSION_THRESHOLD = 1 << 40


class Service(rpyc.Service):
    def exposed_echo(self, value: Any) -> Any:
        return value

    def exposed_items(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield TEXT


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "plain": "a connection's calls run one after the other",
        "plain_items": "all of its generators are plain ones",
        "connections": "not made",
        "wait": "not made",
    }

    def connect(self) -> None:
        host, _, port = self.endpoint.rpartition(":")
        stream = rpyc.SocketStream.connect(host, int(port), nodelay=True)
        self._connection = rpyc.connect_stream(stream, config={"sync_request_timeout": None})
        self.echo = self.echo_bytes = self._connection.root.echo
        self.items = self._connection.root.items
        self._async_echo = rpyc.async_(self._connection.root.echo)

    def close(self) -> None:
        self._connection.close()

    def in_flight(self, callers: int, seconds: float) -> int:
        end = time.perf_counter() + seconds
        waiting = deque(self._async_echo(TEXT) for _ in range(callers))
        calls = 0
        while time.perf_counter() < end:
            waiting.popleft().wait()
            waiting.append(self._async_echo(TEXT))
            calls += 1
        while waiting:
            waiting.popleft().wait()
        return calls + callers


def serve(_flavour: str, ready: Ready) -> None:
    server = ThreadedServer(Service, hostname="127.0.0.1", port=0, backlog=1024)
    server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits it
    ready(f"127.0.0.1:{server.port}")
    server.start()


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, ["rpyc"])
