"""The server's half of a channel: a request being answered (docs/protocol.md, Channels and credit)."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, Protocol

from msgspec import Struct

from zerorpc.protocol.call_header import CallHeader, read_call_header
from zerorpc.protocol.events import (
    DROPPED,
    MORE,
    NO_ID,
    STREAM,
    USUAL_TIMEOUT,
    BadEvent,
    Buffer,
    Event,
    WireEvent,
    decode_header,
    encode,
)
from zerorpc.protocol.flow import DEFAULT_SLOTS, FIRST_SLOTS, LARGE_ITEM, Inflow, Outflow
from zerorpc.protocol.references import Lent, Pending, Table
from zerorpc.protocol.structs import quick_to_change

__all__ = ["RequestBringer", "Runner", "ServerChannel", "as_patience"]

_FOREVER = float("inf")


class RequestBringer(Protocol):
    """The peer that a server's channel lives on."""

    channels: dict[object, ServerChannel]
    parked: int
    level: int
    lent: Lent
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


@quick_to_change
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
    inflow: Inflow | None = None  # of an argument that streams
    reader: Runner | None = None  # who reads that
    finished: bool = False  # the last event was handed to ``send``
    closed: bool = False
    error: Exception | None = None
    runner: Runner | None = None
    pending: Pending | None = None  # calls of functions that the caller has lent
    call: CallHeader | None = None  # what the request says besides, if it does
    target: Table | None = None  # what it calls of that which was lent; it may be released before the call begins
    until: float = _FOREVER  # when its caller waits no longer: for the first reply, then for
    stream_until: float = _FOREVER  # the end of the stream
    stalled_since: float | None = None  # when it was found that its reader asks for no more of a stream
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
            self.call = call = read_call_header(header.call, self.data)
        except ValueError as error:
            self.event = BadEvent(header, self.name, str(error))
            return
        if call.deadline is not None:
            self.stream_until = now + as_patience(call.deadline)
            self.until = min(self.until, self.stream_until)
        if call.stream is not None:
            self.until = self.stream_until  # until all items have come
        if call.ref is not None:
            self.target = self.peer.lent.objects.get(call.ref)

    # An argument that streams

    def accept_items(self) -> None:
        """There is a method that reads them: let them come."""
        self.inflow = Inflow(FIRST_SLOTS, DEFAULT_SLOTS // 2, granted=0)
        self._grant()

    def grant(self) -> bool:
        """Let more come if it is time; whether that was so. By who has read some."""
        if self.inflow is not None:
            self.inflow.slots = self.inflow.most
        return self._grant()

    def _grant(self) -> bool:
        more = 0 if self.inflow is None or self.closed or self.finished else self.inflow.replenish()
        if more:
            self.peer.send_event(self, encode(self.peer.event_header(self), MORE, [more]))
        return bool(more)

    def take_item(self, event: WireEvent, data: Buffer, now: float) -> bool:
        """An item, or what ends them, has come. False if it may not have."""
        inflow = self.inflow
        if inflow is None:
            return True  # none was granted: it may be of another's idea of credit, and nobody wants it
        inflow.granted -= 1
        is_large = len(data) > LARGE_ITEM
        if inflow.flooded or (is_large and not inflow.has_room(len(data))):
            return False
        inflow.inbox.append((event, data if is_large else b""))
        if event.name != STREAM and self.outflow is None:
            self.until = min(self.stream_until, now + as_patience(self.event.header.timeout))
        return True

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
            self.peer.lent.take_back([data])
            return
        self.finished = last
        if last and self.pending is not None:
            self.pending.end()
        outflow = self.outflow
        if outflow is None:
            if not last:
                self.outflow = Outflow(0)
                self.until = self.stream_until
            self.peer.send_event(self, data, last)
        elif outflow.admit(data, last):
            self.peer.send_event(self, data, last)

    @property
    def room(self) -> int:
        """How many events may go out now without waiting for credit."""
        outflow = self.outflow
        return 1 if outflow is None or outflow.newest_only else outflow.credit

    def keep_newest(self) -> None:
        """The caller wants only the newest item, whenever it gives credit: the method needs to wait for none."""
        if self.outflow is None:
            self.outflow = Outflow()
        self.outflow.newest_only = True

    def add_credit(self, count: object) -> None:
        """The caller grants ``count`` more events; nonsense is ignored."""
        outflow = self.outflow
        if outflow is None:
            outflow = self.outflow = Outflow()
        outflow.add_credit(count)
        if outflow.dropped and outflow.backlog and not self.closed:
            self.peer.send_event(self, encode(self.peer.event_header(self), DROPPED, [outflow.dropped]))
            outflow.dropped = 0
        while (data := outflow.next_admitted()) is not None:
            self.peer.send_event(self, data)
        if self.finished and not outflow.backlog:
            self.peer.forget(self)

    def close(self, error: Exception) -> None:
        self.closed = True
        self.error = error
        if self.outflow is not None:
            self.peer.lent.take_back(self.outflow.backlog or ())
            self.outflow.backlog = None
        if self.pending is not None:
            self.pending.end()

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
