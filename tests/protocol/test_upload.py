"""Streams of an argument, of the newest item, and what is asked by the way: between peers, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.pairs import Clock, Pair, call, item, new_ids, old_server, pack, reply
from zerorpc.errors import LostRemote, NotSupported
from zerorpc.protocol.channel import ClientChannel, ClientState
from zerorpc.protocol.events import DONE, ERR, LATEST, STREAM, VERSION, encode
from zerorpc.protocol.flow import DEFAULT_SLOTS, FIRST_SLOTS
from zerorpc.protocol.inquiry import INSPECT, Inquiry
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.upload import Upload


class Runner:
    def wake(self) -> None: ...


class Sender:
    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def uploading(pair: Pair, timeout: float | None = 30) -> tuple[ClientChannel, ServerChannel]:
    """A call whose argument streams, and which a method answers."""
    channel, there = pair.call(timeout=timeout)
    channel.upload = Upload(None, Sender())
    there.runner = Runner()
    return channel, there


def test_items_go_as_far_as_credit_does() -> None:
    pair = Pair()
    channel, there = uploading(pair)
    assert not channel.may_send(pair.clock.now)
    assert not there.grant()  # nobody reads it yet
    there.accept_items()
    pair.exchange()
    assert isinstance(channel.upload, Upload)
    assert isinstance(channel.upload.sender, Sender)
    assert channel.upload.sender.woken == 1
    assert there.inflow is not None
    for granted in (FIRST_SLOTS, DEFAULT_SLOTS):  # until one is here nobody knows how large they are
        for number in range(granted):
            assert channel.may_send(pair.clock.now)
            channel.send_item(STREAM, number, pair.clock.now)
        assert not channel.may_send(pair.clock.now)
        _, touched = pair.exchange()
        assert touched == [there] * granted
        assert [event.args for event, _ in there.inflow.inbox] == list(range(granted))
        there.inflow.inbox.clear()
        assert there.grant()
        pair.exchange()
    channel.send_item(DONE, None, pair.clock.now)
    pair.exchange()
    reply(there, "whole")
    pair.exchange()
    assert channel.over
    assert channel.upload.sender.woken == 4


def test_time_counts_while_the_server_is_to_read() -> None:
    pair = Pair()
    channel, there = uploading(pair, timeout=5)
    there.accept_items()
    pair.exchange()
    assert channel.may_send(pair.clock.now)
    assert channel.deadline == float("inf")  # the program's iterator may take its time
    channel.send_item(DONE, None, pair.clock.now)
    assert channel.deadline == pair.clock.now + 5
    assert pair.advance(5.1) == [channel]
    assert channel.state is ClientState.DONE


@pytest.mark.parametrize("end", [DONE, ERR])
def test_the_server_ends_it_in_time_when_all_items_have_come(end: str) -> None:
    pair = Pair(heartbeat=None)
    channel = call()
    header = {"message_id": channel.message_id, "v": VERSION, "_zpc_timeout": 5.0, "_zpc_call": {"stream": 0}}
    channel.data = encode(header, "echo", [None])
    pair.client.open(channel, pair.clock.now)
    (there,) = pair.exchange()[1]
    there.runner = Runner()
    there.accept_items()
    assert pair.clock.advance(100, pair.server) == []  # the client may take its time
    pair.client.emit(channel, end, None)
    pair.exchange()
    assert pair.clock.advance(4.9, pair.server) == []
    assert pair.clock.advance(0.2, pair.server) == [there]
    assert there.closed


def test_what_was_not_granted_is_nobodys() -> None:
    pair = Pair()
    channel, there = pair.call()
    pair.client.emit(channel, STREAM, "unasked for")
    pair.client.emit(channel, LATEST, [])
    assert pair.exchange() == ([], [])  # there is nobody to wake
    assert there.inflow is None
    assert there.room == 1
    channel.upload = Upload(None)
    channel.upload.wake()  # before its sender exists


def test_an_end_of_the_items_that_comes_after_the_first_reply_bounds_nothing() -> None:
    pair = Pair()
    channel, there = uploading(pair, timeout=5)
    there.accept_items()
    item(there, "an answer")
    pair.exchange()
    channel.send_item(DONE, None, pair.clock.now)
    pair.exchange()
    assert there.until == float("inf")
    assert channel.deadline == float("inf")


def test_the_newest_only() -> None:
    pair = Pair()
    channel, there = pair.call()
    there.runner = Runner()
    item(there, 0)
    pair.exchange()
    channel.want_newest()
    assert pair.exchange()[1] == [there]
    for number in range(1, 6):
        assert there.room == 1
        item(there, number)
    assert channel.next_event()[0].args == 0
    channel.grant()
    pair.exchange()
    assert channel.inflow is not None
    assert (channel.next_event()[0].args, channel.inflow.dropped) == (5, 4)
    channel.abandon()
    channel.want_newest()  # it is over


@pytest.mark.parametrize("args", [None, [], ["x"], [-1], [True], {}])
def test_nonsense_about_what_was_left_out(args: Any) -> None:
    pair = Pair()
    channel, there = pair.call()
    pair.server.send_event(there, encode(pair.server.event_header(there), "_zpc_dropped", args))
    item(there, 0)
    pair.server.send_event(there, encode(pair.server.event_header(there), "_zpc_dropped", args))
    pair.exchange()
    assert channel.inflow is not None
    assert channel.inflow.dropped == 0


def test_an_older_server_leaves_nothing_out() -> None:
    client, server = old_server(Clock())
    channel = call()
    client.open(channel, 0.0)
    ((header, _, _),) = server.events()
    server.send({"message_id": b"r", "v": 3, "response_to": header["message_id"]}, STREAM, 1)
    with pytest.raises(NotSupported):
        channel.want_newest()


def test_an_inquiry_that_gets_no_answer() -> None:
    client, _ = old_server(Clock())
    inquiry = Inquiry(next(iter([new_ids()()])), INSPECT, b"")
    client.open(inquiry, 0.0)
    inquiry.abandon()
    assert (inquiry.answer, inquiry.state) == ({}, ClientState.DONE)
    assert not client.channels
    unsent = Inquiry(b"1", INSPECT, b"")
    unsent.abandon(LostRemote("gone"))
    assert unsent.answer == {}


def test_an_inquiry_has_no_deadline_but_the_server_has_to_live() -> None:
    clock = Clock()
    client, _ = old_server(clock)
    client.ask(clock.now)
    clock.advance(6.0, client)
    assert client.parameters is None
    clock.advance(20.0, client)
    assert client.parameters == {}


def test_a_sender_hears_that_a_refused_call_has_no_other_attempt() -> None:
    channel = call()
    sender = Sender()
    channel.upload = Upload(None, sender)
    channel.refuse(LostRemote("refused"))
    channel.settle()
    assert channel.over
    assert sender.woken == 1


@pytest.mark.parametrize(
    ("name", "finished", "fails"), [(STREAM, False, True), (STREAM, True, False), ("x", False, False)]
)
def test_an_item_that_can_not_be_read_fails_its_call(name: str, finished: bool, fails: bool) -> None:
    """Unless the method has answered, and misses nothing; another event that can't be read is nobody's."""
    pair = Pair()
    channel, there = uploading(pair)
    there.accept_items()
    pair.exchange()
    there.finished = finished
    header = pack({"message_id": b"m", "v": VERSION, "response_to": channel.message_id})
    pair.client.connection.send_delimited(b"\x93" + header + pack(name) + b"\xa1\xff")  # a text that is no UTF-8
    _, touched = pair.exchange()
    assert touched == ([there] if fails else [])
    assert there.closed is fails
    assert channel.over is fails
    if fails:
        assert channel.reply is not None
        assert channel.reply.name == ERR
        assert channel.reply.args[1].startswith("an item of an argument of echo can't be taken: ")
