"""Peer: who is alive, who is lost and when, who is late. All of it under a fake clock."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.protocol.pairs import HEARTBEAT, Clock, Pair, Stranger, call, item, new_ids, old_client, old_server, reply
from tests.zmtp.links import commands, encoded, handshake, octets
from zerorpc.errors import LostRemote, ProtocolError, TimeoutExpired
from zerorpc.protocol.channel import ClientChannel, ClientState
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import encode
from zerorpc.protocol.peer import News
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.mechanisms import Credentials, Null

_EVENT = encode({"message_id": b"%032d" % 1, "v": 3}, "echo", ["hello"])
LONE_REQUEST = b"\x01\0\0" + bytes([len(_EVENT)]) + _EVENT
LONG_REQUEST = encoded([b"", bytes(100_000)])
PING, PONG = Command(b"PING", b"\0\0"), Command(b"PONG", b"")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(client: ClientPeer, server: Stranger, timeout: float | None = None) -> tuple[ClientChannel, dict[str, Any]]:
    """A call that an old server has taken, and the header of its replies."""
    channel = call("sleep", timeout=timeout, now=server.clock.now)
    client.open(channel, server.clock.now)
    ((header, _, _),) = server.events()
    return channel, {"message_id": b"x", "v": 3, "response_to": header["message_id"]}


def requested(client: Stranger, **header: Any) -> tuple[ServerChannel, dict[str, Any]]:
    """A request of an old client, and the header of what follows it."""
    (channel,) = client.send({"message_id": b"id", "v": 3, **header}, "sleep", [])
    return channel, {"message_id": b"x", "v": 3, "response_to": b"id"}


def beats(peer: ClientPeer | ServerPeer, stranger: Stranger, seconds: int) -> list[int]:
    """The seconds after which heartbeats came."""
    start, came = stranger.clock.now, []

    def look() -> None:
        for _, name, args in stranger.events():
            assert (name, args) == ("_zpc_hb", [0])
            came.append(round(stranger.clock.now - start))

    stranger.clock.advance(seconds, peer, between=look)
    return came


# Heartbeats of each channel, towards older peers


def test_a_client_beats_on_time_until_the_reply(clock: Clock) -> None:
    client, server = old_server(clock)
    channel, header = opened(client, server)
    assert beats(client, server, 12) == [5, 10]
    server.send(header, "OK", [1])
    assert channel.reply is not None
    assert beats(client, server, 100) == []


def test_a_server_beats_on_time_until_its_reply(clock: Clock) -> None:
    server, client = old_client(clock)
    channel, _ = requested(client)
    assert beats(server, client, 12) == [5, 10]
    reply(channel, 1)
    assert client.names() == ["OK"]
    assert beats(server, client, 100) == []


def test_heartbeats_belong_to_their_channel(clock: Clock) -> None:
    server, client = old_client(clock)
    requested(client)
    clock.advance(2, server)
    client.send({"message_id": "other", "v": 3}, "sleep", [])
    clock.advance(8, server)
    assert [header["response_to"] for header, _, _ in client.events()] == [b"id", "other", b"id"]


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_silent_peer_is_lost_after_three_periods(clock: Clock, side: str) -> None:
    if side == "client":
        peer, stranger = old_server(clock)
        channel, _ = opened(peer, stranger)
    else:
        peer, stranger = old_client(clock)
        channel, _ = requested(stranger)
    start = clock.now
    assert clock.advance(14.9, peer) == []
    assert clock.advance(100, peer) == [channel]
    assert isinstance(channel.error, LostRemote)
    assert str(channel.error) == "Lost remote after 15s heartbeat"
    assert peer.error is None
    assert not peer.channels
    assert clock.now - start > 15
    reply_or_nothing = stranger.names()
    assert set(reply_or_nothing) == {"_zpc_hb"}


@pytest.mark.parametrize(("name", "args"), [("_zpc_hb", [0]), ("_zpc_more", [5]), ("STREAM", 1)])
def test_any_event_of_a_channel_is_a_sign_of_life(clock: Clock, name: str, args: Any) -> None:
    """The old ones count heartbeats only."""
    client, old = old_server(clock)
    channel, header = opened(client, old)
    for _ in range(10):
        assert clock.advance(14, client) == []
        old.send(header, name, args)
    assert clock.advance(16, client) == [channel]
    server, old_one = old_client(clock)
    request, header = requested(old_one)
    for _ in range(10):
        assert clock.advance(14, server) == []
        old_one.send(header, name, args)
    assert clock.advance(16, server) == [request]


def test_another_channels_events_are_none(clock: Clock) -> None:
    client, server = old_server(clock)
    lost, _ = opened(client, server)
    alive, header = opened(client, server)
    for _ in range(3):
        clock.advance(4, client)
        server.send(header, "_zpc_hb", [0])
    assert clock.advance(4, client) == [lost]
    assert alive.error is None


def test_a_passive_client_waits_for_the_servers_first_heartbeat(clock: Clock) -> None:
    client, server = old_server(clock, passive=True)
    channel, header = opened(client, server)
    assert beats(client, server, 100) == []
    server.send(header, "_zpc_hb", [0])
    assert beats(client, server, 12) == [0, 5, 10]
    assert clock.advance(10, client) == [channel]


def test_a_passive_client_is_late_all_the_same(clock: Clock) -> None:
    client, server = old_server(clock, passive=True)
    channel, _ = opened(client, server, timeout=30)
    assert clock.advance(31, client) == [channel]
    assert isinstance(channel.error, TimeoutExpired)


@pytest.mark.parametrize("version", [1, "no version at all"])
def test_towards_version_1_the_servers_heartbeat_is_passive(clock: Clock, version: Any) -> None:
    server, client = old_client(clock)
    channel, header = requested(client, v=version)
    assert beats(server, client, 100) == []
    client.send(header, "_zpc_hb", [0])
    assert beats(server, client, 12) == [0, 5, 10]
    assert clock.advance(10, server) == [channel]


def test_towards_version_2_it_is_not(clock: Clock) -> None:
    server, client = old_client(clock)
    requested(client, v=2)
    assert beats(server, client, 12) == [5, 10]


@pytest.mark.parametrize("passive", [False, True])
def test_without_a_heartbeat_a_client_never_beats_nor_loses(clock: Clock, passive: bool) -> None:
    client, server = old_server(clock, heartbeat=None, passive=passive)
    _, header = opened(client, server)
    server.send(header, "_zpc_hb", [0])
    assert beats(client, server, 1000) == []
    assert len(client.channels) == 1


def test_without_a_heartbeat_a_server_never_beats_nor_loses(clock: Clock) -> None:
    server, client = old_client(clock, heartbeat=None)
    _, header = requested(client)
    client.send(header, "_zpc_hb", [0])
    assert beats(server, client, 1000) == []
    assert len(server.channels) == 1


def test_a_req_socket_gets_no_heartbeat_it_would_take_it_for_the_reply(clock: Clock) -> None:
    server, client = old_client(clock, kind=SocketType.REQ)
    channel, header = requested(client)
    client.send(header, "_zpc_hb", [0])
    assert beats(server, client, 1000) == []
    reply(channel, 1)
    assert client.names() == ["OK"]


def test_a_stream_that_nobody_reads_lives_on_as_long_as_both_beat(clock: Clock) -> None:
    client, server = old_server(clock)
    channel, header = opened(client, server, timeout=10)
    server.send(header, "STREAM", 1)
    for _ in range(20):
        assert clock.advance(5, client) == []
        server.send(header, "_zpc_hb", [0])
    assert channel.state is ClientState.STREAMING


# One PING for all channels, between ours


def test_a_quiet_connection_without_calls_is_left_alone() -> None:
    pair = Pair()
    pair.advance(1000)
    assert (pair.client.next_wake, pair.server.next_wake) == (None, None)
    assert (pair.client.error, pair.server.error) == (None, None)
    pair.clock.now += 10_000
    channel, there = pair.call()
    reply(there, 1)
    pair.exchange()
    assert channel.reply is not None


def test_a_long_call_is_kept_alive_by_pings_and_no_heartbeats_are_sent() -> None:
    pair = Pair()
    channel, there = pair.call(timeout=None)
    pair.clock.advance(5.5, pair.client, pair.server)
    assert commands(pair.client.connection) == [PING]
    assert commands(pair.server.connection) == [PING]
    pair = Pair()
    channel, there = pair.call(timeout=None)
    assert pair.advance(1000) == []
    reply(there, 1)
    pair.exchange()
    assert channel.reply is not None


def test_a_long_call_after_a_long_silence_is_not_lost() -> None:
    """Silence counts from when something was asked, not from the last call's reply."""
    pair = Pair()
    for _ in range(3):
        pair.advance(3600)
        channel, there = pair.call(timeout=None)
        assert pair.advance(60) == []
        assert (pair.client.error, pair.server.error) == (None, None)
        reply(there, 1)
        pair.exchange()
        assert channel.reply is not None


@pytest.mark.parametrize("quiet_before", [0, 3600])
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_peer_that_answers_no_ping_is_lost_after_two_periods(side: str, quiet_before: int) -> None:
    pair = Pair()
    pair.advance(quiet_before)
    pair.call(timeout=None)
    peer = pair.client if side == "client" else pair.server
    start = pair.clock.now
    pair.clock.advance(9.9, peer)
    assert peer.error is None
    assert commands(peer.connection) == [PING]
    pair.clock.advance(100, peer)
    assert isinstance(peer.error, LostRemote)
    assert str(peer.error) == "Lost remote after 10s heartbeat"
    assert pair.clock.now - start == pytest.approx(10, abs=0.1)


def test_one_ping_a_period_serves_all_calls() -> None:
    pair = Pair()
    for _ in range(10):
        pair.call(timeout=None)
    for _ in range(5):
        pair.clock.advance(5, pair.client)
        assert commands(pair.client.connection) == [PING]
        pair.client.receive_data(PONG.encode(), pair.clock.now)


def test_a_ping_that_was_answered_spares_our_own() -> None:
    pair = Pair()
    pair.call(timeout=None)
    for _ in range(10):
        pair.clock.advance(4, pair.client)
        pair.client.receive_data(PING.encode(), pair.clock.now)
        assert commands(pair.client.connection) == [PONG]


def test_who_reads_a_stream_without_a_word_says_that_it_is_there() -> None:
    """The server's PINGs may have to wait behind all that it sends, and their answers come too late."""
    pair = Pair()
    _, there = pair.call(timeout=None)
    there.add_credit(1000)
    pings = 0
    for number in range(20):
        pair.clock.advance(4, pair.client)
        pings += commands(pair.client.connection).count(PING)
        item(there, number)
        pair.client.receive_data(octets(pair.server.connection), pair.clock.now)
    assert pings == 16


def test_who_takes_a_long_request_says_so_too() -> None:
    pair = Pair()
    _, there = pair.call(timeout=None)
    pair.client.open(call("echo", "x" * 100_000, now=pair.clock.now), pair.clock.now)
    request = octets(pair.client.connection)
    pair.server.receive_data(request[:50_000], pair.clock.now)
    reply(there, 1)
    octets(pair.server.connection)
    pair.clock.advance(5.5, pair.server)
    assert commands(pair.server.connection) == [PING]


@pytest.mark.parametrize(
    "half", [LONE_REQUEST[:-1], b"\x01\0\x02", LONG_REQUEST[:50_000]], ids=["short", "no size yet", "long"]
)
def test_who_stops_in_mid_request_is_asked_and_given_up_though_no_call_is_open(half: bytes) -> None:
    pair = Pair()
    pair.advance(3600)
    pair.server.receive_data(half, pair.clock.now)
    start = pair.clock.now
    pair.clock.advance(9.9, pair.server)
    assert pair.server.error is None
    assert commands(pair.server.connection) == [PING]
    pair.clock.advance(100, pair.server)
    assert isinstance(pair.server.error, LostRemote)
    assert pair.clock.now - start == pytest.approx(10, abs=0.1)


def test_a_request_in_two_chunks_is_soon_forgotten() -> None:
    pair = Pair()
    pair.advance(3600)
    pair.server.receive_data(LONE_REQUEST[:-1], pair.clock.now)
    (there,) = pair.server.receive_data(LONE_REQUEST[-1:], pair.clock.now)
    reply(there, 1)
    octets(pair.server.connection)
    pair.clock.advance(100, pair.server)
    assert (pair.server.error, pair.server.next_wake) == (None, None)
    assert commands(pair.server.connection) == []


def test_without_a_heartbeat_nobody_pings() -> None:
    pair = Pair(heartbeat=None)
    pair.call(timeout=None)
    pair.server.receive_data(LONG_REQUEST[:50_000], pair.clock.now)
    pair.clock.advance(1000, pair.client, pair.server)
    assert pair.client.take_output() == pair.server.take_output() == []
    assert (pair.client.error, pair.server.error) == (None, None)


def test_one_side_without_a_heartbeat_still_answers() -> None:
    pair = Pair()
    pair.server.heartbeat = None
    pair.call(timeout=None)
    assert pair.advance(100) == []
    assert pair.client.error is None


def test_a_peer_with_unsent_replies_is_watched_even_without_calls() -> None:
    pair = Pair()
    _, there = pair.call(timeout=None)
    reply(there, "x" * 1000)
    pair.server.writable = False
    pair.clock.advance(100, pair.server)
    assert isinstance(pair.server.error, LostRemote)


def test_a_heartbeat_of_one_of_ours_is_no_mistake() -> None:
    """Ours send none to ours, but a later version might."""
    pair = Pair()
    channel, there = pair.call(timeout=None)
    pair.client.emit(channel, "_zpc_hb", [0])
    there.peer.send_event(there, b"\x93\x81\xabresponse_to\xc4\x20" + channel.message_id + b"\xa7_zpc_hb\x91\x00")
    assert pair.exchange() == ([], [])
    assert pair.advance(60) == []
    assert not channel.answered


# Signs of life and of our own absence


def test_taking_data_is_a_sign_of_life_though_no_answer_comes() -> None:
    pair = Pair()
    _, there = pair.call(timeout=None)
    server, clock = pair.server, pair.clock
    unsent = 100_000_000
    server.progress(-unsent, unsent, clock.now)
    for _ in range(20):
        clock.advance(4.9, server)
        unsent -= 1000
        server.progress(-unsent, unsent, clock.now)
    assert server.error is None
    assert not there.closed
    for _ in range(3):
        clock.advance(4.9, server)
        server.progress(-unsent, unsent, clock.now)
    assert isinstance(server.error, LostRemote)


def test_taking_counts_although_more_comes_to_wait() -> None:
    pair = Pair()
    pair.call(timeout=None)
    server, clock = pair.server, pair.clock
    server.progress(0, 1_000_000, clock.now)
    for taken in range(1000, 100_000, 1000):
        clock.advance(4.9, server)
        server.progress(taken, 1_000_000 + taken, clock.now)
    assert server.error is None


def test_a_system_that_takes_octets_for_a_process_that_hangs_is_no_life() -> None:
    """Once our question has come through, only an answer counts."""
    pair = Pair()
    pair.call(timeout=None)
    server, clock = pair.server, pair.clock
    start = clock.now
    server.progress(0, 1000, clock.now)
    for taken in range(500, 100_000, 500):
        clock.advance(1, server)
        server.progress(taken, 1000, clock.now)
        if server.error is not None:
            break
    assert isinstance(server.error, LostRemote)
    assert clock.now - start < 17


def test_an_answer_has_time_when_all_before_the_question_gets_through_at_once() -> None:
    """A request takes the link just under two heartbeats; the answer to our question comes right after it."""
    pair = Pair()
    clock, client = pair.clock, pair.client
    client.open(call("echo", "x" * 1_000_000, now=clock.now), clock.now)
    octets(client.connection)
    for taken, unsent in ((500_000, 500_000), (1_000_000, 0)):
        clock.now += 5
        client.progress(taken, unsent, clock.now)
        client.sweep(clock.now)
        assert client.error is None
    assert commands(client.connection).count(PING) == 2
    client.receive_data(PONG.encode(), clock.now)
    assert clock.advance(4.9, client) == []
    assert client.error is None


def test_a_process_that_hangs_is_found_one_heartbeat_later_if_its_system_takes_the_question() -> None:
    """Three after its last word, for we know only to a heartbeat when the question came through."""
    pair = Pair()
    clock, client = pair.clock, pair.client
    client.open(call("echo", "x" * 1_000_000, now=clock.now), clock.now)
    start, taken = clock.now, iter((1, *range(1_000_000, 10_000_000, 100_000)))
    while client.error is None:
        assert client.next_wake is not None
        clock.now = client.next_wake
        client.progress(next(taken), 100_000, clock.now)
        client.sweep(clock.now)
    assert isinstance(client.error, LostRemote)
    assert clock.now - start == pytest.approx(15, abs=0.1)


def test_a_question_that_nothing_kept_waiting_has_no_such_delay() -> None:
    pair = Pair()
    clock, client = pair.clock, pair.client
    client.open(call("echo", now=clock.now), clock.now)
    start, taken = clock.now, 0
    while client.error is None:
        assert client.next_wake is not None
        clock.now = client.next_wake
        taken += 100
        client.progress(taken, 0, clock.now)
        client.sweep(clock.now)
    assert clock.now - start == pytest.approx(10, abs=0.1)


def test_while_we_do_not_listen_taking_is_all_that_shows_life() -> None:
    pair = Pair()
    pair.call(timeout=None)
    server, clock = pair.server, pair.clock
    server.writable = False
    server.progress(0, 2_000_000, clock.now)
    for taken in range(100_000, 1_900_000, 100_000):
        clock.advance(4.9, server)
        server.progress(taken, 0, clock.now)
    assert server.error is None
    clock.advance(16, server)
    assert isinstance(server.error, LostRemote)


def test_a_peer_that_vanished_with_our_last_reply_is_lost_too() -> None:
    pair = Pair()
    _, there = pair.call(timeout=None)
    reply(there, 1)
    assert octets(pair.server.connection)
    start = pair.clock.now
    pair.server.progress(0, 100, pair.clock.now)
    pair.clock.advance(100, pair.server)
    assert isinstance(pair.server.error, LostRemote)
    assert pair.clock.now - start == pytest.approx(10, abs=0.1)


def test_taking_data_counts_for_old_peers_channels_too(clock: Clock) -> None:
    server, client = old_client(clock)
    channel, _ = requested(client)
    unsent = 1_000_000
    for _ in range(20):
        assert clock.advance(14, server) == []
        server.progress(-unsent, unsent, clock.now)
        unsent -= 1000
        server.progress(-unsent, unsent, clock.now)
    assert clock.advance(16, server) == [channel]


@pytest.mark.parametrize("away", [0.3, 2, 6, 60, 100_000])
@pytest.mark.parametrize("when", [0, 1, 4.9, 5.1, 7, 9.9])
def test_time_in_which_we_were_not_run_is_not_the_peers_silence(when: float, away: float) -> None:
    """Stopped, or blocked by a slow handler; timers may fire before what waits to be read has been read."""
    pair = Pair()
    pair.call(timeout=None)
    pair.clock.advance(when, pair.client)
    pair.server.receive_data(octets(pair.client.connection), pair.clock.now)
    pair.clock.now += away
    pair.client.sweep(pair.clock.now)
    assert pair.client.error is None
    assert pair.exchange() == ([], [])
    assert pair.clock.advance(4.8, pair.client) == []
    assert pair.client.error is None


@pytest.mark.parametrize("away", [2, 6, 60, 100_000])
@pytest.mark.parametrize("when", [0, 4.9, 9.9, 14.9])
def test_nor_is_it_an_old_peers(clock: Clock, when: float, away: float) -> None:
    client, server = old_server(clock)
    _, header = opened(client, server)
    clock.advance(when, client)
    clock.now += away
    assert client.sweep(clock.now) == []
    server.send(header, "_zpc_hb", [0])
    assert clock.advance(14, client) == []


def test_after_an_absence_a_dead_peer_is_found_soon() -> None:
    """Silence is forgiven up to now and not into the future."""
    pair = Pair()
    pair.call(timeout=None)
    pair.clock.now += 1000
    pair.exchange()
    pair.client.receive_data(PONG.encode(), pair.clock.now)
    start = pair.clock.now
    pair.clock.advance(100, pair.client)
    assert isinstance(pair.client.error, LostRemote)
    assert pair.clock.now - start == pytest.approx(10, abs=0.3)


def test_a_loss_is_found_although_we_never_look_in_time() -> None:
    """As the keeper of a blocking client does: half a period late, at worst, every time."""
    pair = Pair()
    pair.call(timeout=None)
    start = pair.clock.now
    while pair.client.error is None:
        pair.clock.now += 2.45
        if pair.client.next_wake is not None and pair.clock.now >= pair.client.next_wake:
            pair.client.sweep(pair.clock.now)
        assert pair.clock.now - start < 25


# The handshake


def test_a_handshake_that_doesnt_end_is_given_up(clock: Clock) -> None:
    peer = ServerPeer(HEARTBEAT, new_ids())
    peer.opened(clock.now)
    clock.advance(29.9, peer)
    peer.receive_data(handshake()[:70], clock.now)
    assert peer.error is None
    clock.advance(0.2, peer)
    assert isinstance(peer.error, ProtocolError)
    assert str(peer.error) == "no ZMTP handshake within 30 s"


def test_a_handshake_that_ended_has_no_time_limit(clock: Clock) -> None:
    server, _ = old_client(clock)
    clock.advance(100, server)
    assert server.error is None
    assert server.next_wake is None


def test_a_handshake_isnt_late_because_we_were(clock: Clock) -> None:
    peer = ServerPeer(None, new_ids())
    peer.opened(clock.now)
    clock.now += 100
    peer.sweep(clock.now)
    assert peer.error is None
    clock.advance(40, peer)
    assert peer.error is not None


# A peer that announces when to give it up


def ping(ttl_tenths: int) -> bytes:
    return Command(b"PING", ttl_tenths.to_bytes(2, "big") + b"context").encode()


@pytest.mark.parametrize("heartbeat", [None, HEARTBEAT])
def test_a_peer_is_given_up_after_the_time_that_it_announced(clock: Clock, heartbeat: float | None) -> None:
    server, _ = old_client(clock, heartbeat)
    clock.advance(60, server)
    server.receive_data(ping(30), clock.now)
    assert commands(server.connection) == [Command(b"PONG", b"context")]
    for _ in range(5):
        clock.advance(2.9, server)
        assert server.error is None
        server.receive_data(ping(30), clock.now)
    start = clock.now
    clock.advance(100, server)
    assert isinstance(server.error, LostRemote)
    assert str(server.error) == "the peer sent nothing for the 3 s it had announced"
    assert clock.now - start == pytest.approx(3, abs=0.1)


def test_it_may_take_that_back(clock: Clock) -> None:
    server, _ = old_client(clock)
    server.receive_data(ping(30), clock.now)
    server.receive_data(ping(0), clock.now)
    clock.advance(100, server)
    assert server.error is None


def test_its_time_doesnt_run_while_we_dont(clock: Clock) -> None:
    server, _ = old_client(clock, heartbeat=None)
    server.receive_data(ping(10), clock.now)
    clock.now += 20
    server.sweep(clock.now)
    assert server.error is None


def test_pings_of_a_peer_that_reads_nothing_make_no_heap_of_answers(clock: Clock) -> None:
    client, _ = old_server(clock)
    client.writable = False
    for _ in range(1000):
        client.receive_data(ping(0), clock.now)
    assert client.take_output() == []
    client.writable = True
    opened_at = clock.now
    client.wake_by(opened_at)
    client.sweep(opened_at)
    assert commands(client.connection) == [Command(b"PONG", b"context")]


def test_an_answer_that_was_held_back_goes_out_when_the_peer_reads_again(clock: Clock) -> None:
    server, _ = old_client(clock)
    server.take_output()
    server.writable = False
    server.receive_data(ping(30), clock.now)
    assert commands(server.connection) == []
    server.take_again()
    assert server.writable
    assert commands(server.connection) == [Command(b"PONG", b"context")]


# A body that is put into its place


def test_what_is_put_into_its_place_is_received_and_a_sign_of_life(clock: Clock) -> None:
    pair = Pair(clock=clock)
    channel = call("echo", "x" * 1000, now=clock.now)
    pair.client.open(channel, clock.now)
    wire = b"".join(pair.client.take_output())
    assert pair.server.receive_data(wire[:500], clock.now) == []
    room = pair.server.connection.decoder.body_room()
    rest = wire[500:]
    room[: len(rest)] = rest
    clock.now += 1
    (request,) = pair.server.receive_data(b"", clock.now, len(rest))
    assert request.args == ["x" * 1000]
    assert pair.server.last_received == clock.now


# Deadlines


def test_a_call_without_a_reply_is_late_and_the_others_go_on() -> None:
    pair = Pair()
    calls = [pair.call(timeout=timeout)[0] for timeout in (20, 7, None, 7.5)]
    assert pair.advance(6.9) == []
    assert pair.advance(1) == [calls[1], calls[3]]
    assert isinstance(calls[1].error, TimeoutExpired)
    assert str(calls[1].error) == "timeout after 7s, when calling remote method echo"
    assert pair.advance(20) == [calls[0]]
    assert list(pair.client.channels.values()) == [calls[2]]
    assert len(pair.server.channels) == 1, "the server was told of the others"


def test_deadlines_need_no_heartbeat() -> None:
    pair = Pair(heartbeat=None)
    channel, _ = pair.call(timeout=2)
    start = pair.clock.now
    assert pair.advance(3) == [channel]
    assert pair.clock.now - start == 3


def test_a_deadline_is_for_the_first_reply_only() -> None:
    pair = Pair()
    channel, there = pair.call("count", timeout=2)
    item(there, 1)
    pair.exchange()
    assert pair.advance(100) == []
    assert channel.state is ClientState.STREAMING


def test_many_deadlines_make_few_sweeps() -> None:
    pair = Pair(heartbeat=None)
    now = pair.clock.now
    for number in range(20_000):
        pair.client.open(call(timeout=1 + number / 20_000, now=now), now)
    pair.client.take_output()
    sweeps, ended = 0, 0
    while pair.client.channels:
        assert pair.client.next_wake is not None
        pair.clock.now = pair.client.next_wake
        ended += len(pair.client.sweep(pair.clock.now))
        pair.client.take_output()
        sweeps += 1
    assert ended == 20_000
    assert sweeps < 100
    assert pair.clock.now < now + 2.1


# Bytes in


def test_a_lone_request_is_the_same_however_it_arrives() -> None:
    for cut in range(len(LONE_REQUEST) + 1):
        pair = Pair()
        touched = pair.server.receive_data(LONE_REQUEST[:cut], pair.clock.now) if cut else []
        touched += pair.server.receive_data(LONE_REQUEST[cut:], pair.clock.now)
        assert [(channel.name, channel.args) for channel in touched] == [("echo", ["hello"])], cut


def test_a_short_frame_amid_a_message_is_no_lone_message() -> None:
    """The octets of a lone message are in the middle of one with a routing frame."""
    pair = Pair()
    assert pair.server.receive_data(b"\x01\x02me", pair.clock.now) == []
    (channel,) = pair.server.receive_data(LONE_REQUEST, pair.clock.now)
    assert channel.routing == (b"me",)


def test_what_looks_like_a_lone_message_inside_of_a_body_is_none() -> None:
    """A body arrives in a chunk of its own, and begins like a message: it must not be taken for one."""
    pair = Pair()
    first, second = (b"\x01\0\x02" + (300).to_bytes(8, "big"), b"y" * 300), LONE_REQUEST.ljust(300, b"y")
    head, body = first
    for chunk in (head + body[:100], body[100:] + head, LONE_REQUEST, second[len(LONE_REQUEST) :]):
        assert pair.server.receive_data(chunk, pair.clock.now) == []
    assert pair.server.error is None


def test_a_tap_sees_lone_messages_too() -> None:
    seen = []
    pair = Pair()
    pair.server.tap = lambda direction, data: seen.append((direction, bytes(data)))
    pair.server.receive_data(LONE_REQUEST, pair.clock.now)
    assert seen == [("<--", LONE_REQUEST[4:])]


def test_a_ping_with_an_error_behind_it_isnt_answered() -> None:
    pair = Pair()
    pair.server.receive_data(PING.encode() + b"\xf0\x00", pair.clock.now)
    assert isinstance(pair.server.error, ProtocolError)
    assert pair.server.take_output() == []


def test_after_a_protocol_error_nothing_is_heard() -> None:
    pair = Pair()
    pair.server.receive_data(b"\xf0\x00", pair.clock.now)
    assert isinstance(pair.server.error, ProtocolError)
    assert pair.server.receive_data(LONE_REQUEST, pair.clock.now) == []


# Who it is


def asking(socket_type: SocketType = SocketType.ROUTER) -> ServerPeer:
    """A server's peer that is to be decided about, after the client's part of the handshake."""
    peer = ServerPeer(HEARTBEAT, new_ids(), mechanism=functools.partial(Null, asks=True))
    peer.opened(0.0)
    peer.receive_data(handshake("DEALER", **{"X-Zerorpc": b"1"}), 1.0)
    assert peer.take_news() == (News.ASKS,)
    assert octets(peer.connection)[64:] == b""  # the greeting only
    assert not peer.ready
    return peer


def test_a_peer_that_is_admitted_is_ready() -> None:
    peer = asking()
    assert peer.connection.credentials == Credentials("NULL")
    peer.admit(5.0)
    assert peer.take_news() == (News.READY,)
    assert (peer.ready, peer.level) == (True, 1)
    assert commands(peer.connection)[0].name == b"READY"
    peer.refuse("too late", 6.0)
    peer.admit(7.0)
    assert peer.take_news() == ()


def test_a_peer_that_is_refused_is_told_and_its_connection_ends() -> None:
    peer = asking()
    peer.refuse("nobody knows you", 5.0)
    assert peer.take_news() == (News.BROKEN,)
    assert str(peer.error) == "refused: nobody knows you"
    assert commands(peer.connection) == [Command.error("nobody knows you")]
    peer.admit(6.0)
    assert not peer.ready


def test_who_sends_while_it_is_decided_about_is_lost() -> None:
    peer = asking()
    assert peer.receive_data(LONE_REQUEST, 2.0) == []
    assert peer.take_news() == (News.BROKEN,)
    peer.admit(3.0)
    assert peer.take_news() == ()


def test_a_decision_that_never_comes_ends_with_the_handshakes_time() -> None:
    peer = asking()
    assert peer.next_wake is not None
    peer.sweep(peer.next_wake)
    assert peer.take_news() == (News.BROKEN,)
    assert "no ZMTP handshake within" in str(peer.error)


def test_two_of_ours_leave_out_what_costs_and_says_nothing(clock: Clock) -> None:
    pair = Pair()
    assert pair.client.connection._mechanism.leaves_out_delimiters
    assert pair.server.connection._mechanism.leaves_out_delimiters
    for ours, _ in (old_client(clock), old_server(clock)):
        assert not ours.connection._mechanism.leaves_out_delimiters
