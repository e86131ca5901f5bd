"""One client's calls over its peers: which peer a call goes to, and the calls that wait for one.

A call takes a live peer: the one with the fewest calls open, or, of many, the better of two that are drawn. With none
it waits here up to its deadline.
"""

from __future__ import annotations

from collections import deque

from msgspec import structs

from zerorpc.calls.binding import bound_by_position
from zerorpc.calls.outliers import FAILURES, Outliers
from zerorpc.errors import LostRemote, NotSupported
from zerorpc.protocol.call_header import with_time_left
from zerorpc.protocol.channel import STATE_WAITING, USUAL_TERMS, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer, late
from zerorpc.protocol.peer import next_sweep
from zerorpc.zmtp.frames import MESSAGE_MAX

__all__ = ["KEYWORDS", "STREAMS", "Calls"]

# Up to so many peers all are compared. It spreads better than two choices: simulated, 8 servers busy for 80% of the
# time, 99 of 100 calls take up to 6.0 times the mean of a call alone, and 8.2 times with two choices. With 8 peers it
# costs 1.6 us and with 64 6.5; two choices cost 0.6, however many there are.
_ALL_COMPARED = 8
KEYWORDS = "keyword arguments"  # the one need of a call that an older server may be able to meet
STREAMS = "streams from the client"
_SAME_TIME = 0.001  # s; a request that waited no longer is sent as it is
_PURGE_FIRST = 64  # calls that may wait before we look for given up ones among them; doubles with what is left


class Calls:
    """The live peers of a client, and the calls waiting for one. ``seed`` is any number: clients that draw differently
    don't meet at the same servers. Not thread-safe.
    """

    def __init__(self, seed: int = 0) -> None:
        self.peers: list[ClientPeer] = []
        self.waiting: deque[ClientChannel] = deque()
        self.next_wake: float | None = None
        self.asked: list[ClientPeer] = []
        self.failed: list[ClientChannel] = []
        self._purge_at = _PURGE_FIRST
        self._seed = seed
        self.outliers: Outliers = Outliers()

    def start(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Send a call; the peer that now has something to flush, or None when the call has to wait."""
        peers = self.peers
        if len(peers) == 1 and peers[0].writable and channel.terms is USUAL_TERMS:
            peer: ClientPeer | None = peers[0]
        else:
            peer = self._choose(channel, now)
        if peer is None:
            if channel.state is not STATE_WAITING:
                return None
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
        """Send a call to this peer and never to another one, even if its server is ejected, or takes no data now. An
        older server may have to be asked something first, or lack what the call needs.
        """
        channel.terms = structs.replace(channel.terms, pinned=peer)
        if self._pinned(channel, now) is peer:
            peer.open(channel, now)
        elif channel.state is STATE_WAITING:
            self.waiting.append(channel)
            if channel.timeout is not None:
                self.wake_by(channel.deadline)

    def retry(self, channel: ClientChannel, now: float) -> bool:
        """Whether a call whose attempt certainly did not run is to be started again: there is another live server, and
        time. Otherwise it has failed.
        """
        again = bool(self.peers) and now < channel.deadline and channel.terms.pinned is None
        if channel.upload is not None and channel.upload.begun:
            again = False
        if again:
            _less_time(channel, now)
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

    def _choose(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Which peer a call goes to, if there is one that it can go to."""
        if channel.terms.pinned is not None:
            return self._pinned(channel, now)
        if channel.terms.needs and self.peers:
            able = [peer for peer in self.peers if peer.level >= 1]
            return self._best(able, now) if able else self._make_do(channel, now)
        return self._best(self.peers, now)

    def _best(self, among: list[ClientPeer], now: float) -> ClientPeer | None:
        """A writable peer. Those of ejected servers only if no other is."""
        outliers = self.outliers
        while True:
            peers = outliers.fit(among, now) if outliers.doubted else among
            chosen = self._pick(peers)
            if chosen is None:
                return self._pick(among) if len(peers) < len(among) else None
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

    def _make_do(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """There are only servers of an older protocol."""
        peer = self._best(self.peers, now)
        return peer if peer is not None and self._is_met(channel, peer, now) else None

    def _pinned(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """The peer that a call is for, if it can go there now."""
        peer = next((peer for peer in self.peers if peer is channel.terms.pinned), None)
        if peer is None:
            gone = LostRemote(f"calling remote method {channel.method}: the server went away before it was asked")
            gone.method, gone.ran = channel.method, False
            self._fail(channel, gone)
        elif peer.level >= 1 or not channel.terms.needs or self._is_met(channel, peer, now):
            return peer
        return None

    def _is_met(self, channel: ClientChannel, peer: ClientPeer, now: float) -> bool:
        """Whether a server of an older protocol has what a call needs: keyword arguments become positions, if it tells
        its methods' parameters. What else a call may need fails it.
        """
        server = peer.name or "the other end"
        missing = [need for need in channel.terms.needs if need != KEYWORDS]
        try:
            if missing:
                raise _lacking(channel, server, " and no ".join(missing))
            if peer.parameters is not None:
                channel.data = bound_by_position(channel.data, peer.parameters, server)
                channel.terms = structs.replace(channel.terms, needs=())
                return True
        except NotSupported as error:
            self._fail(channel, error)
            return False
        peer.ask_parameters(now)
        self.asked.append(peer)
        return False

    def _fail(self, channel: ClientChannel, error: Exception) -> None:
        channel.fail(error)
        self.failed.append(channel)

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
        place = 0
        while place < len(self.waiting):
            channel = self.waiting[place]
            if channel.state is STATE_WAITING:
                peer = self._choose(channel, now)
                if peer is None and not channel.terms.needs:
                    break
                if peer is not None:
                    _less_time(channel, now)
                    peer.open(channel, now)
                    used.append(peer)
                elif channel.state is STATE_WAITING:
                    place += 1  # until there is a peer that can do what it needs
                    continue
            del self.waiting[place]  # not before: an interrupt must not lose it
        return used

    def take_side_effects(self) -> tuple[list[ClientPeer], list[ClientChannel]]:
        """What finding a peer has led to besides: peers that were asked something, so that they have something to
        flush, and calls that failed, since no peer can do what they need.
        """
        asked, failed = self.asked, self.failed
        self.asked, self.failed = [], []
        return asked, failed

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


def _less_time(channel: ClientChannel, now: float) -> None:
    """Have the request say how much time is left, if it waited for a while."""
    if channel.timeout is not None and now - (channel.deadline - channel.timeout) > _SAME_TIME:
        data = with_time_left(channel.data, channel.deadline - now, channel.terms.stream_until - now)
        if len(data) <= MESSAGE_MAX:
            channel.data = data


def _lacking(channel: ClientChannel, server: str, what: str) -> NotSupported:
    error = NotSupported(f"{channel.method}: the server at {server} speaks an older protocol, which has no {what}")
    error.method = channel.method
    return error
