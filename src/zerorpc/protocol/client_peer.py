"""A server, as its client sees it: carries calls, and takes their replies.

Which channel an event belongs to is decided here; what it means to that, in ``channel``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from zerorpc.errors import LostRemote, ProtocolError, TimeoutExpired
from zerorpc.protocol.call_header import retry_after
from zerorpc.protocol.channel import (
    STATE_DONE,
    STATE_SENT,
    STATE_STREAMING,
    STATE_WAITING,
    ClientChannel,
    credit_violation,
)
from zerorpc.protocol.events import (
    DECODE_ERRORS,
    DROPPED,
    ERR,
    ERROR_KEY,
    GOAWAY,
    HEARTBEAT,
    MORE,
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
    encode,
    problem_beside,
)
from zerorpc.protocol.flow import LARGE_ITEM
from zerorpc.protocol.framed import FramedEvent, decoded, with_buffers
from zerorpc.protocol.inquiry import INSPECT, TELL, Inquiry
from zerorpc.protocol.liveness import FOREVER, LOST_AFTER_OLD, lost
from zerorpc.protocol.peer import News, Peer
from zerorpc.protocol.references import FUNCTION_EVENTS, RELEASE, BorrowFrom, HasReferences, borrow_nothing, borrowing
from zerorpc.protocol.shape import LARGE, checked
from zerorpc.zmtp import Frame, Limits, Message, SocketType
from zerorpc.zmtp.frames import LONG_HEAD
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["ClientPeer", "late"]


class ClientPeer(Peer[ClientChannel, ClientChannel]):
    """A server, seen by its client: carries our calls. ``new_id`` makes message ids."""

    __slots__ = ("_inquiry", "_new_id", "borrow", "failures", "goes_away", "passive")

    news: tuple[News, ...]

    def __init__(
        self,
        heartbeat: float | None,
        new_id: Callable[[], MessageId],
        passive: bool = False,
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
        mechanism: NewMechanism = Null,
    ) -> None:
        super().__init__(SocketType.DEALER, heartbeat, limits=limits, mechanism=mechanism)
        self._new_id = new_id
        self.passive: bool = passive
        self.goes_away: bool = False  # the server is shutting down: it answers what it has, and wants no more
        self.failures: int = 0  # calls in a row that got no reply in time
        self._inquiry: Inquiry | None = None
        self.borrow: BorrowFrom = borrow_nothing  # the shell's: makes what stands for a reference of the server's

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
            if len(message) > 2 and self.level >= 1:  # its large octets are behind it
                data = with_buffers(message[1], message[2:])
                event = _decode_framed(self, data)
            else:
                event = decode_reply(data if len(data) <= LARGE else checked(data, self.limits.values))
            message_id = event.header.response_to
        except DECODE_ERRORS as why:
            try:
                event = _decode_again(self, data, why)
            except ProtocolError:
                return  # it can't be told whose it is
            message_id = event.header.response_to if type(event) is Reply else decode_id(event.header.response_to)
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
            if channel.upload is not None or channel.lent is not None:
                channel.tell_over()
            touched.append(channel)
        elif event.name == STREAM and channel.state is STATE_STREAMING and type(event) is not BadEvent:
            inflow = channel.inflow
            assert inflow is not None
            inflow.granted -= 1
            if (inflow.granted < 0 and inflow.flooded) or (len(data) > LARGE_ITEM and not inflow.has_room(len(data))):
                self._end(channel, credit_violation(channel), touched)
                return
            if not inflow.inbox:  # or else its reader isn't waiting
                touched.append(channel)
            inflow.inbox.append((event, data))
        elif isinstance(event, BadEvent):
            self._end(channel, ProtocolError(f"bad reply to {channel.method}: {event.problem}"), touched)
        elif event.name == DROPPED and self.level >= 1:
            if channel.inflow is not None:
                channel.inflow.dropped += _count(event.args)
        elif event.name == HEARTBEAT:
            self.heed_heartbeat(channel, now)
        elif event.name == MORE:
            if channel.upload is not None:
                channel.upload.outflow.add_credit(_count(event.args))
                channel.upload.wake()
        elif event.name in FUNCTION_EVENTS and channel.lent is not None:
            self._take_call_back(channel, event, touched)
        elif event.name == ERR and channel.state is STATE_SENT and self._refuses(channel, data):
            channel.reply, channel.reply_data = event, data
            self.channels.pop(channel.message_id, None)
            channel.refuse(None)
            touched.append(channel)
        elif event.name == ERR and now >= channel.deadline - _NEAR and _is_late(event, now, channel):
            self._take_late_error(channel, data, touched)
        else:
            channel.receive(event, data)
            self.failures = 0
            if channel.state is STATE_DONE:
                self.channels.pop(channel.message_id, None)
            touched.append(channel)
            if channel is self._inquiry:
                self.news += (News.TOLD,)

    def _refuses(self, channel: ClientChannel, data: Buffer) -> bool:
        """Whether this error ends an attempt only, and not the call."""
        attempts = channel.terms.attempts
        if attempts is None and not self.goes_away:
            return False
        header = decode_header(data)
        ran = header.get(RAN_KEY)
        if attempts is None:
            return ran is False
        return attempts.refused(ran, header.get(ERROR_KEY), retry_after(header), self.goes_away)

    def _take_late_error(self, channel: ClientChannel, data: Buffer, touched: list[ClientChannel]) -> None:
        """An ERR that is late (``_is_late``), and the next sweep has not come yet: what the caller gets must not depend
        on which of them is first.
        """
        error, ran = late(channel), decode_header(data).get(RAN_KEY)
        error.ran = ran if isinstance(ran, bool) else None
        channel.fail(error)
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

    def _take_call_back(self, channel: ClientChannel, event: Reply | WireEvent, touched: list[ClientChannel]) -> None:
        """The server calls a function that the call has lent."""
        assert channel.lent is not None
        problem = channel.lent.receive(event.name, event.args)
        if problem is not None:
            self._end(channel, ProtocolError(f"{channel.method}: the server {problem}"), touched)

    def release(self, number: int) -> None:
        """What a method has returned by reference is not needed any more."""
        self._send(encode({"message_id": self._new_id(), "v": VERSION, "response_to": _NOBODY}, RELEASE, [number]))

    @property
    def parameters(self) -> dict[str, Any] | None:
        """What an older server tells of its methods' parameters; None until it has told."""
        return None if self._inquiry is None else self._inquiry.answer

    @property
    def idempotent(self) -> frozenset[str] | None:
        """The methods of which the server says that they are; None until it has told."""
        return None if self._inquiry is None or self._inquiry.answer is None else self._inquiry.idempotent

    @property
    def answers(self) -> str | None:
        """Which answers the server keeps by key; None if it keeps none, or has not told."""
        return None if self._inquiry is None else self._inquiry.answers

    def new_id(self) -> MessageId:
        return self._new_id()

    def ask(self, now: float) -> None:
        """Have it tell of its methods: ``News.TOLD``. Safe to call twice."""
        if self._inquiry is None:
            message_id = self._new_id()
            name = TELL if self.level >= 1 else INSPECT
            self._inquiry = Inquiry(message_id, name, encode({"message_id": message_id, "v": VERSION}, name, []))
            self.open(self._inquiry, now)
            self._inquiry.state = STATE_WAITING  # whatever the reply, it goes to ``Inquiry.receive``

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
        self._send(encode(header, name, args, self.level >= 1))

    def _send(self, data: Buffer) -> None:
        if self.tap is not None:
            self.tap("-->", data)
        self.connection.send_delimited(data)

    def forget(self, channel: ClientChannel) -> None:
        self.channels.pop(channel.message_id, None)

    def close(self, error: Exception) -> list[ClientChannel]:
        kept = self.connection.output
        # First, so that none is forgotten if this is interrupted. A finalizer may give up a call meanwhile: so a list.
        for channel in list(self.channels.values()):
            why = LostRemote(f"calling remote method {channel.method}: {error}")
            attempts = channel.terms.attempts
            not_sent = bool(kept) and channel.state is STATE_SENT and _is_in(channel.data, kept)
            if not_sent:
                why.ran = False
            if attempts is not None and channel.state is STATE_SENT:
                attempts.lost(not_sent)
                channel.refuse(why)
            elif not_sent:
                channel.refuse(why)
            else:
                channel.fail(why)
        return super().close(error)

    def sweep_channel(self, channel: ClientChannel, now: float, ended: list[ClientChannel]) -> float:
        wake = FOREVER
        if channel.state is STATE_SENT or channel.state is STATE_STREAMING:
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
        lost_at = channel.last_seen + LOST_AFTER_OLD * self.heartbeat
        if now >= lost_at:
            self.failures += 1
            attempts = channel.terms.attempts if channel.state is STATE_SENT else None
            self._end(channel, lost(LOST_AFTER_OLD * self.heartbeat), ended)
            if attempts is not None:
                attempts.lost(False)
                channel.refuse(channel.error)
            return FOREVER
        if now >= channel.next_beat:
            channel.next_beat = now + self.heartbeat
            self.liveness.ask(self.last_received)
            self.emit(channel, HEARTBEAT, [0])
        return min(wake, lost_at, channel.next_beat)


_NOBODY = b"\x00" * 16  # no channel's id

# A method's own calls have no more time than the one that it answers. So both are over together, and where the method's
# end first, by other clocks than ours, its error tells of our time. Seconds: a server on uvloop counts whole
# milliseconds from the beginning of a turn (0.8 ms too few on an idle machine), and two machines' clocks go apart.
_NEAR = 0.05
_TOO_LATE = ("TimeoutExpired", "TimeoutError")  # by zerorpc's calls, and by asyncio.timeout()


def _is_late(error: Reply | WireEvent, now: float, channel: ClientChannel) -> bool:
    """Whether an ERR that comes when a call's time is nearly over, or over, means just that."""
    args = error.args
    return now >= channel.deadline or (isinstance(args, list) and bool(args) and args[0] in _TOO_LATE)


def late(channel: ClientChannel, why: str = "") -> TimeoutExpired:
    """The error of a call that got no reply by its deadline, or of a stream that got no item, or not its end."""
    timeout, what = channel.timeout, "calling remote method"
    terms = channel.terms
    if channel.state is STATE_STREAMING:
        of_an_item = channel.deadline < terms.stream_until
        timeout, what = (
            (terms.item_timeout, "waiting for an item of") if of_an_item else (terms.limit, "reading all of")
        )
    return TimeoutExpired(timeout, f"{what} {channel.method}{why}")


_decode_simply: Callable[[Buffer], Reply] = msgspec.msgpack.Decoder(Reply).decode  # with no hook


def _decode_framed(peer: ClientPeer, data: Buffer) -> Reply:
    """A reply with large octets behind it, and perhaps references. Raises one of DECODE_ERRORS."""
    assert isinstance(data, FramedEvent)
    problem = problem_beside(data, peer.limits.values)
    if problem is not None:
        raise ValueError(problem)
    reply = decoded(data, _decode_simply)
    return reply or borrowing(Reply, functools.partial(peer.borrow, peer), data)


def _decode_again(peer: ClientPeer, data: Buffer, why: Exception) -> Reply | WireEvent | BadEvent:
    """A reply that isn't a usual one: it has references, or its parts are to be made the best of."""
    if type(why) is HasReferences and peer.level >= 1:
        try:
            reply: Reply = borrowing(Reply, functools.partial(peer.borrow, peer), data)
            return reply
        except DECODE_ERRORS as error:
            why = error
    elif not isinstance(data, FramedEvent):
        return decode(data, peer.limits.values)
    event = decode(data, peer.limits.values)
    return BadEvent(event.header, event.name, str(why))


def _is_in(request: Buffer, frames: list[Frame]) -> bool:
    """Whether a request is among what was not sent. Its message id tells it from all others. Behind one that has
    buffers may stand the head of the first.
    """
    if isinstance(request, FramedEvent):
        return any(frame.endswith(request) or frame.endswith(request, 0, -LONG_HEAD) for frame in frames)
    return any(frame.endswith(request) for frame in frames)


def _count(args: object) -> int:
    """Of ``[count]``; 0 for nonsense."""
    first = args[0] if isinstance(args, list) and args else 0
    return first if type(first) is int and first > 0 else 0
