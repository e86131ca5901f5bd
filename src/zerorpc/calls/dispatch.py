"""One client's calls over its peers: which peer a call goes to, and the calls that wait for one.

A call takes a live peer, the one with the fewest calls open; with none it waits here up to its deadline. So does one
that failed and is to be repeated, until its time comes.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque

from msgspec import structs

from zerorpc.calls.binding import bound_by_position
from zerorpc.calls.retry import Attempts, Budget
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
        self.resting: list[tuple[float, int, ClientChannel]] = []  # a heap: when to repeat which call
        self._resting_number = itertools.count()  # for calls are not ordered
        self._budgets: dict[tuple[float, float], Budget] = {}
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
            if channel.timeout is not None:
                self._wake_by(channel.deadline)
            return None
        peer.open(channel, now)
        return peer

    def retry(self, channel: ClientChannel, now: float) -> bool:
        """Whether a call whose attempt was refused is to be started again now. Otherwise it has failed, or, if it isn't
        answered, rests until it is time for its next attempt.
        """
        attempts = _attempts_of(channel)
        if attempts is None:
            wait = 0.0 if self.peers and now < channel.deadline else None
        elif attempts.unsure and self._none_will_say_so(channel):
            wait = None
        else:
            wait = attempts.next(self._budget_of(attempts), now, channel.deadline - now, bool(self.peers))
        if wait is None:
            channel.settle()
            return False
        if attempts is not None:
            attempts.keep(channel)
        channel.try_again()
        if not wait:
            _say_again(channel, now)
            return True
        heapq.heappush(self.resting, (now + wait, next(self._resting_number), channel))
        self._wake_by(now + wait)
        return False

    def _budget_of(self, attempts: Attempts) -> Budget:
        share, per_second = attempts.retry.share, attempts.retry.per_second
        budget = self._budgets.get((share, per_second))
        if budget is None:
            budget = self._budgets[share, per_second] = Budget(share, per_second)
        return budget

    def _none_will_say_so(self, channel: ClientChannel) -> bool:
        """Whether all live servers have told of their methods, and of none is this one idempotent."""
        told = [peer.idempotent for peer in self.peers]
        return bool(told) and all(each is not None and channel.method not in each for each in told)

    def _wake_by(self, when: float) -> None:
        if self.next_wake is None or when < self.next_wake:
            self.next_wake = when

    def check_unused(self, message_id: object) -> None:
        """Raises ValueError if a call under way has this id: replies have to find their way back by it."""
        unsent = (*tuple(self.waiting), *(channel for _, _, channel in tuple(self.resting)))
        waiting = any(c.message_id == message_id and c.state is STATE_WAITING for c in unsent)
        if waiting or any(message_id in peer.channels for peer in tuple(self.peers)):
            raise ValueError(f"Context.new_msgid returned the id of a call that is under way: {message_id!r}")

    def _purge(self) -> None:
        """Forget the calls that were given up: those without a deadline would stay as long as there is no peer."""
        self.waiting = deque(c for c in self.waiting if c.state is STATE_WAITING)
        self._purge_at = max(2 * len(self.waiting), _PURGE_FIRST)

    def _choose(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Which peer a call goes to, if there is one that it can go to."""
        if channel.terms is USUAL_TERMS:
            return self._least_loaded(self.peers)
        attempts = _attempts_of(channel)
        if attempts is not None:
            attempts.count(self._budget_of(attempts), now)
            if attempts.unsure:
                able = [p for p in self.peers if p.idempotent is not None and channel.method in p.idempotent]
                return self._choose_told(able, channel, attempts, now)
            if attempts.keyed and any(peer.level >= 1 for peer in self.peers):
                return self._choose_keeper(channel, attempts, now)
        if channel.terms.needs and self.peers:
            able = [peer for peer in self.peers if peer.level >= 1]
            return self._least_loaded(able) if able else self._make_do(channel, now)
        return self._least_loaded(self.peers)

    def _choose_keeper(self, channel: ClientChannel, attempts: Attempts, now: float) -> ClientPeer | None:
        """The same for a call with a key: one that keeps answers, and those that it may have one among."""
        peers = [peer for peer in self.peers if peer.level >= 1]
        able = [peer for peer in peers if peer.answers is not None]
        if attempts.doubtful:
            able = [peer for peer in able if peer.answers == attempts.answers]
        elif not able and all(peer.idempotent is not None for peer in peers):
            able = peers  # which refuse it, and say why
        chosen = self._choose_told(able, channel, attempts, now)
        if chosen is not None:
            attempts.answers = chosen.answers
        return chosen

    def _choose_told(
        self, able: list[ClientPeer], channel: ClientChannel, attempts: Attempts, now: float
    ) -> ClientPeer | None:
        """One of those that have said that they can take it. Others are asked, and if none says so, the call fails."""
        if able:
            return self._least_loaded(able)
        untold = [peer for peer in self.peers if peer.idempotent is None]
        for peer in untold:
            peer.ask(now)
            self.asked.append(peer)
        if self.peers and not untold:
            attempts.give_up(channel)
            self.failed.append(channel)
        return None

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
        peer.ask(now)
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
                if peer is None and channel.terms is USUAL_TERMS:
                    break
                if peer is not None:
                    _say_again(channel, now)
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
        """End the waiting calls whose deadline passed; ``why`` tells what was tried. Those whose time to be repeated
        has come are to be assigned next.
        """
        while self.resting and now >= self.resting[0][0]:
            self.waiting.append(self.resting[0][2])
            heapq.heappop(self.resting)  # not before: an interrupt must not lose it
        ended = [c for c in self.waiting if now >= c.deadline and c.state is STATE_WAITING]
        for channel in ended:
            channel.fail(late(channel, why))
        self._purge()
        deadlines = [c.deadline for c in self.waiting if c.timeout is not None]
        self.next_wake = max(min(deadlines), now + next_sweep(len(self.waiting))) if deadlines else None
        if self.resting:
            self._wake_by(self.resting[0][0])
        return ended

    def close(self, error: Exception) -> list[ClientChannel]:
        """End every waiting call."""
        ended = [c for c in (*self.waiting, *(c for _, _, c in self.resting)) if c.state is STATE_WAITING]
        for channel in ended:  # first, so that none is forgotten if this is interrupted
            channel.fail(error)
        self.waiting.clear()
        self.resting.clear()
        return ended


def _attempts_of(channel: ClientChannel) -> Attempts | None:
    attempts = channel.terms.attempts
    return attempts if isinstance(attempts, Attempts) else None


def _say_again(channel: ClientChannel, now: float) -> None:
    """Have the request say how much time is left, if it waited for a while, and which attempt this is."""
    attempts = channel.terms.attempts
    number = 1 if attempts is None else attempts.number
    waited = channel.timeout is not None and now - (channel.deadline - channel.timeout) > _SAME_TIME
    if waited or number > 1:
        left = None if channel.timeout is None else channel.deadline - now
        data = with_time_left(channel.data, left, channel.terms.stream_until - now, number)
        if len(data) <= MESSAGE_MAX:
            channel.data = data


def _lacking(channel: ClientChannel, server: str, what: str) -> NotSupported:
    error = NotSupported(f"{channel.method}: the server at {server} speaks an older protocol, which has no {what}")
    error.method = channel.method
    return error
