"""An async client and its server, on the event loop that runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.runtime.loops import running_loop
from zerorpc.testing.clock import Clock
from zerorpc.testing.faults import Faults
from zerorpc.testing.host import NAME, Host
from zerorpc.testing.memory import Lane, MemoryTransport
from zerorpc.testing.pair import Pair
from zerorpc.transport.aio_link import AioLink

__all__ = ["AsyncPair"]

_STUCK = 10.0  # s after which a coroutine that doesn't give the loop back is reported


class AsyncPair(Pair):
    """Both sides, on one loop."""

    def __init__(self, host: Host, made: AsyncClient, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(host, asyncio.get_running_loop(), clock, faults)
        self.client: AsyncClient = made
        self._link: _Link | None = None  # the client's
        self._transport: MemoryTransport | None = None  # of that
        self._timed: asyncio.AbstractEventLoop = self.loop if clock is None else clock.loop(self.loop)

    async def open(self) -> None:
        await self._host.start()
        core = self.client._core
        core.attach()
        core.loop = self._timed
        core.time = self._timed.time
        core._peers._loop = self._timed
        self._opened()

    def _join(self, to_client: Lane, to_server: Lane) -> None:
        self._host.accept(to_server, to_client)
        hub = self.client._core.hub
        self._link = link = _Link(self._timed, hub, hub.owner.make_peer(), None, NAME)
        link.on_lost = lambda: self.loop.call_soon(self._connect_after, link)
        self._transport = MemoryTransport(self.loop, link, to_client, to_server)
        self._transport.open()

    def _apart(self, act: Callable[[], None]) -> None:
        if running_loop() is self.loop:
            act()
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(act)

    def _connect_after(self, link: _Link) -> None:
        if self._link is link:  # or it was cut, and there is another
            self._connect_again()

    @property
    def _is_connected(self) -> bool:
        return self._link is not None and not self._link.closed

    def _cut(self) -> None:
        transport = self._transport
        super()._cut()
        if transport is not None:
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
        """From another thread than the loop's, which has to be free: TimeoutError if it isn't within 10 s."""

        async def acting() -> None:
            act()
            for _ in range(turns):
                await asyncio.sleep(0)

        if self.loop.is_running():
            asyncio.run_coroutine_threadsafe(acting(), self.loop).result(_STUCK)


class _Link(AioLink):
    """One that tells when it is lost."""

    on_lost: Callable[[], object]

    def lost(self, reason: Exception) -> None:
        super().lost(reason)
        self.on_lost()
