"""One client's calls over its peers: which peer a call goes to, and the calls that wait for one.

A call takes a live peer: the one with the fewest calls open, or, of many, the better of two that are drawn. With none
it waits here up to its deadline.
"""

from __future__ import annotations

from collections import deque

from zerorpc.calls.outliers import FAILURES, Outliers
from zerorpc.protocol.channel import STATE_WAITING, ClientChannel
from zerorpc.protocol.peer import next_sweep
from zerorpc.protocol.rpc_peers import ClientPeer, late

__all__ = ["Calls"]

# Up to so many peers all are compared. It spreads better than two choices: simulated, 8 servers busy for 80% of the
# time, 99 of 100 calls take up to 6.0 times the mean of a call alone, and 8.2 times with two choices. With 8 peers it
# costs 1.6 us and with 64 6.5; two choices cost 0.6, however many there are.
_ALL_COMPARED = 8
_PURGE_FIRST = 64  # calls that may wait before we look for given up ones among them; doubles with what is left


class Calls:
    """The live peers of a client, and the calls waiting for one. ``seed`` is any number: clients that draw differently
    don't meet at the same servers. Not thread-safe.
    """

    def __init__(self, seed: int = 0) -> None:
        self.peers: list[ClientPeer] = []
        self.waiting: deque[ClientChannel] = deque()
        self.next_wake: float | None = None
        self._purge_at = _PURGE_FIRST
        self._seed = seed
        self.outliers: Outliers = Outliers()

    def start(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Send a call; the peer that now has something to flush, or None when the call has to wait."""
        peers = self.peers
        peer = peers[0] if len(peers) == 1 and peers[0].writable else self._choose(now)
        if peer is None:
            self.waiting.append(channel)
            if len(self.waiting) >= self._purge_at:
                self._purge()
            if channel.timeout is not None:
                self.wake_by(channel.deadline)
            return None
        peer.open(channel, now)
        return peer

    def wake_by(self, deadline: float) -> None:
        """Somebody waits for a peer until then."""
        if self.next_wake is None or deadline < self.next_wake:
            self.next_wake = deadline

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float) -> None:
        """Send a call to this peer and never to another one, even if its server is ejected, or takes no data now."""
        channel.pinned = True
        peer.open(channel, now)

    def retry(self, channel: ClientChannel, now: float) -> bool:
        """Whether a call whose attempt certainly did not run is to be started again: there is another live server, and
        time. Otherwise it has failed.
        """
        again = bool(self.peers) and now < channel.deadline and not channel.pinned
        if again:
            channel.try_again()
        else:
            channel.settle()
        return again

    def check_unused(self, message_id: object) -> None:
        """Raises ValueError if a call under way has this id: replies have to find their way back by it."""
        waiting = any(c.message_id == message_id and c.state is STATE_WAITING for c in tuple(self.waiting))
        if waiting or any(message_id in peer.channels for peer in tuple(self.peers)):
            raise ValueError(f"Context.new_msgid returned the id of a call that is under way: {message_id!r}")

    def _purge(self) -> None:
        """Forget the calls that were given up: those without a deadline would stay as long as there is no peer."""
        self.waiting = deque(c for c in self.waiting if c.state is STATE_WAITING)
        self._purge_at = max(2 * len(self.waiting), _PURGE_FIRST)

    def _choose(self, now: float) -> ClientPeer | None:
        """A writable peer. Those of ejected servers only if no other is."""
        outliers = self.outliers
        while True:
            peers = outliers.fit(self.peers, now) if outliers.doubted else self.peers
            chosen = self._pick(peers)
            if chosen is None:
                return self._pick(self.peers) if len(peers) < len(self.peers) else None
            if outliers.doubted and outliers.begin_probe(chosen, now):
                return chosen
            if chosen.failures < FAILURES or len(peers) == 1:
                return chosen
            outliers.eject(chosen, now)

    def _pick(self, peers: list[ClientPeer]) -> ClientPeer | None:
        """The writable peer with the fewest open calls; among equals the one that waited longest for a call. Of more
        than ``_ALL_COMPARED``, the better one of two.
        """
        if len(peers) > _ALL_COMPARED and (drawn := self._better_of_two(peers)) is not None:
            return drawn
        chosen = min((p for p in peers if p.writable), key=lambda p: len(p.channels), default=None)
        if chosen is not None:
            self.peers.remove(chosen)
            self.peers.append(chosen)
        return chosen

    def _better_of_two(self, peers: list[ClientPeer]) -> ClientPeer | None:
        """Of two drawn at random the one with fewer open calls; None if either takes no data now (Mitzenmacher, The
        Power of Two Choices in Randomized Load Balancing, 2001).
        """
        count = len(peers)
        first = self._draw(count)
        one, other = peers[first], peers[(first + 1 + self._draw(count - 1)) % count]
        if not (one.writable and other.writable):
            return None
        return one if len(one.channels) <= len(other.channels) else other

    def _draw(self, count: int) -> int:
        """A number below ``count``; the generator is that of Numerical Recipes."""
        self._seed = (self._seed * 1664525 + 1013904223) & 0xFFFFFFFF
        return self._seed * count >> 32

    def add(self, peer: ClientPeer, server: object | None = None) -> None:
        """A peer is ready; one that said at once that it goes away would refuse every call. ``server`` is what names
        the other side when it is connected again.
        """
        if not peer.goes_away:
            self.outliers.add(peer, server)
            self.peers.append(peer)

    def remove(self, peer: ClientPeer, failed: bool = False) -> None:
        """A peer is gone, or goes away; ``failed`` if calls were lost with it. Safe to call twice."""
        if peer in self.peers:
            self.peers.remove(peer)
        self.outliers.remove(peer, failed)

    def assign(self, now: float) -> list[ClientPeer]:
        """Send waiting calls to the peers that there are now; the peers that have something to flush."""
        used: list[ClientPeer] = []
        while self.waiting:
            peer = self._choose(now)
            if peer is None:
                break
            channel = self.waiting[0]
            if channel.state is STATE_WAITING:
                peer.open(channel, now)
                used.append(peer)
            self.waiting.popleft()  # not before: an interrupt must not lose it
        return used

    def sweep(self, now: float, why: str) -> list[ClientChannel]:
        """End the waiting calls whose deadline passed; ``why`` tells what was tried."""
        ended = [c for c in self.waiting if now >= c.deadline and c.state is STATE_WAITING]
        for channel in ended:
            channel.fail(late(channel, why))
        self._purge()
        deadlines = [c.deadline for c in self.waiting if c.timeout is not None]
        self.next_wake = max(min(deadlines), now + next_sweep(len(self.waiting))) if deadlines else None
        return ended

    def close(self, error: Exception) -> list[ClientChannel]:
        """End every waiting call."""
        ended = [c for c in self.waiting if c.state is STATE_WAITING]
        for channel in ended:  # first, so that none is forgotten if this is interrupted
            channel.fail(error)
        self.waiting.clear()
        return ended
