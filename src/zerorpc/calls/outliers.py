"""Servers that fail again and again: they are ejected, that is, they get no calls for a while, and then one to prove
themselves.

A failure is what a server's process or its network fails at: a call that got no reply by its deadline, or a connection
that was lost with calls open, however many those were. A reply is none, even if it is an error: the method raised, or
the server is overloaded, or a worker process died, but the server lives and said so. Envoy draws the same line: it
counts timeouts and resets as failures of the host's own ("local origin"), apart from what the host replies. (Refusals
of an overloaded server must not count: its calls would overload the next one.) Connecting again is not our affair.

A success is noticed late, so that it costs a call nothing but one assignment: each peer counts its failures since its
last reply (``ClientPeer.failures``), and the count is looked at when the peer is to have another call.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from zerorpc.protocol.client_peer import ClientPeer

__all__ = ["FAILURES", "Outliers"]

FAILURES = 5  # in a row; Envoy's consecutive_5xx and consecutive_local_origin_failure
_EJECTED_FOR = 30.0  # s, times how often; Envoy's base_ejection_time, and that of gRPC (gRFC A50)
_EJECTED_LONGEST = 300.0  # s; their max_ejection_time
_REMEMBERED = 1024  # servers that have failed; of more than that the oldest is forgotten


class _State(enum.Enum):
    """How a server that has failed stands."""

    TRUSTED = "gets calls like the others"  # ends: too many failures in a row, unless it is the last: EJECTED
    EJECTED = "gets no calls"  # ends: its time is over, and it gets one call: PROBED
    PROBED = "has one call"  # ends: a reply: TRUSTED; another failure: EJECTED; neither for long: one more call


class _Record:
    """What is remembered of one server."""

    __slots__ = ("ejections", "failures", "since", "state", "until")

    def __init__(self) -> None:
        self.state = _State.TRUSTED
        self.failures = 0  # in a row, when its last connection ended
        self.ejections = 0  # one less for each 30 s of good time
        self.since = 0.0  # when it was trusted again
        self.until = 0.0  # when it may get a call, if it isn't trusted

    def eject(self, now: float) -> None:
        if self.state is _State.TRUSTED:
            self.ejections -= min(self.ejections, int((now - self.since) / _EJECTED_FOR))
        self.ejections += 1
        self.state = _State.EJECTED
        self.until = now + min(_EJECTED_FOR * self.ejections, _EJECTED_LONGEST)

    def __repr__(self) -> str:
        return f"<{self.state.name.lower()} ejections={self.ejections}>"


class Outliers:
    """Which of a client's servers are ejected. Not thread-safe.

    A server is known by whatever names it: it stays ejected when its connection is made anew. Without a name, as when
    it has connected to us, it is a new one with each connection.
    """

    def __init__(self) -> None:
        self.doubted: dict[object, _Record] = {}  # by server, of those that are not trusted
        self._records: dict[object, _Record] = {}  # all of those that have failed
        self._servers: dict[ClientPeer, object] = {}  # of each peer

    def add(self, peer: ClientPeer, server: object | None) -> None:
        """There is a connection to a server."""
        self._servers[peer] = peer if server is None else server
        if server in self._records:
            peer.failures = self._records[server].failures

    def remove(self, peer: ClientPeer, failed: bool) -> None:
        """The connection has no further use; ``failed`` if it was lost with calls open. Safe to call twice."""
        server = self._servers.pop(peer, None)
        if server is peer:
            self._records.pop(peer, None)
            self.doubted.pop(peer, None)
        elif server is not None:
            failures = peer.failures + failed
            if failures or server in self._records:
                self._record(server).failures = failures

    def fit(self, peers: Iterable[ClientPeer], now: float) -> list[ClientPeer]:
        """Those that may get a call."""
        return [peer for peer in peers if self._is_fit(peer, now)]

    def _is_fit(self, peer: ClientPeer, now: float) -> bool:
        server = self._servers[peer]
        record = self.doubted.get(server)
        if record is None:
            return True
        if record.state is _State.PROBED:
            if peer.failures == 0:
                record.state, record.since = _State.TRUSTED, now
                del self.doubted[server]
                return True
            if peer.failures >= FAILURES:
                record.eject(now)
        return now >= record.until

    def begin_probe(self, peer: ClientPeer, now: float) -> bool:
        """The peer is about to have a call; whether that is to show if its server can be trusted again."""
        record = self.doubted.get(self._servers[peer])
        if record is None or now < record.until:
            return False
        record.state = _State.PROBED
        record.until = now + _EJECTED_FOR  # another call then, if this one has no outcome: it may have been given up
        peer.failures = FAILURES - 1
        return True

    def eject(self, peer: ClientPeer, now: float) -> None:
        """It has failed too often."""
        server = self._servers[peer]
        record = self.doubted[server] = self._record(server)
        record.eject(now)

    def _record(self, server: object) -> _Record:
        record = self._records.get(server)
        if record is None:
            record = self._records[server] = _Record()
            if len(self._records) > _REMEMBERED:
                oldest = next(iter(self._records))
                del self._records[oldest]
                self.doubted.pop(oldest, None)
        return record

    def __repr__(self) -> str:
        return f"<Outliers {self.doubted}>"
