"""References between peers, by hand: what each side makes of what the other says of them, sense or not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.msgpack import Ext

from tests.protocol.pairs import Clock, Pair, call, old_server, pack, reply
from zerorpc.errors import LostRemote, ProtocolError, SerializationError
from zerorpc.protocol.call_header import read_call_header
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.events import CALL_KEY, STREAM, VERSION, Reply, encode, encode_with
from zerorpc.protocol.flow import Outflow
from zerorpc.protocol.lent import CallBack, LentToCall, decode_request
from zerorpc.protocol.packing import Forms
from zerorpc.protocol.references import (
    AT_ONCE,
    CALL_BACK,
    CALLS_MAX,
    FORGET,
    OUTCOME,
    REFERENCE,
    RELEASE,
    LendingMessage,
    Lent,
    Outcome,
    Pending,
    Reference,
    borrowing,
)
from zerorpc.protocol.server_channel import ServerChannel


class Hand:
    """Runs nothing: notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[CallBack] = []
        self.forgotten: list[int] = []
        self.ended = 0

    def begin(self, call: CallBack) -> None:
        self.calls.append(call)

    def forget(self, number: int) -> None:
        self.forgotten.append(number)

    def end(self) -> None:
        self.ended += 1


class Asker:
    def __init__(self) -> None:
        self.outcomes: list[Outcome | None] = []

    def set_outcome(self, outcome: Outcome | None) -> None:
        self.outcomes.append(outcome)


def lending(pair: Pair) -> tuple[ClientChannel, ServerChannel, Hand]:
    """A call that has lent a function, ``len``, by the number 1."""
    channel, there = pair.call()
    hand = Hand()
    channel.lent = LentToCall()
    channel.lent.hand = hand
    channel.lent.lend("len", {"len": len})
    there.pending = Pending()
    return channel, there, hand


def tell(pair: Pair, there: ServerChannel, name: str, args: Any) -> None:
    """The server sends a further event of a call."""
    pair.server.send_event(there, encode(pair.server.event_header(there), name, args))


# A caller's functions


def test_a_function_is_called_and_answers() -> None:
    pair = Pair()
    channel, there, hand = lending(pair)
    assert there.pending is not None
    asker = Asker()
    number = there.pending.next_number()
    there.pending.begin(number, asker, lambda: tell(pair, there, CALL_BACK, [number, 1, "len", ["abc"], {}]))
    pair.exchange()
    assert hand.calls == [CallBack(1, len, ["abc"], {})]
    assert hand.calls[0].run() == 3
    pair.client.emit(channel, OUTCOME, (1, True, 3))
    pair.exchange()
    assert asker.outcomes == [Outcome(1, True, 3)]
    reply(there, "done")
    pair.exchange()
    assert hand.ended == 1
    assert channel.lent is not None
    assert not channel.lent.objects


def test_further_ones_wait_until_fewer_are_under_way() -> None:
    pending, asker, sent = Pending(), Asker(), []
    for number in range(1, AT_ONCE + 4):
        pending.begin(number, asker, lambda number=number: sent.append(number))
    assert sent == list(range(1, AT_ONCE + 1))
    pending.take([1, True, None])
    assert sent[-1] == AT_ONCE + 1
    assert not pending.forget(AT_ONCE + 2)  # it was not sent
    assert pending.forget(2)
    assert not pending.forget(2)
    pending.take([3, False, ["E", "why", ""]])
    pending.take([4, True, None])
    assert sent[-2:] == [AT_ONCE + 1, AT_ONCE + 3]
    assert asker.outcomes[1] == Outcome(3, False, ["E", "why", ""])
    pending.end()
    assert asker.outcomes[-1] is None
    assert not pending.waiting


def test_what_is_forgotten_has_its_place_until_its_outcome_comes() -> None:
    """It runs on at the client. So others wait for that, and not for ever."""
    pending, asker, sent = Pending(), Asker(), []
    for number in range(1, AT_ONCE + 3):
        pending.begin(number, asker, lambda number=number: sent.append(number))
    for number in range(1, AT_ONCE + 1):
        assert pending.forget(number)
    assert not pending.waiting
    assert sent[-1] == AT_ONCE
    for number in (7, 7, 8):
        pending.take([number, True, None])
    assert sent[-2:] == [AT_ONCE + 1, AT_ONCE + 2]
    assert not asker.outcomes
    pending.take([AT_ONCE + 2, True, None])
    assert asker.outcomes == [Outcome(AT_ONCE + 2, True, None)]


def test_what_a_call_of_a_function_lends_is_taken_back_if_it_is_never_sent() -> None:
    lent = Lent()
    pending, asker = Pending(lent), Asker()
    for number in range(1, AT_ONCE + 4):
        message = LendingMessage()
        message.numbers = [lent.lend("f", {})[0]]
        pending.begin(number, asker, lambda: None, message)
    pending.forget(AT_ONCE + 2)
    assert list(lent.objects) == [*range(1, AT_ONCE + 2), AT_ONCE + 3]
    pending.end()
    assert list(lent.objects) == list(range(1, AT_ONCE + 1))


def test_another_attempt_has_everything_that_was_lent() -> None:
    """The first one's server has released it, and calls no more."""
    pair = Pair()
    channel, there, hand = lending(pair)
    tell(pair, there, RELEASE, [1])
    for number in range(CALLS_MAX):
        tell(pair, there, CALL_BACK, [number, 1, "len", [], {}])
    pair.exchange()
    assert hand.calls[-1].function is None
    channel.refuse(LostRemote("cut"))
    assert hand.ended == 1
    channel.try_again()
    assert channel.lent is not None
    assert channel.lent.receive(CALL_BACK, [1, 1, "len", ["abc"], {}]) is None
    assert hand.calls[-1].run() == 3


def test_at_the_end_of_the_call_nobody_waits_any_more() -> None:
    for end in (
        lambda pair, channel, there: reply(there, 1),
        lambda pair, channel, there: (channel.abandon(), pair.exchange()),
        lambda pair, channel, there: pair.server.close(LostRemote("cut")),
    ):
        pair = Pair()
        channel, there, _ = lending(pair)
        assert there.pending is not None
        asker, waits = Asker(), Asker()
        there.pending.begin(1, asker, lambda: None)
        for number in range(2, AT_ONCE + 2):
            there.pending.begin(number, waits, lambda: None)
        end(pair, channel, there)
        assert asker.outcomes == [None]
        assert waits.outcomes == [None] * AT_ONCE


@pytest.mark.parametrize("outcome", [None, [], [1, True], ["1", True, 2], [7, True, 2], [True, True, 1], "text"])
def test_an_outcome_that_makes_no_sense_is_ignored(outcome: Any) -> None:
    pair = Pair()
    channel, there, _ = lending(pair)
    assert there.pending is not None
    asker = Asker()
    there.pending.begin(1, asker, lambda: None)
    pair.client.emit(channel, OUTCOME, outcome)
    pair.exchange()
    assert not asker.outcomes
    there.pending = None
    pair.client.emit(channel, OUTCOME, (1, True, 2))
    pair.exchange()
    assert pair.server.error is None


@pytest.mark.parametrize("args", [None, [], [1, 1, "len", []], [1, 1, 2, [], {}], [1, "1", "len", [], {}], "text"])
def test_a_call_that_makes_no_sense_ends_the_one_that_lent(args: Any) -> None:
    pair = Pair()
    channel, there, _ = lending(pair)
    tell(pair, there, CALL_BACK, args)
    pair.exchange()
    assert isinstance(channel.error, ProtocolError)
    assert "in a way that has no meaning" in str(channel.error)
    assert pair.client.error is None


def test_so_does_one_too_many() -> None:
    pair = Pair()
    channel, there, hand = lending(pair)
    for number in range(CALLS_MAX + 1):
        tell(pair, there, CALL_BACK, [number, 1, "len", [], {}])
    pair.exchange()
    assert len(hand.calls) == CALLS_MAX
    assert isinstance(channel.error, ProtocolError)


def test_what_is_not_lent_cannot_be_called() -> None:
    pair = Pair()
    _, there, hand = lending(pair)
    tell(pair, there, CALL_BACK, [1, 9, "len", [], {}])
    tell(pair, there, CALL_BACK, [2, 1, "hash", [], {}])
    tell(pair, there, RELEASE, [1, "1", 5])
    tell(pair, there, RELEASE, "text")
    tell(pair, there, CALL_BACK, [3, 1, "len", [], {}])
    pair.exchange()
    assert [each.function for each in hand.calls] == [None, None, None]
    with pytest.raises(LookupError):
        hand.calls[0].run()


def test_nobody_waits_for_it_any_more() -> None:
    pair = Pair()
    _, there, hand = lending(pair)
    for args in ([4], [], "text", ["4"]):
        tell(pair, there, FORGET, args)
    pair.exchange()
    assert hand.forgotten == [4]


def test_a_call_that_has_lent_nothing_takes_no_such_event() -> None:
    pair = Pair()
    channel, there = pair.call()
    tell(pair, there, CALL_BACK, [1, 1, "len", [], {}])
    pair.exchange()
    assert channel.answered  # it has no place there, as any event that isn't known


# What a server passes


def borrowed(pair: Pair) -> list[Reference]:
    """The references that come to the client from now on."""
    found: list[Reference] = []

    def borrow(peer: Any, reference: Reference) -> str:
        assert peer is pair.client
        found.append(reference)
        return f"stands for {reference.number}"

    pair.client.borrow = borrow
    return found


def lend_by(there: ServerChannel, name: str, args: Any, last: bool = True) -> LendingMessage:
    """An event with references in the places of functions."""
    lent, numbers = there.peer.lent, []

    def lend(value: Any) -> Ext | None:
        if not callable(value):
            return None
        number, reference = lent.lend(value.__name__, {value.__name__: value})
        numbers.append(number)
        return reference

    message = LendingMessage(encode(there.peer.event_header(there), name, args, True, lend))
    message.numbers = numbers
    there.send(message, last=last)
    return message


def test_a_result_with_references() -> None:
    pair = Pair()
    found = borrowed(pair)
    channel, there = pair.call()
    lend_by(there, "OK", [[len, {"f": hash}, Ext(5, b"x")]])
    pair.exchange()
    assert isinstance(channel.reply, Reply)
    stands_for_len, others, ext = channel.reply.args[0]
    assert (stands_for_len, others, ext.code) == ("stands for 1", {"f": "stands for 2"}, 5)
    assert found == [Reference(1, "len"), Reference(2, "hash")]
    pair.client.release(1)
    pair.exchange()
    assert list(pair.server.lent.objects) == [2]


def test_another_extension_type_is_the_programs() -> None:
    pair = Pair()
    channel, there = pair.call()
    reply(there, Ext(5, b"x"))
    pair.exchange()
    assert channel.reply is not None
    assert (channel.reply.args[0].code, channel.reply.args[0].data) == (5, b"x")


def test_to_who_cannot_borrow_it_stays_what_it_is() -> None:
    pair = Pair()
    channel, there = pair.call()
    lend_by(there, "OK", [len])
    pair.exchange()
    assert channel.reply is not None
    assert channel.reply.args[0].code == REFERENCE


def test_of_an_older_server_it_is_its_own_extension_type() -> None:
    clock = Clock()
    client, old = old_server(clock)
    client.borrow = lambda *_: pytest.fail("it can't mean a reference")
    channel = call(now=clock.now)
    client.open(channel, clock.now)
    old.send({"response_to": channel.message_id, "v": VERSION}, "OK", [Ext(REFERENCE, pack([1, "f"]))])
    assert channel.reply is not None
    assert channel.reply.args[0].code == REFERENCE


@pytest.mark.parametrize("fields", [[1], ["1", None], [1, 2], {}, 5])
def test_a_reference_that_makes_no_sense_ends_the_call(fields: Any) -> None:
    pair = Pair()
    found = borrowed(pair)
    channel, there = pair.call()
    there.send(encode(there.peer.event_header(there), "OK", [Ext(REFERENCE, pack(fields))]), last=True)
    pair.exchange()
    assert isinstance(channel.error, ProtocolError)
    assert not found
    with pytest.raises(ValueError, match="a reference that can't be read"):
        borrowing(object, lambda _: None, pack(Ext(REFERENCE, pack(fields))))


def test_what_is_never_sent_is_not_lent() -> None:
    pair = Pair()
    channel, there = pair.call()
    there.outflow = Outflow(0)
    lend_by(there, STREAM, len, last=False)  # waits for credit
    assert list(pair.server.lent.objects) == [1]
    channel.abandon()
    pair.exchange()
    assert there.closed
    assert not pair.server.lent.objects
    lend_by(there, STREAM, len, last=False)  # nobody is there any more
    assert not pair.server.lent.objects
    pair.server.lent.take_back([b"a usual one"])


def test_it_is_found_when_its_call_comes() -> None:
    """A release may come in the same piece, and be read before the call begins."""
    pair = Pair()
    channel, there = pair.call()
    number, _ = there.peer.lent.lend("len", {"len": len})
    header = {"message_id": b"2", "v": VERSION, CALL_KEY: {"ref": number}}
    pair.client.connection.send_delimited(encode(header, "len", ["abc"]))
    pair.client.release(number)
    pair.exchange()
    called = next(each for each in pair.server.channels.values() if each is not there)
    assert called.target == {"len": len}
    assert not there.peer.lent.objects
    assert channel is not None


# Packing


def test_a_request_with_references() -> None:
    lent = Lent()
    header = {"message_id": b"1", "v": 3, "_zpc_call": {"lends": True, "kwargs": {"f": len, "n": 1}}}

    def lend(value: object) -> Ext | None:
        return lent.lend("len", {})[1] if value is len else None

    forms = Forms(True, lend)
    said = {**header[CALL_KEY], "kwargs": forms.of(header[CALL_KEY]["kwargs"])}
    data = encode_with(forms, {**header, CALL_KEY: said}, "f", [len, Ext(5, b"x")])
    args, kwargs = decode_request(data, lambda reference: reference.number)
    assert (args[0], kwargs) == (2, {"f": 1, "n": 1})
    assert args[1].code == 5
    with pytest.raises(SerializationError, match="can't be sent"):
        encode({}, "f", object(), True, lend)
    for nonsense in (b"", pack(1), pack([{}, "f", Ext(REFERENCE, b"")])):
        with pytest.raises(ValueError, match="the arguments can't be decoded"):
            decode_request(nonsense, lambda reference: reference)
    assert decode_request(pack([{}, "f", [1]]), lambda reference: reference) == ([1], None)


def test_what_a_request_says_of_references() -> None:
    said = read_call_header(msgspec.Raw(pack({"lends": True, "ref": 5, "within": b"1"})))
    assert (said.lends, said.ref, bytes(said.within)) == (True, 5, pack(b"1"))
    with pytest.raises(ValueError, match="_zpc_call in its header"):
        read_call_header(msgspec.Raw(pack({"ref": "5"})))


def test_a_call_that_nothing_runs_for_ends_as_well() -> None:
    """It was given up before its client had begun it."""
    lent = LentToCall()
    lent.lend("len", {"len": len})
    lent.end_attempt()
    assert lent.objects
    lent.end()
    assert not lent.objects
