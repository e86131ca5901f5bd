"""What a blocking client knows of its servers: which of them gets a call, and what becomes of one that fails."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from random import getrandbits
from time import monotonic

from zerorpc.calls.dispatch import Calls
from zerorpc.calls.retry import take_twin
from zerorpc.client.functions import ThreadFunctions
from zerorpc.client.request import answered, lost_with
from zerorpc.client.uploads import ThreadUpload
from zerorpc.compat.context import Context
from zerorpc.errors import Closed, LostRemote
from zerorpc.protocol.channel import STATE_REFUSED, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.references import BorrowFrom, borrow_nothing
from zerorpc.runtime.side_thread import SideThreads
from zerorpc.settings import ClientSettings
from zerorpc.transport.blocking import BlockingHub
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.security import Security
from zerorpc.transport.watching import watch_for
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["BlockingPeers"]


class BlockingPeers:
    """What a client knows of its peers: what the hub tells, and asks. With the hub's lock held."""

    def __init__(self, context: Context, settings: ClientSettings) -> None:
        self.context = context
        self.tap: Callable[[str, Buffer], None] | None = None
        self.calls: Calls = Calls(getrandbits(32))
        self.calls.hedges.won = self._won
        self.links: dict[object, BlockingLink] = {}  # by peer, of those that are not lost
        self.uploads: weakref.WeakSet[ThreadUpload] = weakref.WeakSet()
        self.borrow: BorrowFrom = borrow_nothing  # what stands for a reference of a server's
        self._settings = settings
        security = Security(settings.curve, settings.plain)
        self.hub: BlockingHub = BlockingHub(self, context.hook_resolve_endpoint, settings.heartbeat, security)
        self.hub.tls = settings.tls
        self._watch = watch_for(settings)

    def start(self, channel: ClientChannel, now: float) -> None:
        """Send a request, or let it wait for a peer."""
        hub = self.hub
        if hub.closed:
            raise Closed("this client is closed")
        if hub.stale:
            hub.revive()
        hub.polling.look(now)
        if self.context.own_ids:  # another thread may have begun one with the same id, since it was checked
            self.calls.check_unused(channel.message_id)
        try:
            peer = self.calls.start(channel, now)
        except BaseException:
            self._distrust(channel)
            raise
        if peer is None:
            self._let_wait()
            return
        self.links[peer].flush()
        if hub.leading.leader is not None:
            hub.polling.wake_by(peer.next_wake)

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float) -> None:
        """Send a request to this peer."""
        try:
            self.calls.start_at(peer, channel, now)
        except BaseException:
            self._distrust(channel)
            raise
        self.links[peer].flush()
        self._act_on_side_effects()
        self.hub.polling.wake_by(peer.next_wake)

    def _distrust(self, channel: ClientChannel) -> None:
        """After RecursionError, Ctrl-C: half of a message may be among what is to be sent."""
        if (link := self.links.get(channel.peer)) is not None:
            link.peer.writable, link.closed = False, True  # the keeper, or the next call, does the rest

    def try_elsewhere(self, channel: ClientChannel) -> None:
        """Wait for the reply of another server, if there is one, to a call that one has refused."""
        while channel.state is STATE_REFUSED:
            self.hub.leading.wait(channel, answered, monotonic(), self.start_again)

    def start_again(self, channel: ClientChannel, now: float) -> None:
        """Go on with a call that a server has refused, at another one, or a little later. With the hub's lock held."""
        if self.hub.closed:
            channel.settle()
        elif self.calls.retry(channel, now):
            self.start(channel, now)
        elif not channel.answered:
            self._let_wait()

    def _let_wait(self) -> None:
        """A call has no peer yet."""
        self.hub.check_may_wait()
        self._act_on_side_effects()
        self.hub.mend()
        if self.hub.leading.leader is not None:
            self.hub.polling.wake_by(self.calls.next_wake)

    def make_peer(self, mechanism: NewMechanism = Null) -> ClientPeer:
        settings, new_id = self._settings, self.context.next_msgid
        peer = ClientPeer(settings.heartbeat, new_id, settings.passive_heartbeat, settings.limits, mechanism)
        peer.tap, peer.borrow = self.tap, self.borrow
        return peer

    def forked(self) -> None:
        """This is a child now, and the calls are the parent's."""
        self.calls = Calls(getrandbits(32))
        self.calls.hedges.won = self._won
        self.links = {}

    def peer_ready(self, link: BlockingLink) -> None:
        self.links[link.peer] = link
        if self._watch is not None:
            self._watch.made(link, link.sock)
        self.calls.add(link.peer, None if link.dialer is None else link.dialer.endpoint.text)
        self._assign()

    def peer_writable(self, link: BlockingLink) -> None:
        self._assign()
        for upload in list(self.uploads):
            upload.wake()

    @property
    def lock(self) -> threading.RLock:
        return self.hub.lock

    def send(self, channel: ClientChannel) -> None:
        """Send what a call has to send, and look after its deadline. With the lock held."""
        if channel.peer is not None:
            self.flush(channel.peer)
        if self.hub.leading.leader is not None:
            self.hub.polling.wake_by(channel.deadline)

    @property
    def side_threads(self) -> SideThreads:
        return self.hub.background.functions

    def tell_ended(self, functions: ThreadFunctions) -> None:
        """The keeper need not lead for them any more."""
        self.hub.background.tell(functions)

    def give_back(self, peer: ClientPeer, number: int) -> None:
        """What a server has passed by reference is not needed any more."""
        if peer in self.links:
            peer.release(number)
            self.flush(peer)

    def _assign(self) -> None:
        try:
            for peer in self.calls.assign(monotonic()):
                self.flush(peer)
            self._act_on_side_effects()
        except BaseException:  # Ctrl-C: nobody knows which connections have got calls, and haven't sent them
            for link in list(self.hub.links.values()):
                link.peer.writable = False
                link.closed = True
                link.finish()
            raise

    def _won(self, channel: ClientChannel, loser: ClientPeer | None) -> None:
        if loser is not None:
            self.flush(loser)
        self.hub.leading.wake(channel)

    def _act_on_side_effects(self) -> None:
        asked, failed = self.calls.take_side_effects()
        for peer in asked:
            self.flush(peer)
        if self.calls.waiting and (why := self.hub.refusal) is not None:
            failed += self.calls.refuse(why)
        for channel in failed:
            self.hub.leading.wake(channel)

    def flush(self, peer: object) -> None:
        """Send what the peer has to send, unless it is lost."""
        link = self.links.get(peer)
        if link is not None:
            link.flush()

    def received(self, link: BlockingLink, touched: list[ClientChannel]) -> None:
        for channel in touched:
            if channel.waiter is not None:
                self.hub.leading.wake(channel)

    def peer_leaves(self, link: BlockingLink) -> None:
        self.calls.remove(link.peer)
        link.replace()  # perhaps at the same endpoint: if that is a proxy's, there are other servers behind it

    def peer_lost(self, link: BlockingLink, ended: list[ClientChannel]) -> None:
        self.links.pop(link.peer, None)
        if self._watch is not None:
            self._watch.lost(link)
        self.calls.remove(link.peer, failed=bool(ended))
        lost_with(None if link.dialer is None else link.dialer.endpoint.text, ended)
        self.received(link, ended)
        if self.calls.waiting:  # for what this one was asked, perhaps
            self._assign()

    def peer_retires(self, link: BlockingLink) -> None:
        self.calls.remove(link.peer)

    def is_idle(self, link: BlockingLink) -> bool:
        return not link.peer.channels

    @property
    def next_wake(self) -> float | None:
        return self.calls.next_wake

    def sweep(self, now: float) -> None:
        if self.calls.next_wake is not None and now >= self.calls.next_wake:
            for channel in self.calls.sweep(now, f": no server was reached ({self.hub.describe()})"):
                self.hub.leading.wake(channel)
            self._assign()

    def abandon(self, channel: ClientChannel, error: Exception | None = None) -> None:
        """Nobody wants the rest of a call."""
        if (twin := take_twin(channel)) is not None:
            self.abandon(twin)
        channel.abandon(error)
        if channel.peer is not None:
            self.flush(channel.peer)
        self.hub.leading.wake(channel)  # a stream that another thread reads
        self.hub.polling.ring()

    def close(self) -> None:
        with self.hub.lock:
            for channel in self.calls.close(Closed("the client was closed")):
                self.hub.leading.wake(channel)
            self.hub.close(LostRemote("the client was closed"))
