"""One client's calls over its peers: which peer a call goes to, and the calls that wait for one.

A call takes a live peer: the one with the fewest calls open, or, of many, the better of two that are drawn. With none
it waits here up to its deadline. So does one that failed and is to be repeated, until its time comes.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque

from msgspec import structs

from zerorpc.calls.finding import Finding
from zerorpc.calls.hedging import Hedges, Twin, TwinWaiter
from zerorpc.calls.outliers import Outliers
from zerorpc.calls.retry import attempts_of
from zerorpc.errors import HandshakeFailed
from zerorpc.protocol.call_header import with_time_left
from zerorpc.protocol.channel import STATE_REFUSED, STATE_SENT, STATE_WAITING, USUAL_TERMS, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer, late
from zerorpc.protocol.peer import next_sweep
from zerorpc.zmtp.frames import MESSAGE_MAX

__all__ = ["Calls"]

_SAME_TIME = 0.001  # s; a request that waited no longer is sent as it is
_TOLD_WITHIN = 0.01  # s until it is looked again whether a server has told of its methods
_PURGE_FIRST = 64  # calls that may wait before we look for given up ones among them; doubles with what is left


class Calls:
    """The live peers of a client, and the calls waiting for one. ``seed`` is any number: clients that draw differently
    don't meet at the same servers. Not thread-safe.
    """

    def __init__(self, seed: int = 0) -> None:
        self.peers: list[ClientPeer] = []
        self.waiting: deque[ClientChannel] = deque()
        self.next_wake: float | None = None
        self.resting: list[tuple[float, int, ClientChannel]] = []  # a heap: when to repeat which call
        self._resting_number = itertools.count()  # for calls are not ordered
        self.hedges: Hedges = Hedges()
        self._purge_at = _PURGE_FIRST
        self._finding = Finding(self.peers, seed)
        self.outliers: Outliers = self._finding.choosing.outliers

    def start(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Send a call; the peer that now has something to flush, or None when there are side effects: the call has to
        wait, perhaps.
        """
        peers = self.peers
        if len(peers) == 1 and peers[0].writable and channel.terms is USUAL_TERMS:
            peers[0].open(channel, now)
            return peers[0]
        peer = self._finding.peer_for(channel, now)
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
        if channel.terms is USUAL_TERMS or not (self._watch(channel, now) or self._finding.asked):
            return peer
        self._finding.asked.append(peer)
        return None

    def _watch(self, channel: ClientChannel, now: float) -> bool:
        """Whether there is a time at which a call that was just sent will be slow."""
        attempts = attempts_of(channel)
        if attempts is None or not attempts.hedge or attempts.twin is not None:
            return False
        if attempts.number == 1:
            attempts.begun = now
        slow_at = self.hedges.watch(channel, attempts.hedge, now)
        if slow_at is None:
            return False
        self.wake_by(slow_at)
        return True

    def _hedge(self, channel: ClientChannel, now: float) -> None:
        """Begin a second attempt of a call that is slow, if another server may run it, and the budget lets us."""
        attempts = attempts_of(channel)
        assert attempts is not None
        able = others = [peer for peer in self.peers if peer is not channel.peer]
        if not attempts.retry.idempotent:
            able = [p for p in others if p.idempotent is not None and channel.method in p.idempotent]
            untold = [p for p in others if p.idempotent is None]
            for peer in untold:
                peer.ask(now)
                self._finding.asked.append(peer)
            if untold and not able:
                self.hedges.look_again(channel, now + _TOLD_WITHIN)
        chosen = self._finding.choosing.best(able, now)
        if chosen is None or not self._finding.budget_of(attempts).take(now):
            return
        attempts.number += 1
        twin = Twin.of(channel, chosen.new_id(), attempts.number)
        twin.waiter = TwinWaiter(self.hedges, channel, twin, chosen)
        attempts.twin = twin
        chosen.open(twin, now)
        self._finding.asked.append(chosen)

    def wake_by(self, deadline: float) -> None:
        """Somebody waits for a peer until then."""
        if self.next_wake is None or deadline < self.next_wake:
            self.next_wake = deadline

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float) -> None:
        """Send a call to this peer and never to another one, even if its server is ejected, or takes no data now. An
        older server may have to be asked something first, or lack what the call needs.
        """
        channel.terms = structs.replace(channel.terms, pinned=peer)
        if self._finding.pinned(channel, now) is peer:
            peer.open(channel, now)
        elif channel.state is STATE_WAITING:
            self.waiting.append(channel)
            if channel.timeout is not None:
                self.wake_by(channel.deadline)

    def retry(self, channel: ClientChannel, now: float) -> bool:
        """Whether a call whose attempt was refused is to be started again now. Otherwise it has failed, or, if it isn't
        answered, rests until it is time for its next attempt.
        """
        if channel.state is not STATE_REFUSED:
            return False  # its second attempt has had the answer meanwhile
        attempts = attempts_of(channel)
        if channel.upload is not None and channel.upload.begun:
            wait = None  # its items are gone
        elif attempts is None:
            again = self.peers and now < channel.deadline and channel.terms.pinned is None
            wait = 0.0 if again else None
        elif attempts.twin is not None and attempts.twin.state is STATE_SENT:
            attempts.keep(channel)  # its twin goes on, and is the call's next attempt
            channel.try_again()
            return False
        elif attempts.unsure and self._none_will_say_so(channel):
            wait = None
        else:
            wait = attempts.next(self._finding.budget_of(attempts), now, channel.deadline - now, bool(self.peers))
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
        self.wake_by(now + wait)
        return False

    def _none_will_say_so(self, channel: ClientChannel) -> bool:
        """Whether all live servers have told of their methods, and of none is this one idempotent."""
        told = [peer.idempotent for peer in self.peers]
        return bool(told) and all(each is not None and channel.method not in each for each in told)

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
                peer = self._finding.peer_for(channel, now)
                if peer is None and channel.terms is USUAL_TERMS:
                    break
                if peer is not None:
                    _say_again(channel, now)
                    peer.open(channel, now)
                    if channel.terms is not USUAL_TERMS:
                        self._watch(channel, now)
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
        finding = self._finding
        asked, failed = finding.asked, finding.failed
        finding.asked, finding.failed = [], []
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
        for channel in self.hedges.take_due(now):
            self._hedge(channel, now)
        for due in (self.resting, self.hedges.due):
            if due:
                self.wake_by(due[0][0])
        return ended

    def refuse(self, why: HandshakeFailed) -> list[ClientChannel]:
        """End the waiting calls, if there is no peer: there will be none, for a reason that time doesn't change."""
        if self.peers:
            return []
        ended = [c for c in self.waiting if c.state is STATE_WAITING]
        for channel in ended:
            error = HandshakeFailed(f"calling remote method {channel.method}: {why}")
            error.endpoint, error.server_key = why.endpoint, why.server_key
            channel.fail(error)
        self._purge()
        return ended

    def close(self, error: Exception) -> list[ClientChannel]:
        """End every waiting call."""
        ended = [c for c in (*self.waiting, *(c for _, _, c in self.resting)) if c.state is STATE_WAITING]
        for channel in ended:  # first, so that none is forgotten if this is interrupted
            channel.fail(error)
        self.waiting.clear()
        self.resting.clear()
        return ended


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
