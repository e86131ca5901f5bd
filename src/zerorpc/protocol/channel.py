"""Channels: one conversation each, a request and what belongs to it (docs/protocol.md, Channels and credit).

A channel lives on one peer from its first event to its last. The two halves stand side by side: ``ClientChannel``
made the request, ``ServerChannel`` answers it. Both know credit; the peer they live on knows liveness and bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from math import isnan
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.protocol.call_header import CallHeader, read_call_header
from zerorpc.protocol.events import (
    CANCEL,
    DONE,
    MORE,
    NO_ID,
    STREAM,
    USUAL_TIMEOUT,
    BadEvent,
    Buffer,
    Event,
    MessageId,
    Reply,
    WireEvent,
    decode_header,
)
from zerorpc.protocol.flow import Inflow, Outflow
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
    "ServerChannel",
    "Terms",
    "Waiter",
    "as_patience",
]

Answer: TypeAlias = "Reply | WireEvent"

DEFAULT_SLOTS = 100  # events a client takes in ahead of its reader, as in the old implementation
_FOREVER = float("inf")


class CallCarrier(Protocol):
    """The peer that a client's channel lives on."""

    connection: Connection
    level: int

    def emit(self, channel: ClientChannel, name: str, args: object, /) -> None: ...

    def wake_by(self, when: float, /) -> None: ...

    def forget(self, channel: ClientChannel, /) -> None: ...


class RequestBringer(Protocol):
    """The peer that a server's channel lives on."""

    channels: dict[object, ServerChannel]
    level: int
    new_id: Callable[[], Any]  # a MessageId; bytes as long as a program makes none of its own
    writable: bool
    name: str | None

    @property
    def identity(self) -> bytes: ...

    def event_header(self, channel: ServerChannel, /) -> dict[str, object]: ...

    def send_event(self, channel: ServerChannel, data: Buffer, last: bool = False, /) -> None: ...

    def forget(self, channel: ServerChannel, /) -> None: ...


class Runner(Protocol):
    """What runs the method that a request asks for, if that takes a while."""

    def wake(self) -> None:
        """There is room for more items, or the caller is gone. On the loop."""


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
    a ``Turn``      ``Leading.wait``, with the   the one that waits    who has news, with the lock held: None, then it
                    hub's lock held                                    is told; or its own thread, which looks up itself
    ``_Call``       ``AsyncResult``, before the  the caller's          who has news, with the lock held: None, then it
                    call begins                                        is told, and the keeper finishes the result
    ==============  ===========================  ====================  ================================================
    """

    def set_result(self, result: None, /) -> None: ...


class ClientState(enum.Enum):
    """Where a call stands. It is WAITING for a peer, then SENT, and ends DONE: answered, failed or given up.

    Between the last two it may be STREAMING. An attempt that certainly did not run leaves it REFUSED: it may be made
    again, on another peer, or else it has failed.
    """

    WAITING = "waiting"
    SENT = "sent"
    STREAMING = "streaming"
    DONE = "done"
    REFUSED = "refused"


# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11, and these 16.
STATE_WAITING, STATE_SENT, STATE_STREAMING, STATE_DONE, STATE_REFUSED = ClientState


class Terms(Struct, frozen=True):
    """What hardly any call goes by."""

    needs: tuple[str, ...] = ()  # what only a peer of extension level 1 can do: the features' names, for an error
    stream_until: float = _FOREVER  # the deadline of a stream's end
    limit: float | None = None  # s, of which that was made
    item_timeout: float | None = None  # s that the reader waits for one item


USUAL_TERMS = Terms()


class ClientChannel(Struct, eq=False):  # a Struct is made in a third of the time of a class with slots
    """A call, from its request to its last reply.

    ``data`` is the packed request, kept until there is a reply: an attempt on one peer may be followed by another.
    ``timeout`` is what ``deadline`` was made of, ``slots`` how many events the server may send ahead of the reader.

    ``reply`` is the first reply (OK, ERR or STREAM). The last event of a stream's ``inflow`` is STREAM_DONE or ERR.
    ``error`` is what ended the call instead. ``waiter`` is told of replies and of the end.
    """

    message_id: MessageId
    method: str
    data: bytes
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
                return
            self.state = STATE_STREAMING
            self.deadline = self.terms.stream_until
            self.data = b""
        inflow = self.inflow
        assert inflow is not None
        inflow.granted -= 1
        inflow.inbox.append((event, data))
        if event.name != STREAM:
            self.state = STATE_DONE

    def fail(self, error: Exception) -> None:
        self.error = error
        self.answered = True
        self.state = STATE_DONE  # last: if this is interrupted, it is to be failed again

    def refuse(self, error: Exception | None) -> None:
        """This attempt certainly did not run: ``error`` says why, if there is no reply that does."""
        self.error = error
        self.answered = True  # unless it is made again
        self.state = STATE_REFUSED

    def settle(self) -> None:
        """There is no other attempt: what refused it is how it ended."""
        self.state = STATE_DONE

    def try_again(self) -> None:
        """Be as before the attempt that was refused."""
        self.reply, self.reply_data, self.error, self.peer = None, b"", None, None
        self.answered = False
        self.state = STATE_WAITING

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

    def __repr__(self) -> str:
        return f"<ClientChannel {self.method} {self.state.value}>"


class ServerChannel(Struct, eq=False):
    """A request being answered.

    ``send`` takes packed events; what goes beyond the credit waits in ``outflow``. ``closed`` becomes true when the
    caller is gone or gave up (``error`` says which): then whatever still works for it should stop. ``runner`` is the
    shell's.
    """

    peer: RequestBringer
    key: object
    event: WireEvent | BadEvent  # the request
    data: Buffer  # the same, packed
    routing: tuple[bytes, ...] | None
    outflow: Outflow | None = None  # from when more than the one event that needs no grant is to go
    finished: bool = False  # the last event was handed to ``send``
    closed: bool = False
    error: Exception | None = None
    runner: Runner | None = None
    call: CallHeader | None = None  # what the request says besides, if it does
    until: float = _FOREVER  # when its caller waits no longer: for the first reply, then for
    stream_until: float = _FOREVER  # the end of the stream
    last_seen: float = 0.0  # these two: only towards older peers
    next_beat: float = _FOREVER

    @property
    def name(self) -> str:
        """The method that is called."""
        return self.event.name

    @property
    def args(self) -> Any:
        """Its arguments: a list, if the caller is sane."""
        return None if isinstance(self.event, BadEvent) else self.event.args

    @property
    def problem(self) -> str | None:
        """Why the request could not be decoded, if it couldn't."""
        return self.event.problem if isinstance(self.event, BadEvent) else None

    def heed_header(self, now: float) -> None:
        """Take what the request's header says: how long its caller waits, and what it says besides."""
        header = self.event.header
        self.until = now + as_patience(header.timeout)
        if header.call is NO_ID:
            return
        try:
            self.call = call = read_call_header(header.call)
        except ValueError as error:
            self.event = BadEvent(header, self.name, str(error))
            return
        if call.deadline is not None:
            self.stream_until = now + as_patience(call.deadline)
            self.until = min(self.until, self.stream_until)

    @property
    def version(self) -> int:
        """The protocol version of the caller."""
        return self.event.header.version

    def request_event(self) -> Event:
        """The request as hooks see it."""
        peer = self.peer
        identity = [peer.identity, *(self.routing or ())]
        return Event(self.name, self.args, decode_header(self.data), identity, peer.name)

    def send(self, data: bytes, last: bool = False) -> None:
        """Send a packed event now, or when credit comes; ``last`` ends the channel with it."""
        if self.closed:
            return
        self.finished = last
        outflow = self.outflow
        if outflow is None:
            if not last:
                self.outflow = Outflow(0)
                self.until = self.stream_until
            self.peer.send_event(self, data, last)
        elif outflow.admit(data):
            self.peer.send_event(self, data, last)

    @property
    def room(self) -> int:
        """How many events may go out now without waiting for credit."""
        return 1 if self.outflow is None else self.outflow.credit

    def add_credit(self, count: object) -> None:
        """The caller grants ``count`` more events; nonsense is ignored."""
        outflow = self.outflow
        if outflow is None:
            outflow = self.outflow = Outflow()
        outflow.add_credit(count)
        while (data := outflow.next_admitted()) is not None:
            self.peer.send_event(self, data)
        if self.finished and not outflow.backlog:
            self.peer.forget(self)

    def close(self, error: Exception) -> None:
        self.closed = True
        self.error = error
        if self.outflow is not None:
            self.outflow.backlog = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else "finished" if self.finished else "open"
        return f"<ServerChannel {self.name} {state} credit={self.room}>"


def as_patience(timeout: object) -> float:
    """The seconds that a header says, with nil for ever.

    A middleware's key may happen to have the same name; and nan would be within every limit.
    """
    if timeout is None:
        return _FOREVER
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and not isnan(timeout):
        return float(timeout)
    return USUAL_TIMEOUT


def credit_violation(channel: ClientChannel) -> ProtocolError:
    return ProtocolError(f"the server sent more of {channel.method} than it was granted")
