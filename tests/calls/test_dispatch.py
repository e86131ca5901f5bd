"""Calls: which peer takes a call, and what becomes of those that wait for one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.pairs import call, new_ids
from tests.zmtp.links import handshake
from zerorpc.calls.dispatch import Calls
from zerorpc.errors import Closed, HandshakeFailed, LostRemote, TimeoutExpired
from zerorpc.protocol.channel import ClientState
from zerorpc.protocol.client_peer import ClientPeer


def peer() -> ClientPeer:
    one = ClientPeer(None, new_ids())
    one.receive_data(handshake("ROUTER", **{"X-Zerorpc": b"1"}), 0.0)
    assert one.ready
    one.take_output()
    return one


def calls_with(count: int) -> tuple[Calls, list[ClientPeer]]:
    calls, peers = Calls(), [peer() for _ in range(count)]
    for one in peers:
        calls.add(one)
    return calls, peers


def sent(one: ClientPeer) -> bool:
    return bool(one.take_output())


@pytest.mark.parametrize("count", [1, 2])
def test_a_call_goes_to_a_live_peer_at_once(count: int) -> None:
    calls, peers = calls_with(count)
    channel = call()
    assert calls.start(channel, 0.0) is peers[0]
    assert sent(peers[0])
    assert channel.state is ClientState.SENT
    assert not calls.waiting


def test_a_refused_call_goes_to_another_peer() -> None:
    calls, peers = calls_with(2)
    channel = call()
    assert calls.start(channel, 0.0) is peers[0]
    calls.remove(peers[0])
    channel.refuse(LostRemote("gone"))
    assert calls.retry(channel, 1.0)
    assert calls.start(channel, 1.0) is peers[1]
    assert sent(peers[1])


def test_a_refused_call_waits_for_another_peer_that_is_busy() -> None:
    calls, peers = calls_with(2)
    channel = call()
    calls.start(channel, 0.0)
    calls.remove(peers[0])
    peers[1].writable = False
    channel.refuse(LostRemote("gone"))
    assert calls.retry(channel, 1.0)
    assert calls.start(channel, 1.0) is None
    assert calls.next_wake == channel.deadline


@pytest.mark.parametrize(("others", "now"), [(0, 1.0), (1, 31.0)], ids=["nobody else", "too late"])
def test_a_refused_call_has_failed(others: int, now: float) -> None:
    calls, peers = calls_with(1 + others)
    channel = call(timeout=30)
    calls.start(channel, 0.0)
    calls.remove(peers[0])
    channel.refuse(error := LostRemote("gone"))
    assert not calls.retry(channel, now)
    assert (channel.state, channel.error, channel.answered) == (ClientState.DONE, error, True)


def test_a_call_that_is_meant_for_one_peer_goes_to_no_other() -> None:
    calls, peers = calls_with(2)
    channel = call()
    peers[1].writable = False
    calls.start_at(peers[1], channel, 0.0)
    assert sent(peers[1])
    calls.remove(peers[1])
    channel.refuse(error := LostRemote("gone"))
    assert not calls.retry(channel, 1.0)
    assert (channel.state, channel.error) == (ClientState.DONE, error)


def test_a_call_that_is_meant_for_a_peer_which_is_gone_fails() -> None:
    calls, peers = calls_with(2)
    channel = call()
    calls.remove(peers[1])
    calls.start_at(peers[1], channel, 0.0)
    assert calls.take_side_effects() == ([], [channel])
    assert isinstance(channel.error, LostRemote)
    assert channel.error.ran is False
    assert not sent(peers[1])


def test_calls_are_spread_evenly() -> None:
    calls, peers = calls_with(3)
    for _ in range(9):
        calls.start(call(), 0.0)
    assert [len(one.channels) for one in peers] == [3, 3, 3]


def test_a_peer_with_fewer_open_calls_is_preferred() -> None:
    calls, peers = calls_with(2)
    slow = [call() for _ in range(4)]
    for channel in slow:
        calls.start(channel, 0.0)
    for channel in list(peers[1].channels.values()):
        channel.abandon()
    assert [calls.start(call(), 0.0) for _ in range(2)] == [peers[1], peers[1]]


def test_idle_peers_take_turns() -> None:
    calls, peers = calls_with(3)
    taken = []
    for _ in range(6):
        channel = call()
        taken.append(calls.start(channel, 0.0))
        channel.abandon()
    assert taken == peers * 2


def test_of_many_peers_the_better_one_of_two_is_taken() -> None:
    """Calls that never end: all peers have about as many; one choice at random would give one of them 19."""
    calls, peers = calls_with(64)
    for _ in range(64 * 8):
        calls.start(call(), 0.0)
    counts = [len(one.channels) for one in peers]
    assert sum(counts) == 64 * 8
    assert min(counts) >= 5
    assert max(counts) <= 10


def test_clients_draw_differently() -> None:
    def order(seed: int) -> list[int]:
        calls, peers = Calls(seed), [peer() for _ in range(20)]
        for one in peers:
            calls.add(one)
        return [peers.index(taken) for _ in range(20) if (taken := calls.start(call(), 0.0))]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_of_many_peers_one_that_takes_data_is_found() -> None:
    calls, peers = calls_with(64)
    for one in peers[1:]:
        one.writable = False
    assert [calls.start(call(), 0.0) for _ in range(10)] == [peers[0]] * 10


@pytest.mark.parametrize("count", [1, 2])
def test_a_peer_that_takes_no_more_data_gets_no_more_calls(count: int) -> None:
    calls, peers = calls_with(count)
    peers[0].writable = False
    taken = calls.start(call(), 0.0)
    assert taken is (peers[1] if count == 2 else None)
    for one in peers:
        one.writable = False
    channel = call()
    assert calls.start(channel, 0.0) is None
    assert calls.assign(0.0) == []
    peers[0].writable = True
    assert peers[0] in calls.assign(0.0)
    assert channel.state is ClientState.SENT


def test_a_server_that_says_at_once_that_it_shuts_down_gets_no_calls() -> None:
    calls, channels = Calls(), [call() for _ in range(4)]
    for channel in channels:
        calls.start(channel, 0.0)
    goes, stays = peer(), peer()
    goes.goes_away = True
    calls.add(goes)
    assert calls.assign(0.0) == []
    calls.add(stays)
    assert calls.assign(0.0) == [stays] * 4


def test_a_peer_that_is_gone_gets_no_calls_and_may_be_told_twice() -> None:
    calls, peers = calls_with(2)
    for _ in range(2):
        calls.remove(peers[0])
    assert [calls.start(call(), 0.0) for _ in range(2)] == [peers[1], peers[1]]


def test_waiting_calls_go_out_in_order_when_a_peer_comes() -> None:
    calls, channels = Calls(), [call(str(number)) for number in range(3)]
    for channel in channels:
        assert calls.start(channel, 0.0) is None
        assert channel.state is ClientState.WAITING
    assert calls.assign(1.0) == []
    channels[1].abandon()
    one = peer()
    calls.add(one)
    assert calls.assign(1.0) == [one, one]
    assert [channel.method for channel in one.channels.values()] == ["0", "2"]
    assert not calls.waiting


def test_a_call_that_waits_in_vain_says_what_was_tried() -> None:
    calls = Calls()
    late, later, never = call(timeout=2), call(timeout=5), call(timeout=None)
    for channel in (later, late, never):
        calls.start(channel, 0.0)
    assert calls.next_wake == 2
    assert calls.sweep(1.9, ": ") == []
    assert calls.sweep(2.0, ": nobody listens") == [late]
    assert isinstance(late.error, TimeoutExpired)
    assert str(late.error) == "timeout after 2s, when calling remote method echo: nobody listens"
    assert late.timeout == 2
    assert calls.next_wake == 5
    assert calls.sweep(5.0, "") == [later]
    assert calls.next_wake is None
    assert list(calls.waiting) == [never]


def test_a_call_with_no_deadline_wakes_nobody() -> None:
    calls = Calls()
    calls.start(call(timeout=None), 0.0)
    assert calls.next_wake is None


def test_a_later_deadline_changes_nothing() -> None:
    calls = Calls()
    calls.start(call(timeout=2), 0.0)
    calls.start(call(timeout=5), 0.0)
    assert calls.next_wake == 2


def test_a_call_given_up_while_it_waits_is_not_late() -> None:
    calls, channel = Calls(), call(timeout=2)
    calls.start(channel, 0.0)
    channel.abandon()
    assert calls.sweep(3.0, "") == []
    assert not calls.waiting


def test_closing_ends_every_call_that_waits() -> None:
    calls, channels = Calls(), [call(), call(), call()]
    for channel in channels:
        calls.start(channel, 0.0)
    channels[1].abandon()
    error = Closed("the client was closed")
    assert calls.close(error) == [channels[0], channels[2]]
    assert channels[0].error is error
    assert not calls.waiting


def test_calls_given_up_are_forgotten_though_no_peer_ever_comes() -> None:
    calls = Calls()
    kept: list[Any] = [call(timeout=None)]
    calls.start(kept[0], 0.0)
    for number in range(2000):
        channel = call(timeout=None)
        calls.start(channel, 0.0)
        if number % 100:
            channel.abandon()
        else:
            kept.append(channel)
    assert len(calls.waiting) < 100
    assert [channel for channel in calls.waiting if channel.state is ClientState.WAITING] == kept


def test_many_deadlines_make_few_sweeps() -> None:
    calls = Calls()
    for number in range(20_000):
        calls.start(call(timeout=1 + number / 20_000), 0.0)
    sweeps = ended = 0
    while calls.next_wake is not None:
        ended += len(calls.sweep(calls.next_wake, ""))
        sweeps += 1
    assert ended == 20_000
    assert sweeps < 100


def test_calls_that_no_server_will_ever_take_end_unless_there_is_one() -> None:
    calls, peers = calls_with(1)
    peers[0].writable = False
    first, given_up, second = call(), call(), call()
    for channel in (first, given_up, second):
        calls.start(channel, 0.0)
    given_up.abandon(None)
    why = HandshakeFailed("tcp://host:1: the peer refused the connection: no")
    why.endpoint = "tcp://host:1"
    assert calls.refuse(why) == []
    calls.remove(peers[0])
    assert calls.refuse(why) == [first, second]
    assert not calls.waiting
    for channel in (first, second):
        assert isinstance(channel.error, HandshakeFailed)
        assert str(channel.error) == f"calling remote method {channel.method}: {why}"
        assert (channel.error.endpoint, channel.error.ran) == ("tcp://host:1", False)
    assert first.error is not second.error
