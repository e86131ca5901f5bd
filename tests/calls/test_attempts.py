"""Calls that are repeated or hedged, over peers of a client: without sockets, and with time passed in."""

from __future__ import annotations

from typing import Any

from tests.calls.test_dispatch import calls_with
from tests.protocol.pairs import Clock, call, old_server
from zerorpc.calls.hedging import Twin
from zerorpc.calls.retry import Attempts
from zerorpc.errors import LostRemote
from zerorpc.protocol.channel import ClientState
from zerorpc.protocol.inquiry import INSPECT, TELL, Inquiry
from zerorpc.protocol.terms import Terms
from zerorpc.protocol.upload import Upload
from zerorpc.settings import Retry

VOUCHED = Retry(idempotent=True)


def repeated(retry: Retry = VOUCHED, hedge: float | bool = False) -> tuple[Any, Attempts]:
    channel = call()
    attempts = Attempts(retry, lambda: 1.0, hedge=hedge)
    channel.terms = Terms(attempts=attempts)
    return channel, attempts


def test_one_that_an_older_server_leaves_without_heartbeats_may_be_repeated() -> None:
    clock = Clock()
    client, _ = old_server(clock)
    channel, attempts = repeated()
    channel.deadline = clock.now + 100.0
    client.open(channel, clock.now)
    clock.advance(16.0, client)
    assert channel.state is ClientState.REFUSED
    assert isinstance(channel.error, LostRemote)
    assert attempts.doubtful


def test_one_that_may_have_run_fails_where_no_server_says_that_it_is_idempotent() -> None:
    calls, (peer,) = calls_with(1)
    channel, attempts = repeated(Retry())
    attempts.lost(not_sent=False)
    peer._inquiry = Inquiry(b"i", INSPECT, b"")
    peer._inquiry.answer = {}
    assert calls.start(channel, 0.0) is None
    assert channel.state is ClientState.DONE
    assert calls.take_side_effects() == ([], [channel])
    other, attempts = repeated(Retry())
    attempts.lost(not_sent=False)
    other.refuse(LostRemote("lost"))
    assert calls.retry(other, 0.0) is False
    assert other.state is ClientState.DONE


def test_a_server_that_comes_later_gets_calls_with_keys_too() -> None:
    calls, (first, later) = calls_with(2)
    first._inquiry = told("A")
    channels = []
    for _ in range(3):
        channel = call()
        channel.terms = Terms(attempts=Attempts(Retry(), lambda: 1.0, keyed=True))
        calls.start(channel, 0.0)
        channels.append(channel)
        if later.answers is None:
            assert calls.take_side_effects() == ([later, first], [])  # the one is asked, the other gets the call
            later._inquiry = told("B")
    assert [channel.peer for channel in channels] == [first, later, first]


def told(answers: str) -> Inquiry:
    inquiry = Inquiry(b"i", TELL, b"")
    inquiry.answer, inquiry.answers = {}, answers
    return inquiry


def test_a_twin_that_is_refused_leaves_the_call_to_its_first_attempt() -> None:
    calls, peers = calls_with(2)
    channel, attempts = repeated(hedge=1.0)
    assert calls.start(channel, 0.0) is None  # it is sent, and watched
    assert calls.take_side_effects() == ([peers[0]], [])
    assert calls.next_wake == 1.0
    assert calls.sweep(1.0, "") == []
    assert calls.take_side_effects() == ([peers[1]], [])
    twin = attempts.twin
    assert isinstance(twin, Twin)
    twin.refuse(None)
    assert twin.waiter is not None
    twin.waiter.set_result(None)
    assert (channel.state, twin.state) == (ClientState.SENT, ClientState.DONE)
    assert calls.start(channel, 2.0) is not None  # there is no third


def test_a_call_that_is_repeated_is_watched_too() -> None:
    calls, _ = calls_with(1)
    channel, attempts = repeated(hedge=True)
    attempts.number = 2
    assert calls.start(channel, 5.0) is not None  # nothing is known of the method: there is nothing to watch
    assert attempts.begun == 0.0


def test_an_older_server_that_loses_is_told_nothing() -> None:
    clock = Clock()
    first, _ = old_server(clock, None)
    second, stranger = old_server(clock, None)
    calls, _ = calls_with(0)
    calls.peers += [first, second]
    channel, attempts = repeated(hedge=1.0)
    calls.start(channel, 0.0)
    calls.sweep(1.0, "")
    twin = attempts.twin
    assert twin is not None
    won: list[Any] = []
    calls.hedges.won = lambda *told: won.append(told)
    (request,) = stranger.events()
    stranger.send({"message_id": b"r", "v": 3, "response_to": request[0]["message_id"]}, "OK", [7])
    assert twin.waiter is not None
    twin.waiter.set_result(None)
    assert won == [(channel, first)]
    assert channel.reply.args == [7]
    assert not first.channels


def test_a_twin_that_fails_after_the_first_attempt_has_is_how_the_call_ended() -> None:
    calls, _ = calls_with(2)
    channel, attempts = repeated(hedge=1.0)
    calls.start(channel, 0.0)
    calls.sweep(1.0, "")
    twin = attempts.twin
    assert isinstance(twin, Twin)
    won: list[Any] = []
    calls.hedges.won = lambda *told: won.append(told)
    attempts.lost(not_sent=False)
    channel.refuse(LostRemote("the first is lost"))
    assert calls.retry(channel, 2.0) is False
    assert channel.state is ClientState.WAITING  # for its twin
    lost = LostRemote("so is the second")
    twin.fail(lost)
    assert twin.waiter is not None
    twin.waiter.set_result(None)
    assert (channel.state, channel.error) == (ClientState.REFUSED, lost)
    assert won == [(channel, None)]


def test_a_call_whose_argument_has_begun_to_stream_is_not_made_again() -> None:
    calls, _ = calls_with(2)
    channel = call()
    calls.start(channel, 0.0)
    channel.upload = Upload(None, begun=True)
    channel.refuse(LostRemote("lost"))
    assert calls.retry(channel, 0.0) is False
    assert channel.state is ClientState.DONE


def test_one_for_a_certain_server_that_has_no_deadline_waits_for_its_answer() -> None:
    clock = Clock()
    server, _ = old_server(clock)
    calls, _ = calls_with(0)
    calls.peers.append(server)
    channel = call(timeout=None)
    channel.terms = Terms(needs=("keyword arguments",))
    calls.start_at(server, channel, 0.0)
    assert list(calls.waiting) == [channel]
    assert calls.take_side_effects() == ([server], [])
    assert calls.next_wake is None
