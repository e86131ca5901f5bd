"""Which peer a call goes to: of those that can do what it needs, the one with the fewest calls open."""

from __future__ import annotations

from msgspec import structs

from zerorpc.calls.binding import bound_by_position
from zerorpc.calls.retry import Attempts, Budget, attempts_of
from zerorpc.errors import NotSupported
from zerorpc.protocol.channel import USUAL_TERMS, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer

__all__ = ["KEYWORDS", "Choosing"]

KEYWORDS = "keyword arguments"  # the one need of a call that an older server may be able to meet


class Choosing:
    """The live peers of a client. Finding one has side effects: those that were ``asked`` have something to flush, and
    calls have ``failed`` that no peer can take.
    """

    def __init__(self) -> None:
        self.peers: list[ClientPeer] = []
        self.asked: list[ClientPeer] = []
        self.failed: list[ClientChannel] = []
        self._budgets: dict[tuple[float, float], Budget] = {}

    def _choose(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Which peer a call goes to, if there is one that it can go to."""
        if channel.terms is USUAL_TERMS:
            return self._least_loaded(self.peers)
        attempts = attempts_of(channel)
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

    def _budget_of(self, attempts: Attempts) -> Budget:
        share, per_second = attempts.retry.share, attempts.retry.per_second
        budget = self._budgets.get((share, per_second))
        if budget is None:
            budget = self._budgets[share, per_second] = Budget(share, per_second)
        return budget


def _lacking(channel: ClientChannel, server: str, what: str) -> NotSupported:
    error = NotSupported(f"{channel.method}: the server at {server} speaks an older protocol, which has no {what}")
    error.method = channel.method
    return error
