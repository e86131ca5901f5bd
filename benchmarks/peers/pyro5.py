"""Pyro5, with msgpack as its serializer: its own one writes octets as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import Pyro5.api
from Pyro5 import config

from benchmarks.peers.blocking import BlockingPeer
from benchmarks.peers.harness import TEXT, Ready, main

config.SERIALIZER = "msgpack"
config.THREADPOOL_SIZE = 64
config.MAX_MESSAGE_SIZE = 1 << 30


@Pyro5.api.expose
class Service:
    def echo(self, value: Any) -> Any:
        return value

    def items(self, count: int) -> Iterator[str]:
        for _ in range(count):
            yield TEXT


class Blocking(BlockingPeer):
    cannot: ClassVar = {
        "flight": "one call at a time; threads are its way",
        "plain_items": "all of its generators are plain ones",
        "connections": "a thread for each, 64 at most here",
        "wait": "not made",
    }

    def connect(self) -> None:
        self._proxy = Pyro5.api.Proxy(self.endpoint)

    def close(self) -> None:
        self._proxy._pyroRelease()

    def enter_thread(self) -> None:
        self._proxy._pyroClaimOwnership()

    def echo(self, value: Any) -> Any:
        return self._proxy.echo(value)

    echo_bytes = plain = echo

    def items(self, count: int) -> Any:
        return self._proxy.items(count)


def serve(_flavour: str, ready: Ready) -> None:
    daemon = Pyro5.api.Daemon("127.0.0.1")
    ready(str(daemon.register(Service())))
    daemon.requestLoop()


if __name__ == "__main__":
    main(serve, {"blocking": Blocking}, ["Pyro5", "msgpack"])
