"""Hedging: a second attempt of a call, on another server, when the first is slow; the first answer counts.

Slow is what takes longer than 95 of 100 calls of the same method did (Dean and Barroso, "The Tail at Scale", 2013): so
it costs a twentieth of the calls more at most, within the budget of retries, and only idempotent methods are hedged.

The second attempt is a ``Twin``, a channel of its own. When it has the answer, the call's own channel takes its place,
and leaves the other server, which is told.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from msgspec import structs

from zerorpc.errors import LostRemote
from zerorpc.protocol.call_header import renumbered
from zerorpc.protocol.channel import STATE_DONE, STATE_REFUSED, STATE_SENT, STATE_STREAMING, ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import CANCEL, ERR, ERROR_KEY, decode_header

__all__ = ["Hedges", "Twin"]

_RECENT = 100  # calls of a method that are looked at
_ENOUGH = 20  # calls before anything is known: of fewer, the slowest would be the measure

Won = Callable[[ClientChannel, "ClientPeer | None"], object]


class Hedges:
    """The calls of a client that may get a second attempt, and how long such calls took.

    ``won`` is the shell's: a call has its answer, or is refused, and a peer, if any, has something to flush.
    """

    def __init__(self) -> None:
        self.due: list[tuple[float, int, ClientChannel]] = []  # a heap: when which call is slow
        self.won: Won = lambda *_: None
        self._number = itertools.count()
        self._latencies: dict[str, _Latencies] = {}

    def watch(self, channel: ClientChannel, hedge: float | bool, now: float) -> float | None:
        """An attempt has begun: when it will be slow, if that is known."""
        after = self._slow_after(channel.method) if hedge is True else float(hedge)
        return None if after is None else self.look_again(channel, now + after)

    def look_again(self, channel: ClientChannel, when: float) -> float:
        heapq.heappush(self.due, (when, next(self._number), channel))
        return when

    def take_due(self, now: float) -> list[ClientChannel]:
        """The calls that are slow by now, unless they are over."""
        found: list[ClientChannel] = []
        while self.due and self.due[0][0] <= now:
            channel = heapq.heappop(self.due)[2]
            if channel.state is STATE_SENT:
                found.append(channel)
        return found

    def measure(self, method: str, seconds: float) -> None:
        """A call took so long to its first reply."""
        self._latencies.setdefault(method, _Latencies()).add(seconds)

    def _slow_after(self, method: str) -> float | None:
        latencies = self._latencies.get(method)
        return None if latencies is None else latencies.p95()


class _Latencies:
    """The last ones. Read with a lock held and added to without: so no deque, which can't be read meanwhile."""

    __slots__ = ("_count", "_recent")

    def __init__(self) -> None:
        self._recent: list[float] = []
        self._count = 0

    def add(self, seconds: float) -> None:
        if len(self._recent) < _RECENT:
            self._recent.append(seconds)
        else:
            self._recent[self._count % _RECENT] = seconds
        self._count += 1

    def p95(self) -> float | None:
        recent = sorted(self._recent)
        return recent[len(recent) * 95 // 100] if len(recent) >= _ENOUGH else None


class Twin(ClientChannel, eq=False):
    """The channel of a second attempt. It is never made again: its call has the first one, or is."""

    @classmethod
    def of(cls, channel: ClientChannel, message_id: bytes | str | int, number: int) -> Twin:
        data = renumbered(channel.data, message_id, number)
        terms = structs.replace(channel.terms, attempts=None, needs=())
        return cls(message_id, channel.method, data, channel.timeout, channel.deadline, channel.slots, terms)

    def refuse(self, error: Exception | None) -> None:
        self.fail(error or LostRemote(f"the second attempt of {self.method} was refused"))


class TwinWaiter:
    """Whom the answer of a twin is told."""

    def __init__(self, hedges: Hedges, channel: ClientChannel, twin: Twin, peer: ClientPeer) -> None:
        self._hedges = hedges
        self._channel = channel
        self._twin = twin
        self._peer = peer

    def set_result(self, result: None) -> None:
        channel, twin = self._channel, self._twin
        refused = channel.state is STATE_REFUSED  # the first attempt has just failed, and nobody has looked yet
        if channel.answered and not refused:
            return
        if self._failed():
            if refused:
                return  # who looks then decides about another attempt
            if channel.state is not STATE_SENT:  # the first attempt had failed, and the call waited for this one
                channel.reply, channel.reply_data = twin.reply, twin.reply_data
                channel.refuse(twin.error)
                self._hedges.won(channel, None)
            return
        self._hedges.won(channel, self._take_over())

    def _failed(self) -> bool:
        """Whether what became of the twin is no outcome: it is lost, or the server has refused it."""
        reply = self._twin.reply
        return reply is None or (reply.name == ERR and ERROR_KEY in decode_header(self._twin.reply_data))

    def _take_over(self) -> ClientPeer | None:
        """Put the call's channel in the place of its twin; the peer that it leaves."""
        channel, twin, loser = self._channel, self._twin, None
        if channel.state is STATE_SENT and isinstance(channel.peer, ClientPeer):
            loser = channel.peer
            loser.forget(channel)
            if loser.level >= 1:
                loser.emit(channel, CANCEL, [])
        if twin.state is STATE_STREAMING:
            self._peer.channels[twin.message_id] = channel
        channel.message_id, channel.peer, channel.inflow = twin.message_id, twin.peer, twin.inflow
        channel.reply, channel.reply_data, channel.error = twin.reply, twin.reply_data, None
        channel.deadline, channel.last_seen, channel.next_beat = twin.deadline, twin.last_seen, twin.next_beat
        channel.answered, channel.state, twin.state = True, twin.state, STATE_DONE
        return loser
