"""What an AsyncClient knows of its servers: which of them gets a call, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from zerorpc.calls.dispatch import Calls
from zerorpc.calls.retry import take_twin
from zerorpc.client.async_upload import TaskUpload
from zerorpc.client.request import lost_with
from zerorpc.compat.context import Context
from zerorpc.errors import Closed
from zerorpc.protocol.channel import STATE_REFUSED, CallCarrier, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.references import BorrowFrom, borrow_nothing
from zerorpc.settings import ClientSettings
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.dialer import LEAVING
from zerorpc.transport.security import Security
from zerorpc.transport.watching import watch_for
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["AsyncPeers"]


class Core(Protocol):
    """The client's."""

    context: Context
    calls: Calls

    def forked(self) -> None:
        """This is a forked child."""


class AsyncPeers:
    """What a client knows of its peers, and what the hub tells. It keeps no client alive."""

    def __init__(self, core: Core, settings: ClientSettings) -> None:
        self.tap: Callable[[str, Buffer], None] | None = None
        self.calls: Calls = core.calls
        self.links: dict[CallCarrier, AioLink] = {}  # of those that are not lost
        self.timer: asyncio.TimerHandle | None = None  # for calls that wait for a peer
        self._timer_at = 0.0  # kept here: uvloop's handle of a time that has come has no when()
        self.uploads: weakref.WeakSet[TaskUpload] = weakref.WeakSet()
        self.borrow: BorrowFrom = borrow_nothing  # what stands for a reference of a server's
        self.changed: Callable[[], None] | None = None  # told when there is another live server, or one less
        self._core: weakref.ref[Core] = weakref.ref(core)
        self._context = core.context
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop
        self.hub: AioHub = AioHub(self, core.context.hook_resolve_endpoint, Security(settings.curve, settings.plain))
        self.hub.tls = settings.tls
        self._watch = watch_for(settings)
        self.calls.hedges.won = self._won

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.hub.attach(loop)

    def make_peer(self, mechanism: NewMechanism = Null) -> ClientPeer:
        settings, new_id = self._settings, self._context.next_msgid
        peer = ClientPeer(settings.heartbeat, new_id, settings.passive_heartbeat, settings.limits, mechanism)
        peer.tap, peer.borrow = self.tap, self.borrow
        return peer

    def peer_ready(self, link: AioLink) -> None:
        self.links[link.peer] = link
        if self._watch is not None:
            self._watch.made(link, link.sock)
        self.calls.add(link.peer, None if link.dialer is None else link.dialer.endpoint.text)
        self._assign()
        if self.changed is not None:
            self.changed()

    def peer_writable(self, link: AioLink) -> None:
        self._assign()
        for upload in list(self.uploads):
            upload.wake()

    def give_back(self, peer: ClientPeer, number: int) -> None:
        """What a server has passed by reference is not needed any more."""
        if peer in self.links:
            peer.release(number)
            self.flush_soon(peer)

    def _assign(self) -> None:
        for peer in self.calls.assign(self._loop.time()):
            self.flush_soon(peer)
        self.let_wait()

    def _won(self, channel: ClientChannel, loser: ClientPeer | None) -> None:
        if loser is not None:
            self.flush_soon(loser)
        self.received(None, [channel])

    def _act_on_side_effects(self) -> None:
        asked, failed = self.calls.take_side_effects()
        for peer in asked:
            self.flush_soon(peer)
        self.received(None, failed)
        if self.calls.waiting and (why := self.hub.refusal) is not None:
            self.received(None, self.calls.refuse(why))

    def flush_soon(self, peer: CallCarrier) -> None:
        link = self.links.get(peer)
        if link is not None:
            link.flush_soon()

    def received(self, link: AioLink | None, touched: list[ClientChannel]) -> None:
        for channel in touched:
            waiter = channel.waiter
            if channel.state is STATE_REFUSED and self._try_elsewhere(channel):
                pass
            elif waiter is not None:
                try:  # noqa: SIM105 - suppress() costs 0.2 us
                    waiter.set_result(None)
                except asyncio.InvalidStateError:
                    pass  # it was cancelled in this very turn

    def _try_elsewhere(self, channel: ClientChannel) -> bool:
        """Whether a call goes on that a server has refused: at another one, or a little later."""
        now = self._loop.time()
        if self.hub.closed:
            return False
        peer = self.calls.start(channel, now) if self.calls.retry(channel, now) else None
        if peer is not None:
            self.flush_soon(peer)
        elif not channel.answered:
            self.let_wait()
        return not channel.answered

    def peer_leaves(self, link: AioLink) -> None:
        self.calls.remove(link.peer)
        link.replace()  # perhaps at the same endpoint: if that is a proxy's, there are other servers behind it
        self.hub.dialing.close_when_idle(link, f"{link.name}: {LEAVING}")
        if self.changed is not None:
            self.changed()

    def peer_lost(self, link: AioLink, ended: list[ClientChannel]) -> None:
        self.links.pop(link.peer, None)
        if self._watch is not None:
            self._watch.lost(link)
        self.calls.remove(link.peer, failed=bool(ended))
        lost_with(link.name, ended)
        self.received(link, ended)
        if self.calls.waiting:  # for what this one was asked, perhaps
            self._assign()
        if self.changed is not None:
            self.changed()

    def peer_retires(self, link: AioLink) -> None:
        self.calls.remove(link.peer)

    def is_idle(self, link: AioLink) -> bool:
        return not link.peer.channels

    def forked(self) -> None:
        core = self._core()
        if core is not None:
            core.forked()

    # Calls that wait for a peer

    def let_wait(self) -> None:
        """A call found no peer, or is watched."""
        self._act_on_side_effects()
        self.set_timer()

    def set_timer(self) -> None:
        wake = self.calls.next_wake
        if wake is not None and (self.timer is None or wake < self._timer_at):
            if self.timer is not None:
                self.timer.cancel()
            self.timer, self._timer_at = self._loop.call_at(wake, self._sweep), wake

    def _sweep(self) -> None:
        self.timer = None
        why = f": no server was reached ({self.hub.describe()})"
        self.received(None, self.calls.sweep(self._loop.time(), why))
        self._assign()
        self.set_timer()

    def end_calls(self) -> None:
        """No further server will be found for those that wait."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.received(None, self.calls.close(Closed("the client was closed")))

    def abandon(self, channel: ClientChannel, error: Exception | None = None) -> None:
        peer = channel.peer
        if (twin := take_twin(channel)) is not None:
            self.abandon(twin)
        channel.abandon(error)
        if self._loop.is_closed():
            return
        if peer is not None:
            self.flush_soon(peer)
        self.received(None, [channel])  # whoever waits for it in another task waits no longer
