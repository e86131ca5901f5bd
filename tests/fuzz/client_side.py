"""What a client's shell and its program do with a ``ClientPeer``, as a tape says; and what they may see of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.fuzz.tape import Tape
from zerorpc.errors import LostRemote, NotSupported
from zerorpc.protocol.channel import ClientChannel, ClientState, Terms
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import CALL_KEY, DONE, ERR, OK, STREAM, TIMEOUT_KEY, VERSION, encode
from zerorpc.protocol.lent import CallBack, LentToCall
from zerorpc.protocol.references import CALLS_MAX, OUTCOME
from zerorpc.protocol.terms import USUAL_TERMS
from zerorpc.protocol.upload import Upload

__all__ = ["Call", "ClientSide"]

SLOTS = 5  # of each stream, so that credit runs out soon
TIMEOUTS = (30.0, 5.0, 0.05, None)
MOST = 20  # calls of one run that are open
_OVER = (ClientState.DONE, ClientState.REFUSED)


class _Hand:
    """Runs the functions that a call has lent: not at once."""

    def __init__(self) -> None:
        self.begun: list[CallBack] = []
        self.ended = False

    def begin(self, call: CallBack, /) -> None:
        self.begun.append(call)

    def forget(self, number: int, /) -> None:
        assert isinstance(number, int)

    def end(self) -> None:
        self.ended = True


class _Attempts:
    """Of a call that may be repeated."""

    number = 1
    doubtful = False

    def refused(self, ran: object, kind: object, retry_after: float | None, leaves: bool, /) -> bool:
        return ran is False

    def lost(self, not_sent: bool, /) -> None:
        self.doubtful = not not_sent


class Call:
    """One call. ``taken`` is what its program has got so far: names of events and their args."""

    def __init__(self, channel: ClientChannel, args: list[Any], hand: _Hand | None, newest: bool) -> None:
        self.channel = channel
        self.args = args
        self.hand = hand
        self.taken: list[tuple[str, Any]] = []
        self.sent: list[tuple[str, Any]] = []  # items of an argument that streams
        self.given_up = False
        self.wants_newest = newest  # before it reads anything
        self.newest = False  # items may have been left out
        self._end: tuple[object, ...] | None = None

    def look(self) -> None:
        """A call that has ended stays as it is."""
        channel = self.channel
        if channel.state not in _OVER:
            assert self._end is None, f"{channel} was over: {self._end}"
            return
        assert channel.answered
        assert channel.reply is not None or channel.error is not None
        end = (channel.state, channel.reply, channel.error)
        assert self._end in (None, end), f"{channel} ended twice: {self._end}, then {end}"
        self._end = end
        if channel.lent is not None and channel.state is ClientState.DONE:
            assert not channel.lent.objects
            assert self.hand is not None
            assert self.hand.ended


class ClientSide:
    """The calls of one peer. ``now`` tells the time."""

    def __init__(self, peer: ClientPeer, now: Callable[[], float]) -> None:
        self.peer = peer
        self.now = now
        self.calls: list[Call] = []

    def step(self, tape: Tape) -> None:
        """One of all the things that a program can do."""
        kind = tape.number(12)
        if kind <= 3 or not self.calls:
            self.open(tape)
            return
        call = tape.pick(self.calls)
        if kind <= 6:
            self.take(call)
        elif kind == 7:
            self.upload(call, tape)
        elif kind == 8:
            self.answer_call_back(call, tape)
        elif kind == 9:
            call.given_up = call.given_up or call.channel.state not in _OVER
            call.channel.abandon(LostRemote("given up") if tape.chance(2) else None)
        elif kind == 10:
            self.wait(call, tape)
        elif self.peer.ready:
            if tape.chance(2):
                self.peer.ask(self.now())
            else:
                self.peer.release(tape.number(4))

    def open(self, tape: Tape) -> None:
        if not self.peer.ready or self.peer.error is not None or len(self.peer.channels) >= MOST:
            return
        method, kind, timeout = tape.pick(("echo", "count", "x" * 30)), tape.number(8), tape.pick(TIMEOUTS)
        message_id = b"call%028d" % len(self.calls)
        header: dict[str, Any] = {"message_id": message_id, "v": VERSION}
        if timeout != 30.0:
            header[TIMEOUT_KEY] = timeout
        terms, upload, lent, hand = USUAL_TERMS, None, None, None
        if kind == 1 and self.peer.level >= 1:
            upload, header[CALL_KEY] = Upload(None), {"stream": 0}
        elif kind == 2 and self.peer.level >= 1:
            lent, hand, header[CALL_KEY] = LentToCall(), _Hand(), {"lends": True}
            lent.hand = hand
            lent.lend("function", {"": print})
        elif kind == 3:
            terms, timeout = Terms(stream_until=self.now() + 60.0, limit=60.0, item_timeout=2.0), timeout or 60.0
        elif kind == 4:
            terms = Terms(attempts=_Attempts())
        deadline = math.inf if timeout is None else self.now() + timeout
        args = [len(self.calls), tape.octets(1) * tape.pick((0, 3, 300, 70_000))]
        channel = ClientChannel(
            message_id, method, encode(header, method, args), timeout, deadline, SLOTS, terms, upload=upload, lent=lent
        )
        self.calls.append(Call(channel, args, hand, tape.chance(4)))
        self.peer.open(channel, self.now())

    def take(self, call: Call) -> None:
        """As a reader does: the first reply, or a stream's next item."""
        channel = call.channel
        if channel.inflow is None:
            if not call.taken and channel.reply is not None and channel.state in _OVER:
                call.taken.append((channel.reply.name, channel.reply.args))
        elif channel.inflow.inbox:
            if call.wants_newest and not call.taken:
                self.want_newest(call)
            event, _ = channel.next_event()
            call.taken.append((event.name, event.args))

    def upload(self, call: Call, tape: Tape) -> None:
        channel = call.channel
        if channel.upload is None or channel.over or channel.state is ClientState.REFUSED or channel.upload.ended:
            return
        if channel.may_send(self.now()):
            item: tuple[str, Any] = (STREAM, len(call.sent))
            if tape.chance(4):
                item = tape.pick([(DONE, None), (ERR, ["E", "no", ""])])
            channel.send_item(*item, self.now())
            call.sent.append(item)

    def answer_call_back(self, call: Call, tape: Tape) -> None:
        channel, hand = call.channel, call.hand
        if hand is None or not hand.begun or channel.lent is None:
            return
        begun = hand.begun.pop(0)
        assert isinstance(begun.args, list)
        assert isinstance(begun.kwargs, dict)
        channel.lent.under_way -= 1
        if channel.state in (ClientState.SENT, ClientState.STREAMING):
            self.peer.emit(channel, OUTCOME, (begun.number, tape.chance(2), begun.args))

    def wait(self, call: Call, tape: Tape) -> None:
        channel = call.channel
        match tape.number(4):
            case 0:
                channel.begin_wait(self.now())
            case 1:
                channel.end_wait()
            case 2:
                channel.grant()
            case 3:
                self.want_newest(call)

    def want_newest(self, call: Call) -> None:
        try:
            call.channel.want_newest()
            call.newest = True
        except (NotSupported, RuntimeError):
            pass

    # What has to hold

    def check(self) -> None:
        peer = self.peer
        for call in self.calls:
            call.look()
        for key, channel in peer.channels.items():
            assert channel.message_id == key
            assert channel.state in (ClientState.SENT, ClientState.STREAMING) or channel is peer._inquiry, f"{channel}"
            if channel.deadline < math.inf:
                assert peer.next_wake is not None, f"{channel} has a deadline that nobody looks at"
                assert peer.next_wake <= channel.deadline + 1.0
            if channel.inflow is not None:
                assert len(channel.inflow.inbox) <= 2 * SLOTS + 2, "more than was granted is kept"
            if channel.lent is not None:
                assert channel.lent.under_way <= CALLS_MAX

    def close(self) -> None:
        """The connection is lost: every call ends."""
        self.peer.close(LostRemote("lost"))
        self.check()
        for call in self.calls:
            assert call.channel.state in _OVER, f"{call.channel} goes on without a connection"
        assert self.peer.next_wake is None

    def check_taken(self, call: Call, sent: list[tuple[str, Any]], whole: bool) -> None:
        """What its program has got is what the server has sent: in order, each once; all of it, if ``whole``."""
        taken = list(call.taken)
        assert all(name in (OK, ERR, STREAM, DONE) for name, _ in taken)
        if taken[-1:] and taken[-1][0] == ERR and taken[-1][1][0] == "StreamStalled":
            taken.pop()  # the server itself has ended it
        if call.newest:
            left = iter(sent)
            assert all(event in left for event in taken), f"{taken!s:.200} of {sent!s:.200}"
        else:
            assert taken == sent[: len(taken)], f"{taken!s:.200} of {sent!s:.200}"
            assert not whole or len(taken) == len(sent), f"{taken!s:.200} of {sent!s:.200}"
