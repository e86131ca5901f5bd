"""A client, as its server sees it: brings requests, and takes their replies.

Which channel an event belongs to is decided here; what it means to that, in ``channel``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Raw

from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.protocol.events import (
    CANCEL,
    DECODE_ERRORS,
    ERR,
    GOAWAY,
    HEARTBEAT,
    ID_MAX,
    ITEM_EVENTS,
    LATEST,
    MORE,
    NO_ID,
    STREAM,
    USUAL_TIMEOUT,
    VERSION,
    BadEvent,
    Buffer,
    MessageId,
    WireEvent,
    decode,
    decode_usual,
    encode,
)
from zerorpc.protocol.framed import FramedEvent, with_buffers
from zerorpc.protocol.liveness import FOREVER, LOST_AFTER_OLD, lost
from zerorpc.protocol.peer import News, Peer
from zerorpc.protocol.references import OUTCOME, RELEASE, Lent
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.shape import LARGE, checked
from zerorpc.zmtp import Limits, Message, SocketType
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["ServerPeer"]

_NIL = Raw(b"\xc0")


class MethodTable(Protocol):
    """The shell's methods by their names."""

    def get(self, name: str, /) -> object: ...


class ServerPeer(Peer[ServerChannel, ServerChannel]):
    """A client, seen by its server: brings requests. ``new_id`` makes message ids."""

    __slots__ = ("heard_goaway", "held", "lent", "methods", "new_id", "parked", "rights", "routing_id")

    news: tuple[News, ...]
    next_wake: float | None

    def __init__(
        self,
        heartbeat: float | None,
        new_id: Callable[[], MessageId],
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
        mechanism: NewMechanism = Null,
    ) -> None:
        super().__init__(SocketType.ROUTER, heartbeat, limits=limits, mechanism=mechanism)
        self.new_id: Callable[[], MessageId] = new_id
        self.heard_goaway: bool = False  # it knows that we are shutting down: nothing new of it is on its way
        self.pauses_reading = True
        self.parked: int = 0  # the shell's: how many of its streams wait on threads for their reader
        self.held: list[ServerChannel] = []  # the shell's: requests that came while it didn't take what we send
        self.methods: MethodTable = {}  # the shell's: those that it may call, by name,
        self.rights: MethodTable | None = None  # and the same as its rights, if somebody was asked who it is
        self.lent: Lent = Lent()  # what methods have returned by reference
        own_id = new_id()
        # for hooks: what tells this client from the others, until it says it by itself
        self.routing_id: bytes = own_id if type(own_id) is bytes else str(own_id).encode()

    def receive_message(self, message: Message, now: float, touched: list[ServerChannel]) -> None:
        event: WireEvent | BadEvent | None = None
        if len(message) == 2 and not message[0]:  # the usual [b"", data] has no routing frames
            data, routing = message[1], None
        elif self.level >= 1 and not message[0] and len(message) > 1:  # its large octets are behind it
            data, routing = with_buffers(message[1], message[2:]), None
            event = self._decode(data)
            if event is None:
                return  # without a header there is nobody to answer
        else:
            data, routing = message[-1], _routing(message)
        if event is None:
            try:
                event = decode_usual(data if len(data) <= LARGE else checked(data, self.limits.values))
            except DECODE_ERRORS:
                event = self._decode(data)
                if event is None:
                    return  # as above
        header = event.header
        if header.response_to is NO_ID or header.response_to == _NIL:  # nil counts as none for the old ones too
            message_id = b"" + header.message_id  # as bytes() does it, in half of the time
            key = message_id if routing is None else (routing, message_id)
            if not message_id or key in self.channels or len(message_id) > ID_MAX:
                return  # nobody could be answered
            channel = self.channels[key] = ServerChannel(self, key, event, data, routing)
            if self.heartbeat and (self.level < 1 or self.next_wake is None or self.next_wake > now + self.heartbeat):
                self._begin_liveness(channel, now)
            timeout = header.timeout
            if header.call is not NO_ID or (
                timeout is not USUAL_TIMEOUT and (type(timeout) is not float or not timeout > 0.0)  # which nan isn't
            ):
                channel.heed_header(now)
                if channel.until <= now:
                    self.forget(channel)  # it waits no longer already: nothing is begun
                    return
                self.wake_by(channel.until)
            elif self.level >= 1 or timeout is not USUAL_TIMEOUT:
                channel.until = until = now + timeout
                if self.next_wake is None or until < self.next_wake:
                    self.next_wake = until
            touched.append(channel)
            return
        response_to = bytes(header.response_to)
        open_channel = self.channels.get(response_to if routing is None else (routing, response_to))
        if type(event) is not WireEvent:
            if open_channel is not None and self.level >= 1 and isinstance(event, BadEvent):
                self._refuse_further(open_channel, event, touched)
            return
        if event.name == GOAWAY:  # whatever its id: a program's own may be that of a request as well
            if self.level >= 1 and not self.heard_goaway:
                self.heard_goaway = True
                self.news += (News.LEAVING,)
        elif event.name == RELEASE:
            self.lent.release(event.args)
        elif open_channel is not None:
            open_channel.last_seen = now
            self._receive_further(open_channel, event, data, now, touched)

    def _begin_liveness(self, channel: ServerChannel, now: float) -> None:
        """Heartbeats of its own, for a channel of an older peer; then the sweep that sends them."""
        assert self.heartbeat
        if self.level < 1:
            channel.last_seen = now
            channel.next_beat = now + self.heartbeat if channel.version > 1 else FOREVER
        if self.next_wake is None or self.next_wake > now + self.heartbeat:
            self.next_wake = now + self.heartbeat

    def _receive_further(
        self, channel: ServerChannel, event: WireEvent, data: Buffer, now: float, touched: list[ServerChannel]
    ) -> None:
        """Credit, a heartbeat or a cancel of an open channel."""
        name = event.name
        if name == HEARTBEAT:
            self.heed_heartbeat(channel, now)
            if channel.version >= VERSION:
                return
            name = MORE
        if name == MORE:
            channel.stalled_since = None
            channel.add_credit(event.args[0] if isinstance(event.args, list) and event.args else None)
            if channel.runner is not None:  # or the shell, told of it twice in one chunk, would run the method twice
                touched.append(channel)
        elif name == LATEST and self.level >= 1:
            channel.keep_newest()
            if channel.runner is not None:
                touched.append(channel)
        elif name in ITEM_EVENTS and self.level >= 1:
            if not channel.take_item(event, data, now):
                why = ProtocolError(f"the client sent more of an argument of {channel.name} than it was granted")
                self._end(channel, why, touched)
                return
            if event.name != STREAM:
                self.wake_by(channel.until)  # from now on its caller waits
            if channel.runner is not None:
                touched.append(channel)
        elif name == OUTCOME:
            if channel.pending is not None:
                channel.pending.take(event.args)
        elif name == CANCEL and self.level >= 1:
            self._end(channel, LostRemote(f"the caller of {channel.name} gave up"), touched)

    def _refuse_further(self, channel: ServerChannel, event: BadEvent, touched: list[ServerChannel]) -> None:
        """An item of an argument, or a function's outcome, can't be taken: its call fails, or the method would miss it
        without knowing.
        """
        if channel.inflow is not None and event.name in ITEM_EVENTS:
            what = "an item of an argument of"
        elif channel.pending is not None and event.name == OUTCOME:
            what = "what a function has returned that was passed to"
        else:
            return
        if channel.finished:  # it is missed by nobody
            return
        why = f"{what} {channel.name} can't be taken: {event.problem}"
        self.send_event(channel, encode(self.event_header(channel), ERR, ["ProtocolError", why, ""]))
        self._end(channel, ProtocolError(why), touched)

    def _end(self, channel: ServerChannel, error: Exception, touched: list[ServerChannel]) -> None:
        self.forget(channel)
        channel.close(error)
        touched.append(channel)

    @property
    def identity(self) -> bytes:
        """The client's routing id: the one that it announced, or one of ours that no other client has."""
        return self.connection.peer_identity or self.routing_id

    def send_goaway(self) -> None:
        """Tell a client of ours that this server is shutting down, so that it takes its next calls elsewhere.

        It answers as soon as it has heard it. What it sent before that has come by then.
        """
        if self.level >= 1:
            self.connection.send_delimited(encode({"message_id": self.new_id(), "v": VERSION}, GOAWAY, []))

    def event_header(self, channel: ServerChannel) -> dict[str, object]:
        """The header of a reply."""
        return {"message_id": self.new_id(), "v": VERSION, "response_to": channel.event.header.message_id}

    def _decode(self, data: Buffer) -> WireEvent | BadEvent | None:
        """What isn't usual; None if it has no header."""
        try:
            return decode(data, self.limits.values)
        except ProtocolError:
            return None

    def send_event(self, channel: ServerChannel, data: Buffer, last: bool = False) -> None:
        """Send a packed event back the way that the request came; the ``last`` one ends the channel."""
        if self.tap is not None:
            self.tap("-->", data)
        if channel.routing is None:
            self.connection.send_delimited(data)
        else:
            whole = data.in_band() if isinstance(data, FramedEvent) else data
            self.connection.send_message([*channel.routing, b"", whole])
        if last:
            self.channels.pop(channel.key, None)

    def forget(self, channel: ServerChannel) -> None:
        self.channels.pop(channel.key, None)

    def close(self, error: Exception) -> list[ServerChannel]:
        ended = super().close(error)
        for channel in ended:
            channel.close(LostRemote(f"the caller of {channel.name} is gone: {error}"))
        return ended

    def sweep_channel(self, channel: ServerChannel, now: float, ended: list[ServerChannel]) -> float:
        wake = channel.until
        if now >= wake:
            self._end(channel, LostRemote(f"the caller of {channel.name} waits no longer"), ended)
            return FOREVER
        if channel.room <= 0 and self._is_stalled(channel, now):
            why = f"nothing more of this stream was asked for in {self.limits.stalled} s"
            if self.level >= 1:  # an older peer may have no room for it; it misses heartbeats instead
                self.send_event(channel, encode(self.event_header(channel), ERR, ["StreamStalled", why, ""]))
            self._end(channel, LostRemote(f"{channel.name}: {why}"), ended)
            return FOREVER
        if not self.beats_channels:
            return wake
        assert self.heartbeat
        if channel.next_beat == FOREVER:  # a peer of version 1 that never sent a heartbeat
            return wake
        lost_at = channel.last_seen + LOST_AFTER_OLD * self.heartbeat
        if now >= lost_at:
            self._end(channel, lost(LOST_AFTER_OLD * self.heartbeat), ended)
            return FOREVER
        if now >= channel.next_beat:
            channel.next_beat = now + self.heartbeat
            self.liveness.ask(self.last_received)
            self.send_event(channel, encode(self.event_header(channel), HEARTBEAT, [0]))
        return min(wake, lost_at, channel.next_beat)

    def _is_stalled(self, channel: ServerChannel, now: float) -> bool:
        """Whether its reader has asked for no more for too long. The time counts from the first look at it."""
        if channel.stalled_since is None:
            channel.stalled_since = now
        return now - channel.stalled_since >= self.limits.stalled


def _routing(message: Message) -> tuple[bytes, ...] | None:
    """The frames before the delimiter, which a reply carries back; None if there are none."""
    frames = message[:-1]
    if frames and not frames[-1]:
        frames = frames[:-1]
    return tuple(bytes(frame) for frame in frames) or None
