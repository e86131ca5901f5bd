"""Where a call with terms of its own may go: what it needs, which server it is pinned to, what it was told before."""

from __future__ import annotations

from msgspec import structs

from zerorpc.calls.binding import bound_by_position
from zerorpc.calls.choosing import Choosing
from zerorpc.calls.retry import Attempts, Budget, attempts_of
from zerorpc.errors import LostRemote, NotSupported
from zerorpc.protocol.channel import USUAL_TERMS, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer

__all__ = ["KEYWORDS", "REFERENCES", "STREAMS", "Finding"]

KEYWORDS = "keyword arguments"  # the one need of a call that an older server may be able to meet
STREAMS = "streams from the client"
VALUES = "values of type "  # and which (``Forms.needs``)
REFERENCES = "functions and objects passed by reference"


class Finding:
    """Finds a peer for a call among ``peers``, the live ones.

    On the way it may ask servers something, ``asked``, so that they have something to flush; or find that no server can
    take the call, which has then ``failed``.
    """

    def __init__(self, peers: list[ClientPeer], seed: int) -> None:
        self.peers = peers
        self.choosing: Choosing = Choosing(peers, seed)
        self.asked: list[ClientPeer] = []
        self.failed: list[ClientChannel] = []
        self._budgets: dict[tuple[float, float], Budget] = {}

    def peer_for(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """Which peer a call goes to, if there is one that it can go to."""
        if channel.terms is USUAL_TERMS:
            return self.choosing.best(self.peers, now)
        if channel.terms.pinned is not None:
            return self.pinned(channel, now)
        attempts = attempts_of(channel)
        if attempts is not None:
            attempts.count(self.budget_of(attempts), now)
            if attempts.unsure:
                able = [p for p in self.peers if p.idempotent is not None and channel.method in p.idempotent]
                return self._choose_told(able, self.peers, channel, attempts, now)
            if attempts.keyed and any(peer.level >= 1 for peer in self.peers):
                return self._choose_keeper(channel, attempts, now)
        if channel.terms.needs and self.peers:
            able = [peer for peer in self.peers if peer.level >= 1]
            return self.choosing.best(able, now) if able else self._make_do(channel, now)
        return self.choosing.best(self.peers, now)

    def _choose_keeper(self, channel: ClientChannel, attempts: Attempts, now: float) -> ClientPeer | None:
        """The same for a call with a key: one that keeps answers, and those that it may have one among."""
        peers = [peer for peer in self.peers if peer.level >= 1]
        able = [peer for peer in peers if peer.answers is not None]
        if attempts.doubtful:
            able = [peer for peer in able if peer.answers == attempts.answers]
        elif not able and all(peer.idempotent is not None for peer in peers):
            able = peers  # which refuse it, and say why
        chosen = self._choose_told(able, peers, channel, attempts, now)
        if chosen is not None:
            attempts.answers = chosen.answers
        return chosen

    def _choose_told(
        self, able: list[ClientPeer], among: list[ClientPeer], channel: ClientChannel, attempts: Attempts, now: float
    ) -> ClientPeer | None:
        """One of those that have said that they can take it. The others are asked, for the calls to come if not for
        this one; and if none says so, the call fails.
        """
        untold = [peer for peer in among if peer.idempotent is None]
        for peer in untold:
            peer.ask(now)
            self.asked.append(peer)
        if able:
            return self.choosing.best(able, now)
        if among and not untold:
            attempts.give_up(channel)
            self.failed.append(channel)
        return None

    def _make_do(self, channel: ClientChannel, now: float) -> ClientPeer | None:
        """There are only servers of an older protocol."""
        peer = self.choosing.best(self.peers, now)
        return peer if peer is not None and self._is_met(channel, peer, now) else None

    def pinned(self, channel: ClientChannel, now: float) -> ClientPeer | None:
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
        if channel.terms.for_older is not None:
            channel.data = channel.terms.for_older
            channel.terms = structs.replace(channel.terms, for_older=None, needs=without_values(channel.terms.needs))
            if not channel.terms.needs:
                return True
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
        peer.ask(now)
        self.asked.append(peer)
        return False

    def _fail(self, channel: ClientChannel, error: Exception) -> None:
        channel.fail(error)
        self.failed.append(channel)

    def budget_of(self, attempts: Attempts) -> Budget:
        share, per_second = attempts.retry.share, attempts.retry.per_second
        budget = self._budgets.get((share, per_second))
        if budget is None:
            budget = self._budgets[share, per_second] = Budget(share, per_second)
        return budget


def without_values(needs: tuple[str, ...]) -> tuple[str, ...]:
    """The others."""
    return tuple(need for need in needs if not need.startswith(VALUES))


def _lacking(channel: ClientChannel, server: str, what: str) -> NotSupported:
    error = NotSupported(f"{channel.method}: the server at {server} speaks an older protocol, which has no {what}")
    error.method = channel.method
    return error
