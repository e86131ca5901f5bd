"""Channels: one conversation each, a request and what belongs to it (wire.md §4 to §6).

A channel lives on one peer from its first event to its last. The two halves stand side by side: ``ClientChannel``
made the request, ``ServerChannel`` answers it. Both know credit; the peer they live on knows liveness and bytes.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.protocol.events import (
    CANCEL,
    DONE,
    MORE,
    STREAM,
    BadEvent,
    Buffer,
    Event,
    Reply,
    WireEvent,
    decode_header,
)

__all__ = [
    "CREDIT_MAX",
    "DEFAULT_SLOTS",
    "STATE_DONE",
    "STATE_SENT",
    "STATE_STREAMING",
    "STATE_WAITING",
    "Answer",
    "ClientChannel",
    "ClientState",
    "ServerChannel",
]

Answer: TypeAlias = "Reply | WireEvent"

DEFAULT_SLOTS = 100  # events a client takes in ahead of its reader, as in the old implementation
CREDIT_MAX = 2**31  # what a peer may pile up; more is a mistake or an attack
_FOREVER = float("inf")


class CallCarrier(Protocol):
    """The peer that a client's channel lives on."""

    level: int
    link: Any

    def emit(self, channel: ClientChannel, name: str, args: Any, /) -> None: ...

    def forget(self, channel: ClientChannel, /) -> None: ...


class RequestBringer(Protocol):
    """The peer that a server's channel lives on."""

    channels: dict[Any, Any]
    level: int
    new_id: Callable[[], Any]
    writable: bool

    @property
    def identity(self) -> bytes: ...

    @property
    def caller(self) -> str | None: ...

    def event_header(self, channel: ServerChannel, /) -> dict[str, Any]: ...

    def send_event(self, channel: ServerChannel, data: Buffer, last: bool = False, /) -> None: ...

    def forget(self, channel: ServerChannel, /) -> None: ...


class ClientState(enum.Enum):
    """WAITING for a peer, SENT and no reply yet, STREAMING, DONE: answered, failed or given up."""

    WAITING = "waiting"
    SENT = "sent"
    STREAMING = "streaming"
    DONE = "done"


# Globals, because looking a member up in its enum takes 116 ns on CPython 3.11, and these 16.
STATE_WAITING, STATE_SENT, STATE_STREAMING, STATE_DONE = ClientState


class ClientChannel(Struct, eq=False):  # a Struct is made in a third of the time of a class with slots
    """A call, from its request to its last reply.

    ``data`` is the packed request, ``timeout`` what ``deadline`` was
    made of, ``slots`` how many events the server may send ahead of the reader.

    ``reply`` is the first reply (OK, ERR or STREAM); ``inbox`` holds the stream's events that nobody took yet, the
    last of them STREAM_DONE or ERR; ``error`` is what ended the call instead. ``waiter`` is the shell's own.
    """

    message_id: Any  # bytes; what a program's own ``Context.new_msgid`` makes may be a str or an int
    method: str
    data: bytes
    timeout: float | None = None
    deadline: float = _FOREVER
    slots: int = DEFAULT_SLOTS
    state: ClientState = STATE_WAITING
    peer: CallCarrier | None = None
    answered: bool = False  # the wait for the first reply is over
    reply: Answer | None = None
    reply_data: Buffer = b""
    inbox: deque[tuple[Answer, Buffer]] | None = None
    granted: int = 1  # events the server may still send: wire.md §4
    error: Exception | None = None
    waiter: Any = None
    last_seen: float = 0.0  # these two: only towards older peers
    next_beat: float = _FOREVER

    def receive(self, event: Answer, data: Buffer) -> None:
        """Take a reply: the first one, a stream's end, or what has no place in a stream and ends it too."""
        if self.state is STATE_SENT:
            self.reply, self.reply_data, self.answered = event, data, True
            if event.name not in (STREAM, DONE):
                self.state = STATE_DONE
                return
            self.state = STATE_STREAMING
            self.inbox = deque()
        self.granted -= 1
        assert self.inbox is not None
        self.inbox.append((event, data))
        if event.name != STREAM:
            self.state = STATE_DONE

    def fail(self, error: Exception) -> None:
        self.error = error
        self.answered = True
        self.state = STATE_DONE  # last: if this is interrupted, it is to be failed again

    @property
    def readable(self) -> bool:
        """Whether the wait for the stream's next event is over."""
        return bool(self.inbox) or self.error is not None

    def next_event(self) -> tuple[Answer, Buffer]:
        """The stream's next event; only when ``readable``. Grants more credit when less than half is left.

        Credit goes out in batches because Node overwrites its window where Python adds to it (wire.md §4).
        """
        inbox = self.inbox
        if not inbox:
            assert self.error is not None
            raise self.error
        event = inbox.popleft()
        if self.granted + len(inbox) <= self.slots // 2:
            self.grant()
        return event

    def grant(self) -> None:
        """Grant more credit if less than half is left. Safe to call at any time."""
        ahead = self.granted + len(self.inbox or ())
        if ahead <= self.slots // 2 and self.state is STATE_STREAMING:
            assert self.peer is not None
            self.granted += self.slots - ahead
            self.peer.emit(self, MORE, [self.slots - ahead])

    def abandon(self, error: Exception | None = None) -> None:
        """Nobody wants the rest, because of an error, perhaps: leave the peer, and tell it if it understands.

        Safe to call twice, and to be called again if it is interrupted.
        """
        if self.state is STATE_DONE:
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

    ``send`` takes packed events; what goes beyond the credit waits here. ``closed`` becomes true when the caller is
    gone or gave up (``error`` says which): then whatever still works for it should stop. ``runner`` is the shell's.
    """

    peer: RequestBringer
    key: object
    event: WireEvent | BadEvent  # the request
    data: Buffer  # the same, packed
    routing: tuple[bytes, ...] | None
    credit: int = 1  # wire.md §4
    backlog: deque[bytes] | None = None
    finished: bool = False  # the last event was handed to ``send``
    closed: bool = False
    error: Exception | None = None
    runner: Any = None
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

    @property
    def version(self) -> int:
        """The protocol version of the caller."""
        return self.event.header.version

    def request_event(self) -> Event:
        """The request as hooks see it."""
        peer = self.peer
        identity = [peer.identity, *(self.routing or ())]
        return Event(self.name, self.args, decode_header(self.data), identity, peer.caller)

    def send(self, data: bytes, last: bool = False) -> None:
        """Send a packed event now, or when credit comes; ``last`` ends the channel with it."""
        if self.closed:
            return
        self.finished = last
        if self.credit > 0:
            self.credit -= 1
            self.peer.send_event(self, data, last)
        elif self.backlog is None:
            self.backlog = deque((data,))
        else:
            self.backlog.append(data)

    @property
    def room(self) -> int:
        """How many events may go out now without waiting for credit."""
        return self.credit

    def add_credit(self, count: object) -> None:
        """The caller grants ``count`` more events; nonsense is ignored."""
        if type(count) is not int or not count > 0:
            return
        self.credit = min(self.credit + count, CREDIT_MAX)
        while self.backlog and self.credit > 0:
            self.credit -= 1
            self.peer.send_event(self, self.backlog.popleft())
        if self.finished and not self.backlog:
            self.peer.forget(self)

    def close(self, error: Exception) -> None:
        self.closed = True
        self.error = error
        self.backlog = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else "finished" if self.finished else "open"
        return f"<ServerChannel {self.name} {state} credit={self.credit}>"


def credit_violation(channel: ClientChannel) -> ProtocolError:
    return ProtocolError(f"the server sent more of {channel.method} than it was granted")
