"""A blocking client and its server, in one process and without a thread between them.

The client is a ``zerorpc.Client`` in every respect, but that its one connection is in memory: where it would poll
sockets, it turns the server's event loop. So coroutines of the service run in the thread that waits for them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from math import inf
from threading import get_ident
from time import monotonic
from typing import cast

from msgspec.structs import replace

from zerorpc.client.blocking import Client, _Core
from zerorpc.client.blocking_peers import BlockingPeers
from zerorpc.compat.context import Context
from zerorpc.protocol.channel import STATE_STREAMING, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.testing.clock import Clock
from zerorpc.testing.driver import Driver, Over, WaitsForItself
from zerorpc.testing.faults import Faults
from zerorpc.testing.host import Host
from zerorpc.testing.memory import Lane, MemorySocket
from zerorpc.testing.pair import Pair
from zerorpc.transport.background import Background
from zerorpc.transport.blocking import BlockingHub
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.leading import Drive, Leading, W
from zerorpc.transport.poller import READABLE, WRITABLE, Poller
from zerorpc.transport.polling import BlockingOwner, Polling
from zerorpc.transport.security import Security
from zerorpc.transport.sockets import Listener

__all__ = ["BlockingPair"]

_HANDSHAKE_TURNS = 8  # of the loop, before the first call: more than it takes


class BlockingPair(Pair):
    """Both sides, and the way between them. ``client`` works from ``open`` to ``close``."""

    def __init__(self, host: Host, made: Client, clock: Clock | None = None, faults: Faults | None = None) -> None:
        self._driver = Driver()
        super().__init__(host, self._driver.loop, clock, faults)
        self.client: Client = made
        core = made._core
        self._peers = _InProcessPeers(core, self._driver, clock)
        core.peers = self._peers
        core.hub = self._hub = self._peers.hub
        self._hub.polling.connect = self._connect_again

    def open(self) -> None:
        """Start the server, and connect. Raises Closed for a server that has served already."""
        try:
            self._driver.complete(self._host.start())
            self._opened()
            for _ in range(_HANDSHAKE_TURNS):
                self._hub.leading.keep(lambda: False, 0)
        except BaseException:
            self.close()
            raise

    def _join(self, to_client: Lane, to_server: Lane) -> None:
        sock = MemorySocket(to_client, to_server)
        to_client.arrived = to_server.drained = self._driver.wake
        self.loop.call_soon_threadsafe(self._host.accept, to_server, to_client)
        self._hub.polling.poller.add(sock)
        self._hub.adopt(cast("socket.socket", sock))

    def _apart(self, act: Callable[[], None]) -> None:
        with self._hub.lock:
            act()
            self._look()  # so that the next call knows, also while another thread waits for sockets

    @property
    def _is_connected(self) -> bool:
        return bool(self._hub.links)

    def close(self) -> None:
        """End both sides. What runs is cancelled; a plain function that doesn't end is left to its thread."""
        self._closed()
        self.client.close()
        try:
            self._driver.complete(self._host.stop())
        finally:
            self._driver.close()

    # For the clock

    @property
    def next_wake(self) -> float | None:
        return self._hub.polling.next_wake

    def look_after(self) -> None:
        with self._hub.lock:
            self._look()

    def _look(self) -> None:
        polling = self._hub.polling
        now = polling.time()
        polling.plan(now)
        polling.act(polling.poller.ready(), now)
        polling.ring()

    def run(self, act: Callable[[], None], turns: int) -> None:
        with contextlib.suppress(Over):  # while another thread advances the clock
            self._driver.run(act, turns)


class _InProcessPeers(BlockingPeers):
    """As any client's, but for the hub, and for the clock: what comes from outside of here has the system's time."""

    hub: _InProcessHub

    def __init__(self, core: _Core, driver: Driver, clock: Clock | None) -> None:
        settings = core.peers._settings
        super().__init__(core.context, settings)
        self.borrow = core.peers.borrow
        time = monotonic if clock is None else clock.time
        self.hub = _InProcessHub(self, core.context, settings.heartbeat, driver, time)

    def start(self, channel: ClientChannel, now: float) -> None:
        super().start(channel, self._by_the_clock(channel, now))

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float) -> None:
        super().start_at(peer, channel, self._by_the_clock(channel, now))

    def _by_the_clock(self, channel: ClientChannel, now: float) -> float:
        """Have a new call's deadlines go by the clock; its time, when it is ``now``."""
        time = self.hub.polling.time()
        channel.deadline += time - now
        if channel.terms.stream_until != inf:
            channel.terms = replace(channel.terms, stream_until=channel.terms.stream_until + time - now)
        return time

    def start_again(self, channel: ClientChannel, now: float) -> None:
        time = self.hub.polling.time()
        if self.calls.retry(channel, time):
            super().start(channel, time)

    def _assign(self) -> None:
        for peer in self.calls.assign(self.hub.polling.time()):
            self.flush(peer)
        self._act_on_side_effects()


class _InProcessHub(BlockingHub):
    polling: _InProcessPolling

    def __init__(
        self,
        owner: BlockingOwner,
        context: Context,
        heartbeat: float | None,
        driver: Driver,
        time: Callable[[], float],
    ) -> None:
        super().__init__(owner, context.hook_resolve_endpoint, heartbeat)
        self.polling = _InProcessPolling(owner, self.adopt, self.background, driver, time)
        self.leading = self.polling.leading
        self._set_up()

    def start_listener(self, listener: Listener) -> None:
        listener.close()
        raise RuntimeError("an in-process client has its server, and no endpoints")

    def revive(self) -> None:
        raise RuntimeError("an in-process client is of no use in a forked child: its server is the parent's")

    def start_dialer(self, dialer: Dialer) -> None:
        raise RuntimeError("an in-process client has its server, and no endpoints")


class _InProcessPolling(Polling):
    """Turns the server's loop, where others wait for sockets."""

    def __init__(
        self,
        owner: BlockingOwner,
        accepted: Callable[[socket.socket, Security], object],
        background: Background,
        driver: Driver,
        time: Callable[[], float],
    ) -> None:
        self._driver = driver
        self.time = time
        self.poller = MemoryPoller(driver)
        self.connect: Callable[[], object] = _nothing  # anew, if that is of any use
        super().__init__(owner, accepted, background)
        self.leading = _InProcessLeading(self, time)

    def set_up(self) -> None:
        super().set_up()
        self._poller: Poller = self.poller

    def plan(self, now: float) -> int:
        if not self.links:
            self.connect()
        return super().plan(self.time())

    def act(self, events: list[tuple[int, int]], now: float) -> None:
        super().act(events, self.time())

    def look(self, now: float) -> None:
        if self.leading.leader is None or self.leading.leader == get_ident():
            self.act(self.poller.ready(), now)

    def add(self, link: BlockingLink) -> None:
        self._poller.register(link.fileno, READABLE)
        link.peer.opened(self.time())
        link.flush()
        self.ring()

    @property
    def next_wake(self) -> float | None:
        """When something is due."""
        wakes = [self._owner.next_wake, *(link.peer.next_wake for link in list(self.links.values()))]
        return min((wake for wake in wakes if wake is not None), default=None)

    def ring(self) -> None:
        if self.leading.leader is not None:
            self._driver.wake()

    def ring_anyway(self) -> None:
        self._driver.wake()

    def hang_bell(self) -> None:
        """There is no need of one."""


class _InProcessLeading(Leading):
    """Tells a stream's reader the clock's time. A call that begins gets the system's: ``start`` knows that."""

    def __init__(self, drive: Drive, time: Callable[[], float]) -> None:
        super().__init__(drive)
        self._time = time

    def wait(
        self, channel: W, ready: Callable[[W], bool], now: float, begin: Callable[[W, float], None] | None = None
    ) -> None:
        if begin is not None and getattr(channel, "state", None) is STATE_STREAMING:
            first, begin = begin, lambda channel, _: first(channel, self._time())
        super().wait(channel, ready, now, begin)


class MemoryPoller:
    """``select.poll`` for sockets in memory. All but ``poll`` with the hub's lock held."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._sockets: dict[int, MemorySocket] = {}
        self._events: dict[int, int] = {}

    def add(self, sock: MemorySocket) -> None:
        """It may be registered from now on, by its number."""
        self._sockets[sock.fileno()] = sock

    def register(self, fd: int, eventmask: int, /) -> None:
        self._events[fd] = eventmask

    modify = register

    def unregister(self, fd: int, /) -> None:
        del self._events[fd], self._sockets[fd]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        if found := self.ready():
            return found
        try:
            self._driver.wait(1.0 if timeout is None else timeout / 1000)
        except WaitsForItself:
            raise
        except BaseException:  # Ctrl-C, in the middle of the server's work: it can't be trusted any more
            for sock in list(self._sockets.values()):
                sock.cut()
            raise
        return self.ready()

    def ready(self) -> list[tuple[int, int]]:
        """What ``poll`` would tell at once."""
        found = []
        for fileno, events in list(self._events.items()):
            sock = self._sockets[fileno]
            event = (READABLE if sock.readable else 0) | (WRITABLE if events & WRITABLE and sock.writable else 0)
            if event:
                found.append((fileno, event))
        return found


def _nothing() -> None: ...
