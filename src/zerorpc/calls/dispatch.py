"""One client's calls over its peers: which peer a call goes to, and the calls that wait for one.

A call takes a live peer, the one with the fewest calls open; with none it waits here up to its deadline.
"""

from __future__ import annotations

from collections import deque

from msgspec import structs

from zerorpc.calls.binding import bound_by_position
from zerorpc.errors import NotSupported
from zerorpc.protocol.call_header import with_time_left
from zerorpc.protocol.channel import STATE_WAITING, USUAL_TERMS, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer, late
from zerorpc.protocol.peer import next_sweep
from zerorpc.zmtp.frames import MESSAGE_MAX

__all__ = ["KEYWORDS", "Calls"]

KEYWORDS = "keyword arguments"  # the one need of a call that an older server may be able to meet
_SAME_TIME = 0.001  # s; a request that waited no longer is sent as it is
_PURGE_FIRST = 64  # calls that may wait before we look for given up ones among them; doubles with what is left


class Calls:
    """The live peers of a client, and the calls waiting for one. Not thread-safe."""

    def __init__(self) -> None:
        self.peers: list[ClientPeer] = []
        self.waiting: deque[ClientChannel] = deque()
        self.next_wake: float | None = None
        self.asked: list[ClientPeer] = []
        self.failed: list[ClientChannel] = []
        self._purge_at = _PURGE_FIRST

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
            if channel.timeout is not None and (self.next_wake is None or channel.deadline < self.next_wake):
                self.next_wake = channel.deadline
            return None
        peer.open(channel, now)
        return peer

    def retry(self, channel: ClientChannel, now: float) -> bool:
        """Whether a call whose attempt certainly did not run is to be started again: there is another live server, and
        time. Otherwise it has failed.
        """
        again = bool(self.peers) and now < channel.deadline
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
        if channel.terms.needs and self.peers:
            able = [peer for peer in self.peers if peer.level >= 1]
            return self._least_loaded(able) if able else self._make_do(channel, now)
        return self._least_loaded(self.peers)

    def _least_loaded(self, peers: list[ClientPeer]) -> ClientPeer | None:
        """The writable peer with the fewest open calls; among equals the one that waited longest for a call."""
        chosen = min((p for p in peers if p.writable), key=lambda p: len(p.channels), default=None)
        if chosen is not None:
            self.peers.remove(chosen)
            self.peers.append(chosen)
        return chosen

    def _make_do(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """There are only servers of an older protocol: keyword arguments become positions, if one tells its methods'
        parameters. What else a call may need fails it.
        """
        peer = self._least_loaded(self.peers)
        if peer is None:
            return None
        server = peer.name or "the other end"
        missing = [need for need in channel.terms.needs if need != KEYWORDS]
        try:
            if missing:
                raise _lacking(channel, server, " and no ".join(missing))
            if peer.parameters is not None:
                channel.data = bound_by_position(channel.data, peer.parameters, server)
                channel.terms = structs.replace(channel.terms, needs=())
                return peer
        except NotSupported as error:
            channel.fail(error)
            self.failed.append(channel)
            return None
        peer.ask_parameters(now)
        self.asked.append(peer)
        return None

    def add(self, peer: ClientPeer) -> None:
        """A peer is ready; one that said at once that it goes away would refuse every call."""
        if not peer.goes_away:
            self.peers.append(peer)

    def remove(self, peer: ClientPeer) -> None:
        """A peer is gone, or goes away. Safe to call twice."""
        if peer in self.peers:
            self.peers.remove(peer)

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
