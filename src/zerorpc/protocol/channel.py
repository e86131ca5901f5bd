"""The client's half of a channel: one conversation, a request and what belongs to it (docs/protocol.md, Channels).

A channel lives on one peer from its first event to its last; ``server_channel`` has the half that answers. Both know
credit; the peer that they live on knows liveness and octets.
"""

from __future__ import annotations

import enum
from typing import Protocol, TypeAlias

from msgspec import Struct

from zerorpc.errors import LostRemote, NotSupported, ProtocolError
from zerorpc.protocol.events import (
    CANCEL,
    DONE,
    LATEST,
    MORE,
    STREAM,
    Buffer,
    MessageId,
    Reply,
    WireEvent,
)
from zerorpc.protocol.flow import DEFAULT_SLOTS, LARGE_ITEM, Inflow
from zerorpc.protocol.lent import LentToCall
from zerorpc.protocol.structs import quick_to_change
from zerorpc.protocol.terms import USUAL_TERMS, Terms
from zerorpc.protocol.upload import Upload
from zerorpc.zmtp import Connection

__all__ = [
    "DEFAULT_SLOTS",
    "STATE_DONE",
    "STATE_REFUSED",
    "STATE_SENT",
    "STATE_STREAMING",
    "STATE_WAITING",
    "USUAL_TERMS",
    "Answer",
    "ClientChannel",
    "ClientState",
    "Terms",
    "Waiter",
]

Answer: TypeAlias = "Reply | WireEvent"

_FOREVER = float("inf")


class CallCarrier(Protocol):
    """The peer that a client's channel lives on."""

    connection: Connection
    level: int
    writable: bool

    def emit(self, channel: ClientChannel, name: str, args: object, /) -> None: ...

    def wake_by(self, when: float, /) -> None: ...

    def forget(self, channel: ClientChannel, /) -> None: ...


class Waiter(Protocol):
    """Who waits for the next event of a client's channel. It is told by ``set_result(None)`` to look at the channel.

    The name is that of asyncio's futures: one of them stands in most calls, and has to be told without a step between.
    Only the shell that a channel belongs to sets its ``waiter``, and only to one of these:

    ==============  ===========================  ====================  ================================================
    the waiter      who sets it                  in which thread       what ends it
    ==============  ===========================  ====================  ================================================
    None            what ended the one before    as that one           the next wait
    the ``Call``    ``AsyncClient``, at once     the loop's            ``await``: then it is a future; ``Call.close``:
                                                                       None; the first reply, which nobody awaits yet:
                                                                       None, or ``_Unclaimed`` when a stream begins
    a future        ``await`` of the Call or of  the loop's            the task that awaits, told or cancelled: None
                    a stream's item
    ``_Unclaimed``  ``Call.set_result``          the loop's            ``await`` or ``Call.close``: None; or the program
                                                                       drops the Call, in any thread: the loop is asked
                                                                       to give the stream up
    ``Arrival``     ``zerorpc.every``            the loop's, or with   the first reply, or the end: None
                                                 the hub's lock held
    a ``Turn``      ``Leading.wait``, with the   the one that waits    who has news, with the lock held: None, then it
                    hub's lock held                                    is told; or its own thread, which looks up itself
    ``_Call``       ``AsyncResult``, before the  the caller's          who has news, with the lock held: None, then it
                    call begins                                        is told, and the keeper finishes the result
    ==============  ===========================  ====================  ================================================
    """

    def set_result(self, result: None, /) -> None: ...


class ClientState(enum.Enum):
    """Where a call stands. It is WAITING for a peer, then SENT, and ends DONE: answered, failed or given up.

    Between the last two it may be STREAMING. An attempt that certainly did not run, or of a call that may be repeated,
    leaves it REFUSED: it may be made again, on another peer perhaps, or else it has failed.
    """

    WAITING = "waiting"
    SENT = "sent"
    STREAMING = "streaming"
    DONE = "done"
    REFUSED = "refused"


# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11, and these 16.
STATE_WAITING, STATE_SENT, STATE_STREAMING, STATE_DONE, STATE_REFUSED = ClientState


@quick_to_change
class ClientChannel(Struct, eq=False):  # a Struct is made in a third of the time of a class with slots
    """A call, from its request to its last reply.

    ``data`` is the packed request, kept until there is a reply: an attempt on one peer may be followed by another.
    ``timeout`` is what ``deadline`` was made of, ``slots`` how many events the server may send ahead of the reader.

    ``reply`` is the first reply (OK, ERR or STREAM). The last event of a stream's ``inflow`` is STREAM_DONE or ERR.
    ``error`` is what ended the call instead. ``waiter`` is told of replies and of the end.
    """

    message_id: MessageId
    method: str
    data: Buffer
    timeout: float | None = None
    deadline: float = _FOREVER  # for the first reply
    slots: int = DEFAULT_SLOTS
    terms: Terms = USUAL_TERMS
    state: ClientState = STATE_WAITING
    peer: CallCarrier | None = None
    answered: bool = False  # the wait for the first reply is over
    reply: Answer | None = None
    reply_data: Buffer = b""
    inflow: Inflow | None = None  # of a stream
    error: Exception | None = None
    waiter: Waiter | None = None
    upload: Upload | None = None  # of an argument that streams
    lent: LentToCall | None = None  # functions and objects among the arguments
    last_seen: float = 0.0  # these two: only towards older peers
    next_beat: float = _FOREVER

    def receive(self, event: Answer, data: Buffer) -> None:
        """Take a reply: the first one, a stream's end, or what has no place in a stream and ends it too."""
        if self.state is STATE_SENT:
            streams = event.name in (STREAM, DONE)
            if streams:  # first: if this is interrupted, who reads finds the error that ends the call in its place
                self.inflow = Inflow(self.slots, self.slots // 2)
            self.reply, self.reply_data, self.answered = event, data, True
            if not streams:
                self.state = STATE_DONE
                self.tell_over()
                return
            self.state = STATE_STREAMING
            self.deadline = self.terms.stream_until
            self.data = b""
        inflow = self.inflow
        assert inflow is not None
        inflow.granted -= 1
        if len(data) > LARGE_ITEM:
            inflow.has_room(len(data))  # it has: it is the first
        inflow.inbox.append((event, data))
        if event.name != STREAM:
            self.state = STATE_DONE
            self.tell_over()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.answered = True
        self.state = STATE_DONE  # last: if this is interrupted, it is to be failed again
        self.tell_over()

    def refuse(self, error: Exception | None) -> None:
        """This attempt is over, and another may follow: ``error`` says why, if there is no reply that does."""
        self.error = error
        self.answered = True  # unless it is made again
        self.state = STATE_REFUSED
        if self.lent is not None:
            self.lent.end_attempt()

    def settle(self) -> None:
        """There is no other attempt: what refused it is how it ended."""
        self.state = STATE_DONE
        self.tell_over()

    def try_again(self) -> None:
        """Be as before the attempt that was refused."""
        self.reply, self.reply_data, self.error, self.peer = None, b"", None, None
        self.answered = False
        self.state = STATE_WAITING

    # An argument that streams

    def tell_over(self) -> None:
        """Nothing more is to be sent, nor run, for this call."""
        if self.upload is not None:
            self.upload.wake()
        if self.lent is not None:
            self.lent.end()

    @property
    def over(self) -> bool:
        """Whether nothing more of the call is to be sent."""
        return self.state is STATE_DONE

    def may_send(self, now: float) -> bool:
        """Whether a further item may go. If so, the program may take its time to make it; else the server may not."""
        upload, peer = self.upload, self.peer
        assert upload is not None
        may = peer is not None and peer.writable and upload.outflow.credit > 0
        if self.state is STATE_SENT:
            self._bound(None if may else now)
        return may

    def send_item(self, name: str, args: object, now: float) -> None:
        """Send an item, or what ends them. Raises SerializationError for one that can't be sent."""
        upload, peer = self.upload, self.peer
        assert upload is not None
        assert peer is not None
        peer.emit(self, name, args)
        upload.begun = True
        upload.outflow.credit -= 1
        upload.ended = name != STREAM
        if upload.ended and self.state is STATE_SENT:
            self._bound(now)

    def _bound(self, now: float | None) -> None:
        """Wait for the server for as long as the call's timeout says, from now on; or for ever."""
        until = self.terms.stream_until
        if now is not None and self.timeout is not None:
            until = min(until, now + self.timeout)
        self.deadline = until
        assert self.peer is not None
        self.peer.wake_by(until)

    @property
    def readable(self) -> bool:
        """Whether the wait for the stream's next event is over."""
        return self.error is not None or (self.inflow is not None and bool(self.inflow.inbox))

    def next_event(self) -> tuple[Answer, Buffer]:
        """The stream's next event; only when ``readable``. Grants more credit when it is time."""
        inflow = self.inflow
        if inflow is None or not inflow.inbox:
            assert self.error is not None
            raise self.error
        event = inflow.inbox.popleft()
        if inflow.granted + len(inflow.inbox) <= inflow.low:
            self.grant()
        return event

    def want_newest(self) -> None:
        """Of a stream, take only the newest item whenever the reader wants one.

        Raises NotSupported for a server of an older protocol, and RuntimeError when an item was read before.
        """
        inflow, peer = self.inflow, self.peer
        if self.state is not STATE_STREAMING or inflow is None or peer is None:
            return  # it is over: there is nothing to be left out
        if peer.level < 1:
            raise NotSupported(f"{self.method}: the server speaks an older protocol, which can't leave out items")
        if not inflow.newest_only:
            if not inflow.want_newest():
                raise RuntimeError(f"latest() of the stream of {self.method} has to come before its first item is read")
            peer.emit(self, LATEST, [])

    def begin_wait(self, now: float) -> float | None:
        """The reader waits for an item from now on: until when at most, if there is such a time."""
        terms = self.terms
        if self.peer is None or self.state is not STATE_STREAMING or terms.item_timeout is None:
            return None
        self.deadline = min(terms.stream_until, now + terms.item_timeout)
        self.peer.wake_by(self.deadline)
        return self.deadline

    def end_wait(self) -> None:
        """It waits no longer."""
        if self.state is STATE_STREAMING:
            self.deadline = self.terms.stream_until

    def grant(self) -> None:
        """Grant more credit if it is time. Safe to call at any time."""
        if self.state is STATE_STREAMING and self.inflow is not None and (more := self.inflow.replenish()):
            assert self.peer is not None
            self.peer.emit(self, MORE, [more])

    def abandon(self, error: Exception | None = None) -> None:
        """Nobody wants the rest, because of an error, perhaps: leave the peer, and tell it if it understands.

        Safe to call twice, and to be called again if it is interrupted.
        """
        if self.state in (STATE_DONE, STATE_REFUSED):
            return
        self.error = error or LostRemote(f"the call of {self.method} was given up")
        self.answered = True  # before its peer forgets it
        if self.peer is not None and self.state is not STATE_WAITING:
            self.peer.forget(self)
            if self.peer.level >= 1:
                self.peer.emit(self, CANCEL, [])
        self.state = STATE_DONE  # after the peer has been told
        self.tell_over()

    def __repr__(self) -> str:
        return f"<ClientChannel {self.method} {self.state.value}>"


def credit_violation(channel: ClientChannel) -> ProtocolError:
    return ProtocolError(f"the server sent more of {channel.method} than it was granted")
