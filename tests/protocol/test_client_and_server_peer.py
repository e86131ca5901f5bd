"""Peers: how requests and replies find their channels, and that nothing a peer sends can make us raise.

Whether a peer is alive is the matter of test_peer.py.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.protocol.pairs import (
    HEARTBEAT,
    Clock,
    Pair,
    Stranger,
    call,
    end,
    item,
    new_ids,
    old_client,
    old_server,
    pack,
)
from tests.protocol.pairs import reply as answer
from tests.protocol.test_events import EXACT_IDS, values
from tests.zmtp.links import encoded, handshake, octets
from zerorpc.errors import LostRemote, ProtocolError, TimeoutExpired
from zerorpc.protocol.channel import ClientChannel, ClientState
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import decode, encode, encode_ok
from zerorpc.protocol.peer import News, Peer
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.protocol.terms import Terms
from zerorpc.zmtp import Limits, SocketType


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ask(stranger: Stranger, message_id: Any = b"id", routing: tuple[bytes, ...] = ()) -> ServerChannel:
    (channel,) = stranger.send({"message_id": message_id, "v": 3}, "echo", [1], routing=routing)
    assert isinstance(channel, ServerChannel)
    return channel


# What two of ours say


def test_a_request_as_it_travels(clock: Clock) -> None:
    client, server = old_server(clock)
    client.open(call("add", 1, 2, now=clock.now), clock.now)
    ((header, name, args),) = server.events()
    assert (header["v"], name, args) == (3, "add", [1, 2])
    assert isinstance(header["message_id"], bytes)
    assert len(header["message_id"]) == 32
    assert header.keys() == {"message_id", "v"}


def test_a_reply_as_it_travels(clock: Clock) -> None:
    server, client = old_client(clock)
    answer(ask(client, "a str"), 5)
    ((header, name, args),) = client.events()
    assert (header["v"], header["response_to"], name, args) == (3, "a str", "OK", [5])
    assert len(header["message_id"]) == 32
    assert not server.channels


def test_many_calls_at_once_each_get_their_own_reply() -> None:
    pair = Pair()
    calls = [pair.call("echo", number) for number in range(20)]
    for _, there in reversed(calls):
        answer(there, there.args[0])
    touched, _ = pair.exchange()
    assert touched == [channel for channel, _ in reversed(calls)]
    assert [channel.reply.args for channel, _ in calls] == [[number] for number in range(20)]


def test_ours_know_each_other_and_strangers_are_strangers(clock: Clock) -> None:
    pair = Pair()
    assert (pair.client.level, pair.server.level) == (1, 1)
    assert old_server(clock)[0].level == 0
    assert old_client(clock)[0].level == 0


@pytest.mark.parametrize("ran", [True, False, None])
def test_an_error_that_comes_when_the_time_is_over_is_a_timeout(ran: bool | None) -> None:
    """Whichever comes first, it or the sweep: a method's own calls end at the same time as the one that it answers."""
    pair = Pair()
    channel, there = pair.call("nested", timeout=2)
    pair.clock.now += 2  # and no sweep
    header = {**there.peer.event_header(there), "_zpc_ran": ran}
    there.send(encode(header, "ERR", ["TimeoutExpired", "timeout after 1.99s", ""]), last=True)
    assert pair.exchange()[0] == [channel]
    assert channel.reply is None
    assert isinstance(channel.error, TimeoutExpired)
    assert (str(channel.error), channel.error.ran) == ("timeout after 2s, when calling remote method nested", ran)
    assert (channel.state, pair.client.channels) == (ClientState.DONE, {})


@pytest.mark.parametrize("name", ["TimeoutExpired", "TimeoutError"])
def test_so_is_one_a_little_before_that_tells_of_a_timeout(name: str) -> None:
    """A server that uses uvloop counts whole milliseconds, so that its time for the method may be over before ours."""
    pair = Pair()
    channel, there = pair.call("nested", timeout=2)
    pair.clock.now += 1.97
    there.send(encode(there.peer.event_header(there), "ERR", [name, "timeout after 1.969s", ""]), last=True)
    assert pair.exchange()[0] == [channel]
    assert (type(channel.error), str(channel.error)) == (
        TimeoutExpired,
        "timeout after 2s, when calling remote method nested",
    )


@pytest.mark.parametrize(
    ("after", "args"),
    [
        (1.9, ["TimeoutExpired", "timeout after 1s", ""]),  # the method's own
        (1.97, ["ValueError", "wrong", ""]),
        (1.97, ["timeout after 1.969s"]),  # the older protocol, without a name
        (1.97, []),
        (1.97, {}),
        (1.97, [["TimeoutExpired"]]),
    ],
)
def test_other_errors_before_the_time_is_over_are_the_methods(after: float, args: object) -> None:
    pair = Pair()
    channel, there = pair.call("nested", timeout=2)
    pair.clock.now += after
    there.send(encode(there.peer.event_header(there), "ERR", args), last=True)
    assert pair.exchange()[0] == [channel]
    assert channel.error is None
    assert channel.reply is not None
    assert channel.reply.args == args


@pytest.mark.parametrize("after", [1.97, 2.0])
def test_so_it_is_of_a_stream_after_its_items(after: float) -> None:
    pair = Pair()
    channel, there = pair.call("nested")
    channel.terms = Terms(stream_until=pair.clock.now + 2, limit=2)
    item(there, 1)
    pair.exchange()
    pair.clock.now += after
    end(there, "ERR", ["TimeoutExpired", "timeout after 1.99s", ""])
    there.add_credit(5)
    pair.exchange()
    assert channel.next_event()[0].args == 1
    with pytest.raises(TimeoutExpired, match="after 2s, when reading all of nested"):
        channel.next_event()


@pytest.mark.parametrize(
    "header", [{"_zpc_timeout": 0.0}, {"_zpc_timeout": -1}, {"_zpc_timeout": -1.5}, {"_zpc_call": {"deadline": 0}}]
)
def test_what_is_too_late_when_it_comes_is_not_begun(clock: Clock, header: dict[str, Any]) -> None:
    server, client = old_client(clock)
    assert client.send({"message_id": b"id", "v": 3, **header}, "echo", [1]) == []
    assert (client.events(), server.channels) == ([], {})
    answer(ask(client), 5)  # the id is free
    assert client.names() == ["OK"]


# Ids


@pytest.mark.parametrize("message_id", EXACT_IDS)
def test_the_id_comes_back_in_the_very_octets(clock: Clock, message_id: bytes) -> None:
    server, client = old_client(clock)
    header = b"\x82" + pack("message_id") + message_id + pack("v") + b"\x03"
    (channel,) = client.send_frames(b"", b"\x93" + header + pack("m") + b"\x90")
    further = b"\x83" + pack("message_id") + b"\x01" + pack("v") + b"\x03" + pack("response_to") + message_id
    client.send_frames(b"", b"\x93" + further + pack("_zpc_more") + b"\x91\x05")
    assert channel.room == 6
    answer(channel, 1)
    ((_, data),) = client.messages()
    assert pack("response_to") + message_id in data
    assert not server.channels


@pytest.mark.parametrize("header", [{}, {"v": 3}])
def test_a_request_without_an_id_cant_be_answered(clock: Clock, header: dict[str, Any]) -> None:
    server, client = old_client(clock)
    assert client.send(header, "echo", [1]) == []
    assert not server.channels


def test_a_nil_response_to_is_none_as_for_the_old_ones(clock: Clock) -> None:
    _, client = old_client(clock)
    (channel,) = client.send({"message_id": b"id", "v": 3, "response_to": None}, "echo", [1])
    answer(channel, 1)
    assert client.names() == ["OK"]


def test_an_id_that_is_in_use_makes_no_second_channel(clock: Clock) -> None:
    server, client = old_client(clock)
    channel = ask(client)
    assert client.send({"message_id": b"id", "v": 3}, "other", []) == []
    assert list(server.channels.values()) == [channel]
    assert channel.name == "echo"


def test_an_id_may_be_used_again_when_its_channel_is_done(clock: Clock) -> None:
    _, client = old_client(clock)
    for _ in range(2):
        answer(ask(client), 1)
    assert client.names() == ["OK", "OK"]


def test_text_and_octets_are_different_ids(clock: Clock) -> None:
    server, client = old_client(clock)
    assert ask(client, b"id") is not ask(client, "id")
    assert len(server.channels) == 2


# Routing


def test_a_message_without_a_delimiter_is_understood_and_answered_with_one(clock: Clock) -> None:
    _, client = old_client(clock)
    (channel,) = client.send_frames(pack([{"message_id": b"id", "v": 3}, "echo", []]))
    answer(channel, 1)
    assert client.names() == ["OK"]


@pytest.mark.parametrize("routing", [(b"a",), (b"a", b"b"), (b"x" * 300, b"\0"), (b"",), (b"", b"a")])
def test_a_reply_takes_the_way_back_through_all_brokers(clock: Clock, routing: tuple[bytes, ...]) -> None:
    server, client = old_client(clock)
    channel = ask(client, routing=routing)
    answer(channel, 1)
    ((*way, delimiter, _),) = client.messages()
    assert (tuple(way), delimiter) == (routing, b"")
    assert not server.channels


def test_routing_without_a_delimiter(clock: Clock) -> None:
    _, client = old_client(clock)
    (channel,) = client.send_frames(b"a", pack([{"message_id": b"id", "v": 3}, "echo", []]))
    answer(channel, 1)
    assert [message[:-1] for message in client.messages()] == [[b"a", b""]]


def test_one_client_behind_a_broker_cant_touch_anothers_channel(clock: Clock) -> None:
    server, client = old_client(clock)
    one, other = ask(client, routing=(b"one",)), ask(client, routing=(b"other",))
    direct = ask(client)
    assert len(server.channels) == 3
    client.send({"message_id": b"x", "v": 3, "response_to": b"id"}, "_zpc_more", [5], routing=(b"one",))
    assert [channel.room for channel in (one, other, direct)] == [6, 1, 1]


def test_two_connections_may_use_the_same_id(clock: Clock) -> None:
    (_, one), (_, other) = old_client(clock), old_client(clock)
    mine, theirs = ask(one), ask(other)
    one.send({"message_id": b"x", "v": 3, "response_to": b"id"}, "_zpc_more", [5])
    assert (mine.room, theirs.room) == (6, 1)


# Events that belong to nobody, or can't be read


def test_what_is_no_event_disturbs_nothing(clock: Clock) -> None:
    server, client = old_client(clock)
    channel = ask(client)
    for junk in (b"", b"junk", pack([]), pack([1, 2, 3])):
        assert client.send_frames(b"", junk) == []
    assert client.send({"message_id": b"x", "response_to": b"nobody"}, "_zpc_more", [5]) == []
    assert client.send({"message_id": b"x", "response_to": b"id"}, 5, [5]) == []
    assert client.send({"message_id": b"x", "response_to": b"id"}, "_zpc_later", [5]) == []
    answer(channel, 1)
    assert client.names() == ["OK"]
    assert server.error is None


@pytest.mark.parametrize(
    ("name", "args", "problem"),
    [
        (b"echo", b"\x90", "name is of type bytes"),
        ("echo", b"\x91\xa1\xff", "can't be decoded"),
        ("echo", b"", "trunc"),
    ],
)
def test_a_request_that_cant_be_read_can_be_answered(clock: Clock, name: Any, args: bytes, problem: str) -> None:
    _, client = old_client(clock)
    (channel,) = client.send_frames(b"", b"\x93" + pack({"message_id": 7, "v": 3}) + pack(name) + args)
    assert channel.name == "echo"
    assert problem in channel.problem
    end(channel, "ERR", ["TypeError", channel.problem, None])
    ((header, got, _),) = client.events()
    assert (header["response_to"], got) == (7, "ERR")


def test_a_reply_that_cant_be_read_ends_its_call_and_no_other(clock: Clock) -> None:
    client, server = old_server(clock)
    calls = [call("echo", now=clock.now) for _ in range(2)]
    for channel in calls:
        client.open(channel, clock.now)
    ids = [header["message_id"] for header, _, _ in server.events()]
    bad = b"\x93" + pack({"message_id": b"x", "v": 3, "response_to": ids[0]}) + pack("OK") + b"\x91\xa1\xff"
    assert server.send_frames(b"", bad) == [calls[0]]
    assert isinstance(calls[0].error, ProtocolError)
    assert "bad reply to echo: the arguments can't be decoded" in str(calls[0].error)
    assert calls[0].answered
    for junk in (b"junk", pack([{"message_id": b"x"}, "OK", [1]]), pack([{"response_to": b"nobody"}, "OK", [1]])):
        assert server.send_frames(b"", junk) == []
    assert server.send({"response_to": ids[1], "v": 3}, "OK", [1]) == [calls[1]]
    assert client.error is None


def test_credit_for_a_request_means_nothing(clock: Clock) -> None:
    """Node grants it with its first event."""
    client, server = old_server(clock)
    channel = call("echo", now=clock.now)
    client.open(channel, clock.now)
    ((header, _, _),) = server.events()
    assert server.send({"response_to": header["message_id"], "v": 3}, "_zpc_more", [100]) == []
    assert not channel.answered


def test_hooks_see_the_caller_as_the_shell_names_it() -> None:
    pair = Pair()
    _, there = pair.call()
    assert there.request_event().caller is None
    pair.server.name = "tcp://192.0.2.7:50123"
    assert there.request_event().caller == "tcp://192.0.2.7:50123"


# A server that shuts down


def test_a_stopping_server_tells_its_client_and_still_answers_what_it_has() -> None:
    pair = Pair()
    channel, there = pair.call()
    assert not pair.client.goes_away
    pair.server.send_goaway()
    assert pair.exchange() == ([], [])
    assert pair.client.goes_away
    assert not channel.answered
    answer(there, 1)
    assert pair.exchange() == ([channel], [])
    assert channel.reply.args == [1]


def test_old_clients_are_never_told(clock: Clock) -> None:
    server, client = old_client(clock)
    server.send_goaway()
    assert client.messages() == []


def test_only_servers_of_ours_are_believed(clock: Clock) -> None:
    goaway = {"message_id": b"x", "v": 3}
    client, server = old_server(clock)
    assert server.send(goaway, "_zpc_goaway", []) == []
    assert not client.goes_away
    client, server = old_server(clock, **{"X-Zerorpc": b"1"})
    assert server.send(goaway, "_zpc_later", []) == []
    assert not client.goes_away
    assert server.send(goaway, "_zpc_goaway", []) == []
    assert client.goes_away


def test_the_shell_is_told_once_that_a_server_goes_away() -> None:
    pair = Pair()
    assert pair.client.take_news() == (News.READY,)
    pair.server.send_goaway()
    pair.server.send_goaway()
    pair.exchange()
    assert pair.client.take_news() == (News.LEAVING,)
    assert pair.client.take_news() == ()


def test_a_client_that_has_heard_it_says_so_after_what_it_had_sent() -> None:
    pair = Pair()
    pair.server.take_news()
    channel = call(now=pair.clock.now)
    pair.client.open(channel, pair.clock.now)
    pair.server.send_goaway()
    _, (there,) = pair.exchange()
    assert there.name == "echo"
    assert pair.server.heard_goaway
    assert pair.server.take_news() == (News.LEAVING,)
    answer(there, 1)
    assert pair.exchange() == ([channel], [])


def test_a_program_whose_ids_fail_loses_no_call_when_its_server_leaves() -> None:
    pair = Pair()
    channel, there = pair.call()

    def fail() -> bytes:
        raise RuntimeError("no id")

    pair.client._new_id = fail
    pair.server.send_goaway()
    assert pair.exchange() == ([], [])
    assert pair.server.heard_goaway
    answer(there, 1)
    assert pair.exchange() == ([channel], [])


def test_an_id_of_a_request_as_well_is_no_matter(clock: Clock) -> None:
    server, client = old_client(clock, **{"X-Zerorpc": b"1"})
    (request,) = client.send({"message_id": 1, "v": 3}, "work", [])
    assert client.send({"v": 3, "response_to": 1}, "_zpc_goaway", []) == []
    assert server.heard_goaway
    assert not request.closed


def test_a_goaway_without_an_id_can_not_be_answered(clock: Clock) -> None:
    client, server = old_server(clock, **{"X-Zerorpc": b"1"})
    assert server.send({"v": 3}, "_zpc_goaway", []) == []
    assert client.goes_away
    assert server.events() == []


@pytest.mark.parametrize(("properties", "heard"), [({"X-Zerorpc": b"1"}, True), ({}, False)])
def test_only_clients_of_ours_have_heard_it(clock: Clock, properties: dict[str, bytes], heard: bool) -> None:
    server, client = old_client(clock, **properties)
    assert client.send({"message_id": b"id", "v": 3, "response_to": b"x"}, "_zpc_later", []) == []
    assert not server.heard_goaway
    assert client.send({"message_id": b"id", "v": 3, "response_to": b"x"}, "_zpc_goaway", []) == []
    assert server.heard_goaway is heard


# An attempt that certainly did not run


def refusal(channel: Any, ran: Any) -> tuple[dict[str, Any], str, list[str]]:
    header = {"message_id": b"r", "v": 3, "response_to": channel.message_id, "_zpc_ran": ran}
    return header, "ERR", ["ServerStopping", "echo: the server is shutting down", ""]


def leaving_server(clock: Clock) -> tuple[Any, Any]:
    client, server = old_server(clock, **{"X-Zerorpc": b"1"})
    server.send({"message_id": b"g", "v": 3}, "_zpc_goaway", [])
    (heard,) = server.events()
    assert (heard[0]["response_to"], *heard[1:]) == (b"g", "_zpc_goaway", [])
    return client, server


def test_a_leaving_server_refuses_a_call_which_may_be_made_again(clock: Clock) -> None:
    client, server = leaving_server(clock)
    channel = call("echo", 5, now=clock.now)
    client.open(channel, clock.now)
    (first,) = server.events()
    assert server.send(*refusal(channel, False)) == [channel]
    assert channel.state is ClientState.REFUSED
    assert channel.answered  # so who doesn't make it again has the refusal
    assert channel.reply.args[0] == "ServerStopping"
    assert not client.channels
    channel.try_again()
    assert (channel.state, channel.answered, channel.reply, channel.peer) == (ClientState.WAITING, False, None, None)
    other, second_server = old_server(clock)
    other.open(channel, clock.now)
    assert second_server.events() == [first]


@pytest.mark.parametrize("ran", [True, None, 0, "no"])
def test_what_may_have_run_is_not_made_again(clock: Clock, ran: Any) -> None:
    client, server = leaving_server(clock)
    channel = call("echo", 5, now=clock.now)
    client.open(channel, clock.now)
    assert server.send(*refusal(channel, ran)) == [channel]
    assert channel.state is ClientState.DONE


def test_what_a_server_refuses_that_stays_is_not_made_again(clock: Clock) -> None:
    """It is overloaded, or has no such method: others would fare no better."""
    client, server = old_server(clock, **{"X-Zerorpc": b"1"})
    channel = call("echo", 5, now=clock.now)
    client.open(channel, clock.now)
    assert server.send(*refusal(channel, False)) == [channel]
    assert channel.state is ClientState.DONE


def test_an_error_in_a_stream_is_its_end_whatever_it_says(clock: Clock) -> None:
    client, server = leaving_server(clock)
    channel = call("count", 5, now=clock.now)
    client.open(channel, clock.now)
    server.send({"message_id": b"s", "v": 3, "response_to": channel.message_id}, "STREAM", 0)
    assert channel.data == b""
    server.send(*refusal(channel, False))
    assert channel.state is ClientState.DONE


@pytest.mark.parametrize("size", [10, 300, 100_000])
def test_calls_that_had_not_left_when_the_connection_was_lost_may_be_made_again(clock: Clock, size: int) -> None:
    client, server = old_server(clock)
    gone, kept, streams = (call("echo", name + "x" * size, now=clock.now) for name in ("gone", "kept", "streams"))
    client.open(streams, clock.now)
    client.open(gone, clock.now)
    server.events()
    server.send({"message_id": b"s", "v": 3, "response_to": streams.message_id}, "STREAM", 0)
    client.open(kept, clock.now)
    assert set(client.close(LostRemote("gone"))) == {gone, kept, streams}
    assert [c.state for c in (gone, kept, streams)] == [ClientState.DONE, ClientState.REFUSED, ClientState.DONE]
    assert all(c.answered for c in (gone, kept, streams))
    assert isinstance(kept.error, LostRemote)


def test_a_client_that_says_it_goes_away_is_asking_for_a_method(clock: Clock) -> None:
    """The word means something from servers only; a method may have any name."""
    _, client = old_client(clock)
    (channel,) = client.send({"message_id": b"id", "v": 3}, "_zpc_goaway", [])
    assert channel.name == "_zpc_goaway"


# The connection


def test_an_error_of_the_connection_is_the_peers() -> None:
    server = ServerPeer(HEARTBEAT, new_ids())
    server.receive_data(b"GET / HTTP/1.1\r\n", 0.0)
    assert isinstance(server.error, ProtocolError)
    assert "HTTP" in str(server.error)
    assert not server.ready


def test_requests_in_one_chunk_with_the_error_that_follows_can_be_answered(clock: Clock) -> None:
    server, _ = old_client(clock)
    request = pack([{"message_id": b"id", "v": 3}, "echo", []])
    touched = server.receive_data(encoded([b"a", b"", request]) + encoded([b"", request]) + b"\x08\x08", clock.now)
    assert isinstance(server.error, ProtocolError)
    for channel in touched:
        answer(channel, 1)
    assert octets(server.connection).count(b"response_to") == 2


def test_everything_in_one_chunk_even_the_end() -> None:
    server = ServerPeer(HEARTBEAT, new_ids())
    request = encoded([b"", pack([{"message_id": b"id", "v": 3}, "echo", []])])
    (channel,) = server.receive_data(handshake("DEALER") + request + b"\x08\x08", 0.0)
    answer(channel, 1)
    assert server.error is not None


def test_the_limits_are_the_connections() -> None:
    limits = Limits(message=1000)
    for peer, kind in (
        (ServerPeer(None, new_ids(), limits=limits), "DEALER"),
        (ClientPeer(None, new_ids(), limits=limits), "ROUTER"),
    ):
        peer.receive_data(handshake(kind) + b"\x02" + (2**31 + 1).to_bytes(8, "big"), 0.0)
        assert "the limit is 1000" in str(peer.error)


def test_a_request_that_is_too_large_is_answered_with_an_error() -> None:
    pair = Pair()
    pair.server.connection.decoder._limits = Limits(message=10_000)
    _, there = pair.call("echo", bytes(20_000))
    assert there.event.problem == "a message of 20000 octets or more (the limit is 10000)"
    assert pair.call("echo", "the connection lives")[1].args == ["the connection lives"]


def test_a_reply_that_is_too_large_fails_its_call_only() -> None:
    pair = Pair()
    ours, there = pair.call("echo")
    pair.client.connection.decoder._limits = Limits(message=10_000)
    other, _ = pair.call("other")
    there.send(encode_ok(b"r" * 32, there.event.header.message_id, bytes(20_000)), last=True)
    pair.exchange()
    assert "bad reply to echo: a message of 20" in str(ours.error)
    assert other.error is None


def test_a_closed_connection_ends_all_calls_at_once() -> None:
    pair = Pair()
    calls = [pair.call("sleep") for _ in range(3)]
    assert pair.client.close(LostRemote("the connection was closed")) == [ours for ours, _ in calls]
    for ours, _ in calls:
        assert isinstance(ours.error, LostRemote)
        assert str(ours.error) == "calling remote method sleep: the connection was closed"
    assert pair.server.close(LostRemote("reset")) == [theirs for _, theirs in calls]
    assert all(theirs.closed for _, theirs in calls)
    assert (pair.client.next_wake, pair.server.next_wake) == (None, None)
    assert not pair.client.channels
    assert not pair.server.channels


def test_a_plain_peer_hands_messages_on() -> None:
    peer = Peer(SocketType.ROUTER, identity=b"me")
    assert peer.receive_data(handshake() + encoded([b"", b"x"]), 0.0) == [[b"", b"x"]]
    peer.channels["whatever"] = object()
    assert peer.sweep(1000.0) == []
    assert (peer.error, peer.next_wake) == (None, None)
    assert b"\x08Identity\0\0\0\x02me" in octets(peer.connection)


def test_the_tap_sees_every_event() -> None:
    seen: list[tuple[str, str, Any]] = []

    def tap(direction: str, data: bytes | bytearray) -> None:
        _, name, args = msgspec.msgpack.decode(data)
        seen.append((direction, name, args))

    pair = Pair()
    pair.client.tap = tap
    _, there = pair.call("echo", 1)
    answer(there, 2)
    pair.exchange()
    assert seen == [("-->", "echo", [1]), ("<--", "OK", [2])]
    seen.clear()
    pair.client.tap, pair.server.tap = None, tap
    _, there = pair.call("echo", 3)
    answer(there, 4)
    assert seen == [("<--", "echo", [3]), ("-->", "OK", [4])]
    pair.exchange()
    seen.clear()
    pair.client.tap, pair.server.tap = tap, None
    channel, _ = pair.call("echo", 5)
    channel.abandon()
    assert seen == [("-->", "echo", [5]), ("-->", "_zpc_cancel", [])]


def test_a_peer_shows_where_it_stands() -> None:
    pair = Pair()
    pair.call()
    assert repr(pair.client) == "<ClientPeer <Connection DEALER-ROUTER traffic> level=1 channels=1>"


# Anything

names = st.sampled_from(
    ["_zpc_hb", "_zpc_more", "_zpc_cancel", "_zpc_goaway", "OK", "ERR", "STREAM", "STREAM_DONE", "echo", b"OK", 5]
)
ids = st.sampled_from([b"\xc0", b"\x01", b"\xa1a", b"\xc4\x01a", b"\x91\x90", b"\xc4\x20" + b"%032d" % 10**9])
raw_headers = st.dictionaries(
    st.sampled_from([pack(key) for key in ("message_id", "response_to", "v", "other", b"message_id", 5)]),
    ids | st.sampled_from([b"\x01", b"\x02", b"\x03", b"\xa1\xff"]),
    max_size=4,
)
raw_events = st.builds(
    lambda header, name, args: (
        b"\x93" + bytes([0x80 + len(header)]) + b"".join(k + v for k, v in header.items()) + name + args
    ),
    raw_headers,
    names.map(pack),
    st.sampled_from([b"\x91\x05", b"\x91\x00", b"\xc0", b"\x90", b"\xa1\xff", b"\xc1", b"\x91\xcf" + b"\xff" * 8])
    | values.map(pack),
)
payloads = st.binary(max_size=30) | raw_events
frames = st.builds(
    lambda routing, payload: [*routing, payload],
    st.sampled_from([[b""], [], [b"a", b""], [b"a", b"b"], [b"", b""]]),
    payloads,
)
levels = st.sampled_from([{}, {"X-Zerorpc": b"1"}])
heartbeats = st.sampled_from([None, HEARTBEAT])
REQUEST = [b"", pack([{"message_id": 1}, "m", []])]
BEAT = [b"", pack([{"response_to": 1}, "_zpc_hb", [0]])]


@settings(max_examples=100)
@given(st.lists(frames, max_size=8), levels, heartbeats, st.integers(1, 4), st.sampled_from(["DEALER", "REQ"]))
@example(
    [[b"", pack([{"message_id": 1}, "m", []])], [b"", pack([{"response_to": 1}, "_zpc_hb", [0]])]],
    {},
    None,
    1,
    "DEALER",
)
def test_no_event_makes_a_server_raise(
    messages: list[list[bytes]], level: dict[str, bytes], heartbeat: float | None, per_chunk: int, kind: str
) -> None:
    clock, server = Clock(), ServerPeer(heartbeat, new_ids())
    server.opened(clock.now)
    server.receive_data(handshake(kind, **level), clock.now)
    for start in range(0, len(messages), per_chunk):
        for channel in server.receive_data(b"".join(map(encoded, messages[start : start + per_chunk])), clock.now):
            channel.runner = channel
            channel.request_event()
            item(channel, 1)
            item(channel, 2)
            end(channel, "ERR", ["E", channel.problem, None])
        clock.advance(7, server)
        server.take_output()
    clock.advance(100, server)
    assert server.error is None or level
    server.close(LostRemote("over"))


@settings(max_examples=100)
@given(st.lists(frames, max_size=8), levels, heartbeats, st.integers(1, 4), st.booleans())
def test_no_event_makes_a_client_raise(
    messages: list[list[bytes]], level: dict[str, bytes], heartbeat: float | None, per_chunk: int, passive: bool
) -> None:
    clock, client = Clock(), ClientPeer(heartbeat, new_ids(), passive)
    client.opened(clock.now)
    client.receive_data(handshake("ROUTER", **level), clock.now)
    key = b"%032d" % 10**9
    channel = ClientChannel(key, "m", b"data", 30, clock.now + 30, 1)
    client.open(channel, clock.now)
    for start in range(0, len(messages), per_chunk):
        for touched in client.receive_data(b"".join(map(encoded, messages[start : start + per_chunk])), clock.now):
            assert touched is channel
            while channel.inflow and channel.inflow.inbox:
                channel.next_event()
        clock.advance(7, client)
        client.take_output()
    channel.abandon()
    clock.advance(100, client)
    client.close(LostRemote("over"))
    assert channel.answered


@given(payloads)
def test_what_a_peer_takes_is_what_decode_takes(payload: bytes) -> None:
    _, client = old_client(Clock())
    touched = client.send_frames(b"", payload)
    try:
        event = decode(payload)
    except ProtocolError:
        assert touched == []
        return
    header = event.header
    is_request = bytes(header.response_to) in (b"", b"\xc0") and bytes(header.message_id) != b""
    assert len(touched) == is_request


def test_a_finalizer_gives_a_call_up_while_its_connection_ends() -> None:
    """In the child of a fork no lock keeps one out: the thread that held it may not exist there."""
    client, _ = old_server(Clock())
    dropped, other = call("dropped"), call("other")

    class Name(str):
        __slots__ = ()

        def __format__(self, spec: str) -> str:
            dropped.abandon()
            return str(self)

    for channel in (call(Name("first")), dropped, other):
        client.open(channel, 0.0)
    client.close(LostRemote("gone"))
    assert isinstance(other.error, LostRemote)
    assert client.channels == {}
