"""What a server's shell and its methods do with a ``ServerPeer``, as a tape says; and what they may see of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.fuzz.tape import Tape
from zerorpc.errors import LostRemote
from zerorpc.protocol.events import DONE, ERR, OK, RAN_KEY, STREAM, encode
from zerorpc.protocol.flow import CREDIT_MAX, DEFAULT_SLOTS
from zerorpc.protocol.references import AT_ONCE, CALL_BACK, FORGET, RELEASE, Outcome, Pending
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer

__all__ = ["Request", "ServerSide"]


class Request:
    """A request that runs. ``sent`` is what its method has handed over: names of events and their args."""

    def __init__(self, channel: ServerChannel) -> None:
        self.channel = channel
        self.sent: list[tuple[str, Any]] = []
        self.items: list[tuple[str, Any]] = []  # of an argument that streams
        self.outcomes = 0
        self.asked: list[int] = []

    def wake(self) -> None:
        """As a runner of the shell's."""

    def set_outcome(self, outcome: Outcome | None, /) -> None:
        self.outcomes += 1
        assert self.outcomes <= len(self.asked), "more outcomes than questions"


class ServerSide:
    """The requests of one peer, in the order in which they came. ``now`` tells the time."""

    def __init__(self, peer: ServerPeer, now: Callable[[], float]) -> None:
        self.peer = peer
        self.now = now
        self.requests: list[Request] = []

    def take(self, touched: list[ServerChannel]) -> None:
        """Requests have come, or something for those that run."""
        for channel in touched:
            if channel.runner is None and not channel.closed:
                assert all(each.channel is not channel for each in self.requests), "it came twice"
                request = Request(channel)
                channel.runner = request
                self.requests.append(request)
                assert isinstance(channel.request_event().header, dict)
                if channel.call is not None and channel.call.lends:
                    channel.pending = Pending(self.peer.lent)

    def step(self, tape: Tape) -> None:
        """One of all the things that a method can do."""
        if not self.requests:
            return
        request = tape.pick(self.requests)
        if tape.chance(4):
            request = self.requests[-1]
        match tape.number(8):
            case 0 | 1:
                self.answer(request, tape)
            case 2 | 3 | 4:
                self.send_item(request)
            case 5:
                self.read_item(request)
            case 6:
                self.call_back(request, tape)
            case 7:
                self.tell(request, tape)

    def answer(self, request: Request, tape: Tape) -> None:
        """The end: a value, or that of a stream, or an error."""
        channel = request.channel
        header: dict[str, object] = {}
        args: Any
        if channel.finished or channel.closed:
            return
        if tape.chance(3):
            name, args, header = ERR, ["E", "no", None], {RAN_KEY: tape.pick((None, True, False))}
        elif request.sent:
            name, args = DONE, None
        else:
            name, args = OK, [tape.octets(1) * tape.pick((0, 3, 300, 70_000))]
        request.sent.append((name, args))
        channel.send(encode({**self.peer.event_header(channel), **header}, name, args), last=True)

    def send_item(self, request: Request) -> None:
        channel = request.channel
        if not (channel.finished or channel.closed) and len(request.sent) < 200:
            item = len(request.sent)
            request.sent.append((STREAM, item))
            channel.send(encode(self.peer.event_header(channel), STREAM, item))

    def read_item(self, request: Request) -> None:
        """Of an argument that streams."""
        channel = request.channel
        if channel.call is None or channel.call.stream is None or self.peer.level < 1:
            return
        if channel.inflow is None:
            if not (channel.closed or channel.finished):
                channel.accept_items()
        elif channel.inflow.inbox:
            event, _ = channel.inflow.inbox.popleft()
            request.items.append((event.name, event.args))
            channel.grant()

    def call_back(self, request: Request, tape: Tape) -> None:
        """A function that the caller has lent; or its outcome is not wanted any more."""
        channel, pending = request.channel, request.channel.pending
        if pending is None or channel.closed or channel.finished or self.peer.level < 1:
            return
        if request.asked and tape.chance(3):
            number = tape.pick(request.asked)
            if pending.forget(number):
                self._event(channel, FORGET, [number])
            return
        for _ in range(tape.pick((1, 1, 1, 2, 120))):
            number = pending.next_number()
            data = encode(self.peer.event_header(channel), CALL_BACK, [number, tape.number(3), "", [number], {}])
            request.asked.append(number)
            pending.begin(number, request, lambda data=data: self.peer.send_event(channel, data))  # type: ignore[misc]

    def tell(self, request: Request, tape: Tape) -> None:
        """What else there is."""
        channel = request.channel
        match tape.number(4):
            case 0:
                self.peer.lent.lend("function", {})
            case 1 if channel.pending is not None and not channel.closed and not channel.finished:
                self._event(channel, RELEASE, [1])
            case 2 if self.peer.ready and tape.chance(4):
                self.peer.send_goaway()

    def _event(self, channel: ServerChannel, name: str, args: object) -> None:
        self.peer.send_event(channel, encode(self.peer.event_header(channel), name, args))

    # What has to hold

    def check(self) -> None:
        peer = self.peer
        for request in self.requests:
            self.check_request(request)
        for key, channel in peer.channels.items():
            assert channel.key == key
            assert not channel.closed
            if channel.until < math.inf:
                assert peer.next_wake is not None, f"{channel} waits for a time that nobody looks at"
                assert peer.next_wake <= channel.until + 1.0

    def check_request(self, request: Request) -> None:
        channel = request.channel
        if channel.outflow is not None:
            assert 0 <= channel.outflow.credit <= CREDIT_MAX
            assert not (channel.closed and channel.outflow.backlog)
        if channel.inflow is not None:
            assert len(channel.inflow.inbox) <= 2 * DEFAULT_SLOTS + 2, "more than was granted is kept"
        if channel.pending is not None:
            assert len(channel.pending.waiting) + len(channel.pending._forgotten) <= AT_ONCE
        if channel.closed:
            assert channel.error is not None
            assert channel.key not in self.peer.channels or self.peer.channels[channel.key] is not channel
            assert not (channel.pending is not None and channel.pending.waiting)

    def close(self) -> None:
        """The connection is lost: every method is told."""
        self.peer.close(LostRemote("lost"))
        self.check()
        for request in self.requests:
            assert request.channel.closed or request.channel.finished, f"{request.channel} goes on"
        assert self.peer.next_wake is None
