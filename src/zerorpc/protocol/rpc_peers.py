"""The two peers of a call, side by side: ``ClientPeer`` carries calls to a server, ``ServerPeer`` brings requests.

Which channel an event belongs to is decided here; what it means to the channel, in ``channel``.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from zerorpc.errors import LostRemote, ProtocolError, TimeoutExpired
from zerorpc.protocol.channel import (
    STATE_DONE,
    STATE_SENT,
    STATE_STREAMING,
    ClientChannel,
    ServerChannel,
    credit_violation,
)
from zerorpc.protocol.events import (
    CANCEL,
    DECODE_ERRORS,
    ERR,
    GOAWAY,
    HEARTBEAT,
    ID_MAX,
    MORE,
    NO_ID,
    OK,
    RAN_KEY,
    STREAM,
    VERSION,
    BadEvent,
    Buffer,
    MessageId,
    Reply,
    WireEvent,
    decode,
    decode_header,
    decode_id,
    decode_reply,
    decode_usual,
    encode,
)
from zerorpc.protocol.liveness import FOREVER, lost
from zerorpc.protocol.peer import News, Peer
from zerorpc.zmtp import Frame, Limits, Message, SocketType

__all__ = ["ClientPeer", "ServerPeer", "late"]

_LOST_AFTER_OLD = 3  # heartbeats; what the old ones' "two" comes to: they look only once a period
_NIL = Raw(b"\xc0")


class ClientPeer(Peer[ClientChannel, ClientChannel]):
    """A server, seen by its client: carries our calls. ``new_id`` makes message ids."""

    __slots__ = ("_new_id", "failures", "goes_away", "passive")

    news: tuple[News, ...]

    def __init__(
        self,
        heartbeat: float | None,
        new_id: Callable[[], MessageId],
        passive: bool = False,
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        super().__init__(SocketType.DEALER, heartbeat, limits=limits)
        self._new_id = new_id
        self.passive: bool = passive
        self.goes_away: bool = False  # the server is shutting down: it answers what it has, and wants no more
        self.failures: int = 0  # calls in a row that got no reply in time

    def open(self, channel: ClientChannel, now: float) -> None:
        """Send a call's request; the channel lives here from now on."""
        self.channels[channel.message_id] = channel  # first, and so ended with this peer if this is interrupted
        channel.peer = self
        channel.state = STATE_SENT
        wake = channel.deadline
        if self.heartbeat:
            beat = now + self.heartbeat
            if self.level < 1:
                channel.last_seen = now
                channel.next_beat = FOREVER if self.passive else beat
            if beat < wake:  # noqa: PLR1730 - min() is a call, and this is the path of every call
                wake = beat
        if self.next_wake is None or wake < self.next_wake:
            self.wake_by(wake)
        if self.tap is not None:
            self.tap("-->", channel.data)
        self.connection.send_delimited(channel.data)

    def receive_message(self, message: Message, now: float, touched: list[ClientChannel]) -> None:
        data = message[-1]
        event: Reply | WireEvent | BadEvent
        try:
            event = decode_reply(data)
            message_id = event.header.response_to
        except DECODE_ERRORS:
            try:
                event = decode(data)
            except ProtocolError:
                return  # it can't be told whose it is
            message_id = decode_id(event.header.response_to)
        channel = self.channels.get(message_id) if type(message_id) is bytes else self._find(message_id)
        if channel is None:
            if event.name == GOAWAY and self.level >= 1 and not self.goes_away:
                self._take_goaway(decode_header(data).get("message_id"))
            return  # or of a call that was given up
        channel.last_seen = now
        if event.name == OK and type(event) is not BadEvent and channel.state is STATE_SENT:
            channel.reply, channel.reply_data, channel.answered = event, data, True
            channel.state = STATE_DONE
            self.failures = 0
            self.channels.pop(channel.message_id, None)  # now: until it is answered it must not be forgotten
            touched.append(channel)
        elif event.name == STREAM and channel.state is STATE_STREAMING and type(event) is not BadEvent:
            inflow = channel.inflow
            assert inflow is not None
            inflow.granted -= 1
            if inflow.granted < 0 and inflow.flooded:
                self._end(channel, credit_violation(channel), touched)
                return
            if not inflow.inbox:  # or else its reader isn't waiting
                touched.append(channel)
            inflow.inbox.append((event, data))
        elif isinstance(event, BadEvent):
            self._end(channel, ProtocolError(f"bad reply to {channel.method}: {event.problem}"), touched)
        elif event.name == HEARTBEAT:
            self.heed_heartbeat(channel, now)
        elif event.name == MORE:
            pass  # credit for events of ours: we send none but the request
        elif event.name == ERR and self.goes_away and channel.state is STATE_SENT and _ran(data) is False:
            channel.reply, channel.reply_data = event, data
            self.channels.pop(channel.message_id, None)
            channel.refuse(None)
            touched.append(channel)
        else:
            channel.receive(event, data)
            self.failures = 0
            if channel.state is STATE_DONE:
                self.channels.pop(channel.message_id, None)
            touched.append(channel)

    def _take_goaway(self, message_id: object) -> None:
        """The server wants nothing new. It goes on refusing until it knows that nothing new is on its way: say so.

        Without a message id: that is a program's to make, which may fail, and nobody answers this.
        """
        self.goes_away = True
        self.news += (News.LEAVING,)
        if message_id is not None:
            self._send(encode({"v": VERSION, "response_to": message_id}, GOAWAY, []))

    def _find(self, message_id: object) -> ClientChannel | None:
        """The call with an id that a program made itself. A float may be an int that Node sent back."""
        return self.channels.get(message_id) if isinstance(message_id, (str, int, float)) else None

    def _end(self, channel: ClientChannel, error: Exception, touched: list[ClientChannel]) -> None:
        """A channel fails while the connection lives on."""
        channel.abandon(error)
        touched.append(channel)

    def emit(self, channel: ClientChannel, name: str, args: object) -> None:
        """Send a further event of a channel: credit, heartbeats, cancel."""
        if name == MORE and channel.reply is not None and channel.reply.header.version < VERSION:
            name = HEARTBEAT  # before version 3 heartbeats carried the credit
        header = {"message_id": self._new_id(), "v": VERSION, "response_to": channel.message_id}
        self._send(encode(header, name, args))

    def _send(self, data: Buffer) -> None:
        if self.tap is not None:
            self.tap("-->", data)
        self.connection.send_delimited(data)

    def forget(self, channel: ClientChannel) -> None:
        self.channels.pop(channel.message_id, None)

    def close(self, error: Exception) -> list[ClientChannel]:
        kept = self.connection.output
        for channel in self.channels.values():  # first, so that none is forgotten if this is interrupted
            why = LostRemote(f"calling remote method {channel.method}: {error}")
            if kept and channel.state is STATE_SENT and _is_in(channel.data, kept):
                why.ran = False
                channel.refuse(why)
            else:
                channel.fail(why)
        return super().close(error)

    def sweep_channel(self, channel: ClientChannel, now: float, ended: list[ClientChannel]) -> float:
        wake = FOREVER
        if channel.state is STATE_SENT:
            if now >= channel.deadline:
                self.failures += 1
                self._end(channel, late(channel), ended)
                return wake
            wake = channel.deadline
        if not self.beats_channels:
            return wake
        assert self.heartbeat
        if channel.next_beat == FOREVER:  # passive, and the server has not begun
            return wake
        lost_at = channel.last_seen + _LOST_AFTER_OLD * self.heartbeat
        if now >= lost_at:
            self.failures += 1
            self._end(channel, lost(_LOST_AFTER_OLD * self.heartbeat), ended)
            return FOREVER
        if now >= channel.next_beat:
            channel.next_beat = now + self.heartbeat
            self.liveness.ask(self.last_received)
            self.emit(channel, HEARTBEAT, [0])
        return min(wake, lost_at, channel.next_beat)


class ServerPeer(Peer[ServerChannel, ServerChannel]):
    """A client, seen by its server: brings requests. ``new_id`` makes message ids."""

    __slots__ = ("heard_goaway", "new_id", "routing_id")

    news: tuple[News, ...]
    next_wake: float | None

    def __init__(
        self,
        heartbeat: float | None,
        new_id: Callable[[], MessageId],
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        super().__init__(SocketType.ROUTER, heartbeat, limits=limits)
        self.new_id: Callable[[], MessageId] = new_id
        self.heard_goaway: bool = False  # it knows that we are shutting down: nothing new of it is on its way
        self.pauses_reading = True
        own_id = new_id()
        # for hooks: what tells this client from the others, until it says it by itself
        self.routing_id: bytes = own_id if type(own_id) is bytes else str(own_id).encode()

    def receive_message(self, message: Message, now: float, touched: list[ServerChannel]) -> None:
        data = message[-1]
        event: WireEvent | BadEvent
        try:
            event = decode_usual(data)
        except DECODE_ERRORS:
            try:
                event = decode(data)
            except ProtocolError:
                return  # without a header there is nobody to answer
        header = event.header
        # the usual [b"", data] has no routing frames
        routing = None if len(message) == 2 and not message[0] else _routing(message)
        if header.response_to is NO_ID or header.response_to == _NIL:  # nil counts as none for the old ones too
            message_id = bytes(header.message_id)
            key = message_id if routing is None else (routing, message_id)
            if not message_id or key in self.channels or len(message_id) > ID_MAX:
                return  # nobody could be answered
            channel = self.channels[key] = ServerChannel(self, key, event, data, routing)
            if self.heartbeat and (self.level < 1 or self.next_wake is None or self.next_wake > now + self.heartbeat):
                self._begin_liveness(channel, now)
            touched.append(channel)
            return
        response_to = bytes(header.response_to)
        open_channel = self.channels.get(response_to if routing is None else (routing, response_to))
        if type(event) is not WireEvent:
            return
        if event.name == GOAWAY:  # whatever its id: a program's own may be that of a request as well
            if self.level >= 1 and not self.heard_goaway:
                self.heard_goaway = True
                self.news += (News.LEAVING,)
        elif open_channel is not None:
            open_channel.last_seen = now
            self._receive_further(open_channel, event, now, touched)

    def _begin_liveness(self, channel: ServerChannel, now: float) -> None:
        """Heartbeats of its own, for a channel of an older peer; then the sweep that sends them."""
        assert self.heartbeat
        if self.level < 1:
            channel.last_seen = now
            channel.next_beat = now + self.heartbeat if channel.version > 1 else FOREVER
        if self.next_wake is None or self.next_wake > now + self.heartbeat:
            self.next_wake = now + self.heartbeat

    def _receive_further(
        self, channel: ServerChannel, event: WireEvent, now: float, touched: list[ServerChannel]
    ) -> None:
        """Credit, a heartbeat or a cancel of an open channel."""
        name = event.name
        if name == HEARTBEAT:
            self.heed_heartbeat(channel, now)
            if channel.version >= VERSION:
                return
            name = MORE
        if name == MORE:
            channel.add_credit(event.args[0] if isinstance(event.args, list) and event.args else None)
            if channel.runner is not None:  # or the shell, told of it twice in one chunk, would run the method twice
                touched.append(channel)
        elif name == CANCEL and self.level >= 1:
            self._end(channel, LostRemote(f"the caller of {channel.name} gave up"), touched)

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

    def send_event(self, channel: ServerChannel, data: Buffer, last: bool = False) -> None:
        """Send a packed event back the way that the request came; the ``last`` one ends the channel."""
        if self.tap is not None:
            self.tap("-->", data)
        if channel.routing is None:
            self.connection.send_delimited(data)
        else:
            self.connection.send_message([*channel.routing, b"", data])
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
        if not self.beats_channels:
            return FOREVER
        assert self.heartbeat
        if channel.next_beat == FOREVER:  # a peer of version 1 that never sent a heartbeat
            return FOREVER
        lost_at = channel.last_seen + _LOST_AFTER_OLD * self.heartbeat
        if now >= lost_at:
            self._end(channel, lost(_LOST_AFTER_OLD * self.heartbeat), ended)
            return FOREVER
        if now >= channel.next_beat:
            channel.next_beat = now + self.heartbeat
            self.liveness.ask(self.last_received)
            self.send_event(channel, encode(self.event_header(channel), HEARTBEAT, [0]))
        return min(lost_at, channel.next_beat)


def late(channel: ClientChannel, why: str = "") -> TimeoutExpired:
    """The error of a call that got no reply by its deadline."""
    return TimeoutExpired(channel.timeout, f"calling remote method {channel.method}{why}")


def _ran(data: Buffer) -> object:
    """Whether the method of an ERR ran, as a server of ours says; None if it doesn't."""
    return decode_header(data).get(RAN_KEY)


def _is_in(request: bytes, frames: list[Frame]) -> bool:
    """Whether a request is among what was not sent. Its message id tells it from all others."""
    return any(frame.endswith(request) for frame in frames)


def _routing(message: Message) -> tuple[bytes, ...] | None:
    """The frames before the delimiter, which a reply carries back; None if there are none."""
    frames = message[:-1]
    if frames and not frames[-1]:
        frames = frames[:-1]
    return tuple(bytes(frame) for frame in frames) or None
