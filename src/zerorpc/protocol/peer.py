"""One remote peer: its ZMTP connection, the channels that live on it, and whether it is alive.

This is the object that both shells drive, and it knows neither of them. Bytes received go in with ``receive_data``,
bytes to send come out with ``take_output``; ``next_wake`` is when ``sweep`` wants to be called next. Both return the
channels that they touched; what happened to the peer itself is in ``news``. One sweep serves all channels: there is no
timer per call.

Between two of our peers liveness belongs to the connection (ZMTP's PING); with older ones each channel has its own
heartbeats, as they expect (docs/protocol.md, Liveness).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from zerorpc.errors import LostRemote, ProtocolError, ZeroRPCError
from zerorpc.protocol.events import Buffer
from zerorpc.zmtp import Connection, Frame, Limits, Message, SocketType, State
from zerorpc.zmtp.frames import SHORT_DELIMITED

__all__ = ["EXTENSION_LEVEL", "FOREVER", "HANDSHAKE_TIMEOUT", "News", "Peer", "lost", "next_sweep"]

EXTENSION_LEVEL = 1
_EXTENSION_PROPERTY = "X-Zerorpc"
_LOST_AFTER = 2  # heartbeats of silence
HANDSHAKE_TIMEOUT = 30.0  # s, as libzmq's ZMQ_HANDSHAKE_IVL
_COARSE = 0.001  # s between sweeps, and the same for each channel
_COARSE_PER_CHANNEL = 5e-6  # s; a sweep takes some 0.25 us a channel: a twentieth of our time at most
_PROMPT = 0.1  # s; a sweep later than that means that we were kept from running
FOREVER = float("inf")


class News(enum.Enum):
    """What happened to a peer, and not to one of its channels."""

    READY = "the handshake is over"
    LEAVING = "it answers what it has, and wants nothing new"
    BROKEN = "the connection has to end; the peer's error says why"


_NO_NEWS: tuple[News, ...] = ()


class Beating(Protocol):
    """What a peer knows of the channels that live on it. Both times are only used towards older peers."""

    last_seen: float
    next_beat: float


C = TypeVar("C", bound=Beating)  # the channels that live on a peer
T = TypeVar("T")  # what a peer touches: its channels, or messages


class Peer(Generic[C, T]):
    """What every kind of peer has: the connection, its liveness, and the time of the next sweep.

    Arguments: our ``socket_type``; ``heartbeat`` in seconds, None for never; ``limits`` on what the peer may send;
    ``identity`` our routing id. Not thread-safe.
    """

    __slots__ = (
        "_asked_at",
        "_excused",
        "_forgiven",
        "_handshake_by",
        "_pinged",
        "_spoke",
        "_taken",
        "_unsent",
        "channels",
        "connection",
        "error",
        "heartbeat",
        "last_received",
        "level",
        "name",
        "news",
        "next_wake",
        "pauses_reading",
        "ready",
        "tap",
        "writable",
    )

    def __init__(
        self,
        socket_type: SocketType,
        heartbeat: float | None = None,
        *,
        identity: bytes = b"",
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        level = {_EXTENSION_PROPERTY: str(EXTENSION_LEVEL).encode()}
        self.connection: Connection = Connection(socket_type, identity=identity, properties=level, limits=limits)
        self.heartbeat: float | None = heartbeat
        self.channels: dict[object, C] = {}
        self.ready: bool = False  # the handshake is over
        self.level: int = 0  # extensions that both sides know
        self.error: ZeroRPCError | None = None
        self.writable: bool = True  # the shell's: False while too much is unsent
        self.pauses_reading: bool = False  # whether to read no more while not writable: bounds a server's memory
        self.name: str | None = None  # where it is, as the shell knows it: for hooks
        self.news: tuple[News, ...] = _NO_NEWS  # what happened since the shell last looked
        self.tap: Callable[[str, Buffer], None] | None = None  # sees every event: for debugging
        self.last_received: float = 0.0
        self.next_wake: float | None = None
        self._pinged = 0.0  # when the first of the PINGs that may still be unanswered was sent, or came through
        self._spoke = 0.0  # when we last sent a PING, or a PONG at once: one held back spares no question of ours
        self._forgiven = -1.0  # ``last_received`` as ``_forgive`` left it
        self._excused = -1.0  # ``last_received`` as ``progress`` left it
        self._taken = self._unsent = self._asked_at = 0  # octets; the last is what ``_taken`` was to be at a question
        self._handshake_by = FOREVER

    def opened(self, now: float) -> None:
        """The connection exists: the handshake has to follow soon."""
        self.last_received = now
        self._handshake_by = now + HANDSHAKE_TIMEOUT
        self.wake_by(self._handshake_by)

    # Bytes in, bytes out

    def receive_data(self, data: bytes, now: float, filled: int = 0) -> list[T]:
        """Take received bytes; return what they touched: channels, or messages for one-way peers. Look at ``news``.

        ``filled`` counts bytes that aren't in ``data`` because they were put where ``connection.decoder.body_room()``
        says.
        """
        self.last_received = now
        connection = self.connection
        touched: list[T] = []
        if connection.quick and connection.decoder.idle:
            size = len(data)
            # One short message and nothing else, as in a lone call: 0.4 us less.
            if size > 3 and data[3] == size - 4 and data.startswith(SHORT_DELIMITED) and self.tap is None:
                self.receive_message([b"", data[4:]], now, touched)
                return touched
        messages = connection.body_filled(filled) if filled else connection.receive_data(data)
        if not self.ready:
            self._begin(now)
        if self.tap is not None:
            for message in messages:
                self.tap("<--", message[-1])
        receive_message = self.receive_message
        for message in messages:
            receive_message(message, now, touched)
        if connection.news:
            self._heed_connection(now)
        if not connection.decoder.idle and self.level >= 1 and self.heartbeat and connection.decoder.in_message:
            self.wake_by(now + self.heartbeat)  # no channel may be open that sees to it that a sweep comes
        return touched

    def _heed_connection(self, now: float) -> None:
        """An error, or a PING: not answered to a peer that reads nothing, or answers would pile up."""
        connection = self.connection
        connection.news = False
        if connection.error is not None:
            self._break(connection.error)
            return
        if connection.peer_ttl is not None:
            self.wake_by(now + connection.peer_ttl)
        if self.writable:
            connection.send_pong()
            self._spoke = now

    def _begin(self, now: float) -> None:
        """The handshake may just have ended: agree on extensions."""
        if self.connection.state is not State.TRAFFIC:
            return
        self.ready = True
        self.news += (News.READY,)
        level = _level(self.connection.peer_properties)
        self.level = min(level, EXTENSION_LEVEL)
        if self.connection.socket_type.subscribes:
            self.connection.send_subscribe(b"")

    def _break(self, error: ZeroRPCError) -> None:
        self.error = error
        self.news += (News.BROKEN,)

    def receive_message(self, message: Message, now: float, touched: list[T]) -> None:
        """Act on one message, appending to ``touched``. A plain peer hands it on."""
        touched.append(message)  # type: ignore[arg-type]  # a plain peer is a Peer[..., Message]

    def take_again(self) -> None:
        """The peer reads again: it may be written to, and gets the PONG that was held back."""
        self.writable = True
        self.connection.send_pong()

    def take_output(self) -> list[Frame]:
        return self.connection.take_output()

    def take_news(self) -> tuple[News, ...]:
        """What happened to it since the last time."""
        news, self.news = self.news, _NO_NEWS
        return news

    def close(self, error: Exception) -> list[C]:
        """The connection is gone: end what lived on it and return it."""
        ended = list(self.channels.values())
        self.channels.clear()
        self.next_wake = None
        return ended

    # Liveness

    def progress(self, taken: int, unsent: int, now: float) -> None:
        """Before a sweep: how much of our output the peer has taken, by a count that only grows, and how much not yet.

        Taking some is a sign of life as long as our question whether it lives is still among what waits, or we don't
        listen for its answer. Otherwise only a word counts: a system goes on taking octets for a process that hangs.
        But from when the question has come through, as far as we can tell, there is a heartbeat for the answer.
        """
        if taken > self._taken and (taken < self._asked_at or (self.pauses_reading and not self.writable)):
            self.last_received = self._excused = now
            for channel in self.channels.values():
                channel.last_seen = now
        elif self._taken < self._asked_at <= taken:
            self._pinged = now
        self._taken = taken
        self._unsent = unsent

    def ask(self) -> None:
        """A PING or a heartbeat is to be sent, so that the peer says a word. The first since its last one counts."""
        if self.last_received != self._excused:
            self._excused = self.last_received
            self._asked_at = self._taken + self._unsent

    def sweep(self, now: float) -> list[T]:
        """Send heartbeats that are due, find what is lost or late; return the channels that this ended."""
        if self.next_wake is not None and now - self.next_wake > _PROMPT:
            self._forgive(now - self.next_wake, now)
        ended: list[T] = []
        wake = self._sweep_connection(now)
        for channel in list(self.channels.values()):
            wake = min(wake, self.sweep_channel(channel, now, ended))
        self.next_wake = None if wake == FOREVER else max(wake, now + next_sweep(len(self.channels)))
        return ended

    def _forgive(self, late: float, now: float) -> None:
        """We were not run for a while (blocked, stopped, suspended): that time is not the peer's silence.

        What it sent meanwhile may still have to be read: so judge it a moment later. A little lateness is forgiven
        once in a silence only, or a blocking client's keeper, which never comes on time, would never find a loss.
        """
        period = min(self.heartbeat or FOREVER, self.connection.peer_ttl or HANDSHAKE_TIMEOUT)
        if late <= period / 2 and self.last_received == self._forgiven:
            return
        late += _PROMPT
        self.last_received = self._forgiven = min(self.last_received + late, now)
        self._pinged = min(self._pinged + late, now)
        self._handshake_by += late
        if self.beats_channels:
            for channel in self.channels.values():
                channel.last_seen = min(channel.last_seen + late, now)

    def _sweep_connection(self, now: float) -> float:
        """PING when it has been quiet, give up when it stays quiet; when to look again."""
        wake = FOREVER
        if not self.ready:
            if now >= self._handshake_by:
                self._break(ProtocolError(f"no ZMTP handshake within {HANDSHAKE_TIMEOUT:g} s"))
            return self._handshake_by
        ttl = self.connection.peer_ttl
        if ttl is not None:
            if now - self.last_received >= ttl:
                self._break(LostRemote(f"the peer sent nothing for the {ttl:g} s it had announced"))
            wake = self.last_received + ttl
        if self.writable:
            self.connection.send_pong()
        if self.level < 1 or not self.heartbeat or not self._is_busy:
            return wake
        return min(wake, self._beat(self.heartbeat, now))

    @property
    def _is_busy(self) -> bool:
        """Whether something is under way that a loss would end, or that only a loss will."""
        return bool(self.channels) or not self.writable or self._unsent > 0 or self.connection.decoder.in_message

    def _beat(self, heartbeat: float, now: float) -> float:
        """PING once a period; give up after two of silence, if we had asked for a word. When to look again.

        Also while much comes in: who sends it hears nothing else of us, and an answer to its own PING has to wait
        until that has come through all that it sent before.
        """
        lost_at = FOREVER
        if self._pinged > self.last_received:
            lost_at = max(self._pinged + heartbeat, self.last_received + _LOST_AFTER * heartbeat)
            if now >= lost_at:
                self._break(lost(_LOST_AFTER * heartbeat))
                return FOREVER
        if now - self._spoke >= heartbeat:
            if self._pinged <= self.last_received:
                self._pinged = now
            self._spoke = now
            self.ask()
            self.connection.send_ping()
        return min(lost_at, self._spoke + heartbeat)

    def sweep_channel(self, channel: C, now: float, ended: list[T]) -> float:
        """Look after one channel; when to look again."""
        return FOREVER

    def heed_heartbeat(self, channel: C, now: float) -> None:
        """The other side beats: a passive channel begins to.

        At once: Node looks for the first sign of life two periods after the request, one after its own first beat.
        """
        if self.beats_channels and channel.next_beat == FOREVER:
            channel.next_beat = now
            self.wake_by(now)

    def wake_by(self, when: float) -> None:
        """Make sure that a sweep comes no later than ``when``."""
        if when != FOREVER and (self.next_wake is None or when < self.next_wake):
            self.next_wake = when

    @property
    def beats_channels(self) -> bool:
        """Whether each channel needs heartbeats of its own. A REQ socket would take one for its reply."""
        return self.level < 1 and bool(self.heartbeat) and self.connection.peer_socket_type is not SocketType.REQ

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection!r} level={self.level} channels={len(self.channels)}>"


def next_sweep(channels: int) -> float:
    """How far apart sweeps are at least, in seconds, so that many deadlines can't make us do nothing else."""
    return _COARSE + _COARSE_PER_CHANNEL * channels


def lost(silence: float) -> LostRemote:
    """The error of what a silent peer leaves behind."""
    return LostRemote(f"Lost remote after {silence:g}s heartbeat")


def _level(properties: Mapping[str, bytes]) -> int:
    """The extension level that the peer announced; 0 for what isn't a number."""
    value = properties.get(_EXTENSION_PROPERTY.lower(), b"0")
    return int(value) if value.isdigit() and len(value) < 4 else 0
