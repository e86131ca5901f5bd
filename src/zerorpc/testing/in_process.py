"""Clients of a service in the same process: no sockets, no port, everything else as it is over a network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.blocking import Client
from zerorpc.compat.context import Context
from zerorpc.settings import HEARTBEAT, TIMEOUT, ClientSettings
from zerorpc.testing.blocking_pair import BlockingPair
from zerorpc.testing.clock import Clock
from zerorpc.testing.host import NAME, Host
from zerorpc.testing.memory import Lane, MemoryTransport
from zerorpc.transport.aio_link import AioLink

__all__ = ["async_client", "client"]


@contextlib.contextmanager
def client(
    service: object,
    *,
    clock: Clock | None = None,
    context: Context | None = None,
    timeout: float | None = TIMEOUT,
    heartbeat: float | None = HEARTBEAT,
) -> Iterator[Client]:
    """A blocking ``zerorpc.Client`` of ``service``, with no sockets in between.

    ::

        with zerorpc.testing.client(Cooler()) as cooler:
            assert cooler.add_man("hi") == "hi, man!"

    Arguments: ``service`` is what a Server takes, an object, a module or a dict of functions; or a Server, with all
    that was registered, its middleware and its settings (but one process). The Server is used up, as by its ``run``:
    it can't be served again. ``clock`` is what zerorpc's times go by, if not the system's. The others are as for
    ``zerorpc.Client``.

    Requests and replies are packed and unpacked as over a network, so a tuple arrives as a list, and what can't be
    sent is a SerializationError. Plain methods run on threads, ``async def`` ones in the thread that waits for the
    call: between calls they stand still. Such a coroutine can't itself make a blocking call with this client, which
    raises RuntimeError. When the ``with`` block ends, what still runs is cancelled.

    Raises TypeError for what can't be a service, and Closed for a Server that has served before. The client may be
    used by several threads at once, and in a coroutine, which it then blocks.
    """
    settings = ClientSettings(timeout, heartbeat)
    pair = BlockingPair(service, context or Context.get_instance(), settings, clock)
    pair.open()
    try:
        yield pair.client
    finally:
        pair.close()


@contextlib.asynccontextmanager
async def async_client(
    service: object,
    *,
    clock: Clock | None = None,
    context: Context | None = None,
    timeout: float | None = TIMEOUT,
    heartbeat: float | None = HEARTBEAT,
) -> AsyncIterator[AsyncClient]:
    """``client`` for coroutines: an ``AsyncClient``, and the service on the loop that runs here.

    ::

        async with zerorpc.testing.async_client(Cooler()) as cooler:
            assert await cooler.chill(0.1) == "chilled"

    Arguments and errors are those of ``client``. It belongs to the running loop, which has to be asyncio's or uvloop's.
    """
    pair = _AsyncPair(service, AsyncClient(None, context, timeout, heartbeat), clock)
    try:
        await pair.open()
        yield pair.client
    finally:
        await pair.close()


class _AsyncPair:
    """Both sides, on one loop."""

    def __init__(self, service: object, made: AsyncClient, clock: Clock | None) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.client: AsyncClient = made
        self._clock = clock
        self._host = Host(service, clock)
        self._lanes = Lane(), Lane()

    async def open(self) -> None:
        await self._host.start()
        core, loop = self.client._core, self.loop
        core.attach()
        if self._clock is not None:
            loop = self._clock.loop(loop)
            core.time = loop.time
            core._peers._loop = loop
            self._clock.attach(self)
        to_client, to_server = self._lanes
        self._host.accept(to_server, to_client)
        link = AioLink(loop, core.hub, core.hub.owner.make_peer(), None, NAME)
        MemoryTransport(self.loop, link, to_client, to_server).open()

    async def close(self) -> None:
        if self._clock is not None:
            self._clock.detach(self)
        await self.client.aclose()
        await self._host.stop()

    # For the clock

    @property
    def next_wake(self) -> float | None:
        return None  # timers of the clock do all

    @property
    def busy(self) -> bool:
        return any(lane.size for lane in self._lanes)

    def look_after(self) -> None: ...

    def run(self, act: Callable[[], None], turns: int) -> None:
        """From another thread than the loop's: whatever it has begun is done in a moment."""
        self.loop.call_soon_threadsafe(act)
