"""Whether the other end of a connection lives: what was asked, and what shows that somebody is there.

Between two of our peers a PING asks (docs/protocol.md, Liveness). Any octets that come are an answer, so their time is
all that this needs to know of what is received. An older peer is asked in each of its channels, by ``client_peer`` and
``server_peer``. Here it is only given up when it stops in the middle of a message, or takes nothing of what waits.
"""

from __future__ import annotations

from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.zmtp import Connection

__all__ = ["FOREVER", "HANDSHAKE_TIMEOUT", "LOST_AFTER_OLD", "Liveness", "lost"]

HANDSHAKE_TIMEOUT = 30.0  # s, as libzmq's ZMQ_HANDSHAKE_IVL
LOST_AFTER_OLD = 3  # heartbeats; what the older ones' "two" comes to: they look only once a period
_LOST_AFTER = 2  # heartbeats of silence
_PROMPT = 0.1  # s; a sweep later than that means that we were kept from running
FOREVER = float("inf")


class Liveness:
    """The liveness of one connection. ``heartbeat`` in seconds, None for never.

    ``last_received`` is the time of the last octets; its methods take it, since every message changes it.
    """

    __slots__ = (
        "_asked_at",
        "_connection",
        "_excused",
        "_forgiven",
        "_handshake_by",
        "_heartbeat",
        "_pinged",
        "_pings",
        "_spoke",
        "_taken",
        "_took",
        "_unsent",
    )

    def __init__(self, connection: Connection, heartbeat: float | None) -> None:
        self._connection = connection
        self._heartbeat = heartbeat
        self._handshake_by: float | None = FOREVER  # None: it is over
        self._pings = False
        self._pinged = 0.0  # when the first of the PINGs that may still be unanswered was sent, or came through
        self._spoke = 0.0  # when we last sent a PING, or a PONG at once; a delayed PONG doesn't count
        self._forgiven = -1.0  # ``last_received`` as ``forgive`` left it
        self._excused = -1.0  # ``last_received`` as ``progress`` or ``ask`` left it
        self._taken = self._unsent = 0  # octets of ours that the peer has taken, and has not
        self._took = 0.0  # when it was last seen to take some, or nothing waited
        self._asked_at = 0  # octets that it has to take before it has our question

    def opened(self, now: float) -> float:
        """The connection exists: when its handshake has to be over."""
        self._handshake_by = now + HANDSHAKE_TIMEOUT
        return self._handshake_by

    def agreed(self, level: int) -> None:
        """The handshake is over; ``level`` says which extensions both sides know."""
        self._handshake_by = None
        self._pings = level >= 1

    def answer(self, now: float) -> None:
        """Send a PONG, at once."""
        self._connection.send_pong()
        self._spoke = now

    def progress(self, taken: int, unsent: int, now: float, listens: bool) -> bool:
        """Before a sweep: how much of our output the peer has taken, by a count that only grows, and how much not yet.
        Whether that is a sign of life.

        Taking some is one as long as our question whether it lives is still among what waits, or we don't listen for
        its answer. Otherwise only a word counts: a system goes on taking octets for a process that hangs. But from
        when the question has come through, as far as we can tell, there is a heartbeat for the answer.
        """
        lives = taken > self._taken and (taken < self._asked_at or not listens)
        if lives:
            self._excused = now
        elif self._taken < self._asked_at <= taken:
            self._pinged = now
        if taken > self._taken or not unsent or not self._unsent:
            self._took = now
        self._taken = taken
        self._unsent = unsent
        return lives

    def ask(self, last_received: float) -> None:
        """A PING or a heartbeat is to be sent, so that the peer says a word. The first since its last one counts."""
        if last_received != self._excused:
            self._excused = last_received
            self._asked_at = self._taken + self._unsent

    def forgive(self, late: float, now: float, last_received: float) -> float:
        """A sweep comes so ``late``: how much silence is not the peer's, since we were not run for a while (blocked,
        stopped, suspended).

        Its data may still be unread: check again a little later. A little lateness is forgiven
        once in a silence only, or a blocking client's keeper, which never comes on time, would never find a loss.
        """
        period = min(self._heartbeat or FOREVER, self._connection.peer_ttl or HANDSHAKE_TIMEOUT)
        if late <= _PROMPT or (late <= period / 2 and last_received == self._forgiven):
            return 0.0
        late += _PROMPT
        self._forgiven = min(last_received + late, now)
        self._pinged = min(self._pinged + late, now)
        self._took = min(self._took + late, now)
        if self._handshake_by is not None:
            self._handshake_by += late
        return late

    def sweep(self, now: float, last_received: float, reads: bool, busy: bool) -> float:
        """PING once a heartbeat while the peer is busy, give up after two without an answer. When to look again.

        ``reads``: whether the peer takes what we send. ``busy``: whether a loss would end something. Raises LostRemote
        or ProtocolError when the connection has to end.
        """
        if self._handshake_by is not None:
            if now >= self._handshake_by:
                raise ProtocolError(f"no ZMTP handshake within {HANDSHAKE_TIMEOUT:g} s")
            return self._handshake_by
        wake = FOREVER
        ttl = self._connection.peer_ttl
        if ttl is not None:
            if now - last_received >= ttl:
                raise LostRemote(f"the peer sent nothing for the {ttl:g} s it had announced")
            wake = last_received + ttl
        if reads:
            self._connection.send_pong()
        in_message = self._connection.decoder.in_message
        if self._heartbeat and not self._pings:
            return min(wake, self._watch_older(LOST_AFTER_OLD * self._heartbeat, now, last_received, in_message))
        busy = busy or not reads or self._unsent > 0 or in_message
        if not (self._heartbeat and busy):
            return wake
        return min(wake, self._beat(self._heartbeat, now, last_received))

    def _watch_older(self, patience: float, now: float, last_received: float, in_message: bool) -> float:
        """Give it up that stops in the middle of a message, or takes nothing, for so long. It can't be asked here."""
        lost_at = last_received + patience if in_message else FOREVER
        if self._unsent > 0:
            lost_at = min(lost_at, self._took + patience)
        if now >= lost_at:
            raise lost(patience)
        return lost_at

    def _beat(self, heartbeat: float, now: float, last_received: float) -> float:
        """PING once a period; give up after two of silence, if we had asked for a word.

        Also while much comes in: who sends it hears nothing else of us, and an answer to its own PING has to wait
        until that has come through all that it sent before.
        """
        lost_at = FOREVER
        if self._pinged > last_received:
            lost_at = max(self._pinged + heartbeat, last_received + _LOST_AFTER * heartbeat)
            if now >= lost_at:
                raise lost(_LOST_AFTER * heartbeat)
        if now - self._spoke >= heartbeat:
            if self._pinged <= last_received:
                self._pinged = now
            self._spoke = now
            self.ask(last_received)
            self._connection.send_ping()
        return min(lost_at, self._spoke + heartbeat)

    def __repr__(self) -> str:
        over = "handshake" if self._handshake_by is not None else "pings" if self._pings else "no pings"
        return f"<Liveness {over} pinged={self._pinged:g} spoke={self._spoke:g}>"


def lost(silence: float) -> LostRemote:
    """The error of what a silent peer leaves behind."""
    return LostRemote(f"Lost remote after {silence:g}s heartbeat")
