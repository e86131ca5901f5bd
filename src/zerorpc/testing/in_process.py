"""Clients of a service in the same process: no sockets, no port, everything else as it is over a network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.blocking import Client
from zerorpc.compat.context import Context
from zerorpc.runtime.loops import running_loop
from zerorpc.settings import HEARTBEAT, TIMEOUT, ClientSettings
from zerorpc.testing.blocking_pair import BlockingPair
from zerorpc.testing.clock import Clock
from zerorpc.testing.faults import Faults
from zerorpc.testing.host import NAME
from zerorpc.testing.memory import Lane, MemoryTransport
from zerorpc.testing.pair import Pair
from zerorpc.transport.aio_link import AioLink

__all__ = ["async_client", "client"]


@contextlib.contextmanager
def client(
    service: object,
    *,
    clock: Clock | None = None,
    faults: Faults | None = None,
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
    it can't be served again. ``clock`` is what zerorpc's times go by, if not the system's, and ``faults``
    what may go wrong on the connection. The others are as for ``zerorpc.Client``.

    Requests and replies are packed and unpacked as over a network, so a tuple arrives as a list, and what can't be
    sent is a SerializationError. Plain methods run on threads, ``async def`` ones in the thread that waits for the
    call: between calls they stand still. Such a coroutine can't itself make a blocking call with this client, which
    raises RuntimeError. When the ``with`` block ends, what still runs is cancelled.

    Raises TypeError for what can't be a service, and Closed for a Server that has served before. The client may be
    used by several threads at once, and in a coroutine, which it then blocks.
    """
    made = Client(None, context, timeout, heartbeat)
    pair = BlockingPair(service, made, ClientSettings(timeout, heartbeat), clock, faults)
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
    faults: Faults | None = None,
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
    pair = _AsyncPair(service, AsyncClient(None, context, timeout, heartbeat), clock, faults)
    try:
        await pair.open()
        yield pair.client
    finally:
        await pair.close()


class _AsyncPair(Pair):
    """Both sides, on one loop."""

    def __init__(self, service: object, made: AsyncClient, clock: Clock | None, faults: Faults | None) -> None:
        super().__init__(service, asyncio.get_running_loop(), clock, faults)
        self.client: AsyncClient = made
        self._transport: MemoryTransport | None = None  # the client's
        self._timed: asyncio.AbstractEventLoop = self.loop if clock is None else clock.loop(self.loop)

    async def open(self) -> None:
        await self._host.start()
        core = self.client._core
        core.attach()
        core.time = self._timed.time
        core._peers._loop = self._timed
        self._opened()

    def _join(self, to_client: Lane, to_server: Lane) -> None:
        if running_loop() is self.loop:
            self._join_here(to_client, to_server)
        else:
            self.loop.call_soon_threadsafe(self._join_here, to_client, to_server)

    def _join_here(self, to_client: Lane, to_server: Lane) -> None:
        self._host.accept(to_server, to_client)
        hub = self.client._core.hub
        link = AioLink(self._timed, hub, hub.owner.make_peer(), None, NAME)
        self._transport = MemoryTransport(self.loop, link, to_client, to_server)
        self._transport.open()

    def cut(self) -> None:
        transport = self._transport
        super().cut()
        if transport is not None and running_loop() is self.loop:
            transport.look()  # so that the next call knows

    async def close(self) -> None:
        self._closed()
        await self.client.aclose()
        await self._host.stop()

    # For the clock

    @property
    def next_wake(self) -> float | None:
        return None  # timers of the clock do all

    def look_after(self) -> None: ...

    def run(self, act: Callable[[], None], turns: int) -> None:
        """From another thread than the loop's: whatever it has begun is done in a moment."""
        self.loop.call_soon_threadsafe(act)
