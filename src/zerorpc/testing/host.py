"""A server in this process that has no endpoints: what it serves comes over connections in memory."""

from __future__ import annotations

import asyncio
from typing import Protocol

from zerorpc.server.life import Service, State
from zerorpc.server.server import Server
from zerorpc.testing.clock import Clock
from zerorpc.testing.memory import Lane, MemoryTransport
from zerorpc.transport.aio_link import AioLink
from zerorpc.zmtp.mechanisms import Null

__all__ = ["NAME", "Host", "ServerHost"]

NAME = "a peer on this machine"  # what errors, logs and hooks call the other side, as over inproc


class Host(Protocol):
    """What serves an in-process client, on a loop to which all of this belongs."""

    async def start(self) -> None: ...

    @property
    def serves(self) -> bool:
        """Whether there is any use in a connection. In any thread."""

    def accept(self, incoming: Lane, outgoing: Lane, /) -> None:
        """Take a connection."""

    async def stop(self) -> None:
        """Stop at once. Safe to call twice, and if it did not start."""


class ServerHost:
    """Serves on a loop, from ``start`` to ``stop``, which both belong there.

    ``service`` is a Server, which it uses up as ``run`` does, or what one is made of.
    """

    def __init__(self, service: object, clock: Clock | None) -> None:
        server = service if isinstance(service, Server) else Server(service)
        self._core: Service = server._core
        self._clock = clock
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises Closed for a server that has served already."""
        serving = asyncio.get_running_loop().create_task(self._core.serve())
        await asyncio.sleep(0)  # now it serves, or has failed
        if serving.done():
            serving.result()
        self._serving = serving
        runners = self._core.runners
        if self._clock is not None and runners is not None:
            runners._loop = self._clock.loop(runners._loop)  # for its times; its threads grow in real time

    @property
    def serves(self) -> bool:
        return self._core.life.state is State.SERVING

    def accept(self, incoming: Lane, outgoing: Lane) -> None:
        loop = asyncio.get_running_loop()
        timed = loop if self._clock is None else self._clock.loop(loop)
        link = AioLink(timed, self._core.hub, self._core.door.make_peer(self._mechanism), None, NAME)
        MemoryTransport(loop, link, incoming, outgoing).open()

    def _mechanism(self) -> Null:
        """Nothing is encrypted here; who calls is asked as elsewhere."""
        return Null(asks=self._core.hub.security.asks)

    async def stop(self) -> None:
        """Stop at once: what runs is cancelled, and what can't be is left alone. Safe to call twice."""
        if self._serving is None:
            return
        self._core.stop()
        self._core.force()
        await asyncio.wait([self._serving])
        if not self._serving.cancelled():
            self._serving.result()
