"""One remote peer: its ZMTP connection, and the channels that live on it.

This is the object that both shells drive, and it knows neither of them. Bytes received go in with ``receive_data``,
bytes to send come out with ``take_output``; ``next_wake`` is when ``sweep`` wants to be called next. ``receive_data``
and ``sweep`` return the channels that they touched; what happened to the peer itself is in ``news``. One sweep serves
all channels: there is no timer per call.

Between two of our peers liveness belongs to the connection (``liveness``); with older ones each channel has its own
heartbeats, as they expect (docs/protocol.md, Liveness).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from zerorpc.errors import ZeroRPCError
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.framed import with_buffers
from zerorpc.protocol.liveness import FOREVER, Liveness
from zerorpc.zmtp import Connection, Frame, Limits, Message, SocketType, State
from zerorpc.zmtp.frames import FRAMED, SHORT_DELIMITED
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["EXTENSION_LEVEL", "News", "Peer", "next_sweep"]

EXTENSION_LEVEL = 1
_EXTENSION_PROPERTY = "X-Zerorpc"
_COARSE = 0.001  # s between sweeps, and the same for each channel
_COARSE_PER_CHANNEL = 5e-6  # s; a sweep takes some 0.25 us a channel: a twentieth of our time at most


class News(enum.Enum):
    """What happened to a peer, and not to one of its channels."""

    READY = "the handshake is over"
    LEAVING = "a server answers what it has, and wants nothing new; or a client has heard that we do"
    TOLD = "a server has told of its methods"
    ASKS = "somebody has to decide who it is, by its connection's credentials: ``admit`` or ``refuse``"
    BROKEN = "the connection has to end; the peer's error says why"


_NO_NEWS: tuple[News, ...] = ()


class Beating(Protocol):
    """What a peer knows of the channels that live on it. Both times are only used towards older peers."""

    last_seen: float
    next_beat: float


C = TypeVar("C", bound=Beating)  # the channels that live on a peer
T = TypeVar("T")  # what a peer touches: its channels, or messages


class Peer(Generic[C, T]):
    """What every kind of peer has: the connection, its liveness, its channels, and the time of the next sweep.

    Arguments: our ``socket_type``; ``heartbeat`` in seconds, None for never; ``limits`` on what the peer may send;
    ``identity`` our routing id; ``mechanism`` makes the connection's security mechanism. Not thread-safe.
    """

    __slots__ = (
        "channels",
        "connection",
        "error",
        "heartbeat",
        "last_received",
        "level",
        "limits",
        "liveness",
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
        mechanism: NewMechanism = Null,
    ) -> None:
        level = {_EXTENSION_PROPERTY: str(EXTENSION_LEVEL).encode()}
        self.connection: Connection = Connection(
            socket_type, mechanism=mechanism, identity=identity, properties=level, limits=limits
        )
        self.limits: Limits = limits
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
        self.liveness: Liveness = Liveness(self.connection, heartbeat)

    def opened(self, now: float) -> None:
        """The connection exists: the handshake has to follow soon."""
        self.last_received = now
        self.wake_by(self.liveness.opened(now))

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
            # The same with large octets behind it: 4 us less.
            if data.startswith(FRAMED) and self.tap is None and (message := connection.decoder.whole(data)) is not None:
                self.receive_message(message, now, touched)
                return touched
        messages = connection.body_filled(filled) if filled else connection.receive_data(data)
        if not self.ready:
            self._begin(now)
        if self.tap is not None:
            for message in messages:
                large = self.level >= 1 and len(message) > 2
                self.tap("<--", with_buffers(message[1], message[2:]) if large else message[-1])
        receive_message = self.receive_message
        for message in messages:
            receive_message(message, now, touched)
        if connection.news:
            self._heed_connection(now)
        if not connection.decoder.idle and self.heartbeat and connection.decoder.in_message:
            self.wake_by(now + self.heartbeat)  # no channel may be open that sees to it that a sweep comes
        return touched

    def receive_whole(self, data: memoryview, now: float) -> list[T] | None:
        """The same for one message that has large octets behind it, if that is all there is; None if it isn't. What the
        message has is copied out of ``data``.
        """
        connection = self.connection
        if self.tap is not None or not (connection.quick and connection.decoder.idle) or data[:3] != FRAMED:
            return None
        message = connection.decoder.whole(data)
        if message is None:
            return None
        self.last_received = now
        touched: list[T] = []
        self.receive_message(message, now, touched)
        return touched

    def _heed_connection(self, now: float) -> None:
        """An error, or a PING: not answered to a peer that reads nothing, or answers would pile up."""
        connection = self.connection
        connection.news = False
        if connection.error is not None:
            self._break(connection.error)
            return
        if connection.asking:
            self.news += (News.ASKS,)
            return
        if connection.peer_ttl is not None:
            self.wake_by(now + connection.peer_ttl)
        if self.writable:
            self.liveness.answer(now)

    def _begin(self, now: float) -> None:
        """The handshake may just have ended: agree on extensions."""
        if self.connection.state is not State.TRAFFIC:
            return
        self.ready = True
        self.news += (News.READY,)
        level = _level(self.connection.peer_properties)
        self.level = min(level, EXTENSION_LEVEL)
        self.liveness.agreed(self.level)
        if self.level >= 1:
            self.connection.leave_out_delimiters()
            self.connection.takes_buffers = True
        if self.connection.socket_type.subscribes:
            self.connection.send_subscribe(b"")

    def admit(self, now: float) -> None:
        """Let in the peer that asked: its handshake goes on. Look at ``news`` afterwards, and send. Without effect on
        one that doesn't ask any more: it may have gone meanwhile.
        """
        self.connection.admit()
        if not self.ready:
            self._begin(now)

    def refuse(self, reason: str, now: float) -> None:
        """Don't let in the peer that asked; it is told the reason, which is short. The rest as for ``admit``."""
        self.connection.refuse(reason)
        if self.connection.news:
            self._heed_connection(now)

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

    # Liveness and deadlines

    def progress(self, taken: int, unsent: int, now: float) -> None:
        """Before a sweep: how much of our output the peer has taken, by a count that only grows, and how much not yet.

        A peer that we don't read from while it isn't writable shows by nothing else that it lives.
        """
        if self.liveness.progress(taken, unsent, now, self.writable or not self.pauses_reading):
            self.last_received = now
            for channel in self.channels.values():
                channel.last_seen = now

    def sweep(self, now: float) -> list[T]:
        """Send heartbeats that are due, find what is lost or late; return the channels that this ended."""
        if self.next_wake is not None:
            self._forgive(now - self.next_wake, now)
        ended: list[T] = []
        wake = self._sweep_connection(now)
        for channel in list(self.channels.values()):
            wake = min(wake, self.sweep_channel(channel, now, ended))
        self.next_wake = None if wake == FOREVER else max(wake, now + next_sweep(len(self.channels)))
        return ended

    def _forgive(self, late: float, now: float) -> None:
        """If we were not run for a while, that time is not the peer's silence, nor its channels'."""
        late = self.liveness.forgive(late, now, self.last_received)
        if not late:
            return
        self.last_received = min(self.last_received + late, now)
        if self.beats_channels:
            for channel in self.channels.values():
                channel.last_seen = min(channel.last_seen + late, now)

    def _sweep_connection(self, now: float) -> float:
        """Ask whether the peer lives, end the connection if it doesn't; when to look again."""
        try:
            return self.liveness.sweep(now, self.last_received, reads=self.writable, busy=bool(self.channels))
        except ZeroRPCError as error:
            self._break(error)
            return FOREVER

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


def _level(properties: Mapping[str, bytes]) -> int:
    """The extension level that the peer announced; 0 for what isn't a number."""
    value = properties.get(_EXTENSION_PROPERTY.lower(), b"0")
    return int(value) if value.isdigit() and len(value) < 4 else 0
