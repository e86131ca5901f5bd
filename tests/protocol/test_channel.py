"""Channels: credit both ways, what ends a conversation, and what is still readable then."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from tests.protocol.pairs import Clock, Pair, Stranger, call, end, item, old_client, old_server, reply
from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.protocol.channel import ClientChannel, ClientState
from zerorpc.protocol.events import DONE, ERR, STREAM
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.zmtp import SocketType


@pytest.fixture
def clock() -> Clock:
    return Clock()


def request(stranger: Stranger, version: int | None = 3, **header: Any) -> ServerChannel:
    header = {"message_id": b"id", **({} if version is None else {"v": version}), **header}
    (channel,) = stranger.send(header, "count", [])
    return channel


def further(stranger: Stranger, name: str, args: Any) -> list[Any]:
    return stranger.send({"message_id": b"x", "v": 3, "response_to": b"id"}, name, args)


def taken(channel: ClientChannel) -> list[tuple[str, Any]]:
    """All that can be read of a stream now."""
    events = []
    while channel.inflow and channel.inflow.inbox:
        event, _ = channel.next_event()
        events.append((event.name, event.args))
    return events


# The server's half


def test_the_first_reply_is_free_and_the_others_wait_for_credit(clock: Clock) -> None:
    _server, client = old_client(clock)
    channel = request(client)
    assert channel.room == 1
    for number in range(5):
        item(channel, number)
    assert [args for _, _, args in client.events()] == [0]
    assert channel.room == 0
    further(client, "_zpc_more", [2])
    assert [args for _, _, args in client.events()] == [1, 2]
    further(client, "_zpc_more", [10])
    assert [args for _, _, args in client.events()] == [3, 4]
    assert channel.room == 8


@pytest.mark.parametrize(("name", "args"), [(DONE, None), (ERR, ["E", "m", None])])
def test_the_last_event_of_a_stream_needs_credit_too(clock: Clock, name: str, args: Any) -> None:
    server, client = old_client(clock)
    channel = request(client)
    item(channel, 1)
    end(channel, name, args)
    assert client.names() == [STREAM]
    assert len(server.channels) == 1
    further(client, "_zpc_more", [1])
    assert [(name, args) for _, name, args in client.events()] == [(name, args)]
    assert not server.channels


@pytest.mark.parametrize("args", [[0], [-1], ["5"], [1.5], [None], [True], [], None, {"n": 1}, 7, [[3]]])
def test_credit_that_makes_no_sense_grants_nothing(clock: Clock, args: Any) -> None:
    _server, client = old_client(clock)
    channel = request(client)
    further(client, "_zpc_more", args)
    assert channel.room == 1


def test_credit_adds_up_to_a_limit(clock: Clock) -> None:
    _server, client = old_client(clock)
    channel = request(client)
    for _ in range(3):
        further(client, "_zpc_more", [2**63])
    assert channel.room == 2**31


@pytest.mark.parametrize(("version", "granted"), [(None, 3), (1, 3), (2, 3), (3, 0), (4, 0)])
def test_heartbeats_of_old_peers_carry_credit(clock: Clock, version: int | None, granted: int) -> None:
    _server, client = old_client(clock)
    channel = request(client, version)
    further(client, "_zpc_hb", [0])
    further(client, "_zpc_hb", [3])
    assert channel.room == 1 + granted


def test_credit_wakes_a_runner_but_no_request_is_announced_twice(clock: Clock) -> None:
    """A request and its credit in one chunk: the shell would run the method twice."""
    _server, client = old_client(clock)
    channel = request(client)
    assert further(client, "_zpc_more", [1]) == []
    channel.runner = object()
    assert further(client, "_zpc_more", [1]) == [channel]


def test_after_the_caller_is_gone_nothing_is_sent(clock: Clock) -> None:
    server, client = old_client(clock)
    channel = request(client)
    item(channel, 1)
    item(channel, 2)
    assert server.close(LostRemote("the connection was closed")) == [channel]
    assert channel.closed
    assert str(channel.error) == "the caller of count is gone: the connection was closed"
    client.messages()
    item(channel, 3)
    end(channel, DONE)
    assert client.messages() == []


def test_the_request_as_hooks_see_it(clock: Clock) -> None:
    _server, client = old_client(clock)
    (channel,) = client.send({"message_id": b"id", "v": 3, "trace": "t"}, "add", [1, 2], routing=(b"broker",))
    event = channel.request_event()
    assert (event.name, event.args, event.identity) == ("add", [1, 2], [b"0" * 32, b"broker"])
    assert event.header == {"message_id": b"id", "v": 3, "trace": "t"}
    assert (channel.name, channel.args, channel.problem, channel.version) == ("add", [1, 2], None, 3)


def test_a_request_that_cant_be_read_says_so(clock: Clock) -> None:
    _server, client = old_client(clock)
    (channel,) = client.send({"message_id": b"id"}, b"add", [1])
    assert (channel.name, channel.args, channel.version) == ("add", None, 1)
    assert channel.problem == "the method's name is of type bytes, not a string"
    assert channel.request_event().header == {"message_id": b"id"}


def test_a_server_channel_shows_its_state(clock: Clock) -> None:
    server, client = old_client(clock)
    channel = request(client)
    assert repr(channel) == "<ServerChannel count open credit=1>"
    item(channel, 1)
    end(channel, DONE)
    assert repr(channel) == "<ServerChannel count finished credit=0>"
    server.close(LostRemote("gone"))
    assert repr(channel) == "<ServerChannel count closed credit=0>"


# The client's half: credit


class Window:
    """A server's side of a stream: how many events it thinks it may send."""

    def __init__(self, overwrites: bool, events: int) -> None:
        self.overwrites = overwrites
        self.open = 1
        self.left = deque([*((STREAM, number) for number in range(events)), (DONE, None)])

    def grant(self, count: int) -> None:
        self.open = count if self.overwrites else self.open + count

    def send(self, at_most: int) -> list[tuple[str, Any]]:
        count = min(self.open, at_most, len(self.left))
        self.open -= count
        return [self.left.popleft() for _ in range(count)]


@pytest.mark.parametrize("slots", [1, 2, 3, 100])
@pytest.mark.parametrize("overwrites", [False, True], ids=["old Python adds", "Node overwrites"])
@pytest.mark.parametrize(("sends", "reads"), [(1, 1), (1000, 1), (1, 1000), (7, 3)])
def test_a_long_stream_arrives_and_never_more_than_slots_wait(
    clock: Clock, slots: int, overwrites: bool, sends: int, reads: int
) -> None:
    client, server = old_server(clock)
    window = Window(overwrites, 250)
    channel = call("count", slots=slots, now=clock.now)
    client.open(channel, clock.now)
    ((header, _, _),) = server.events()
    got: list[tuple[str, Any]] = []
    for _ in range(2000):
        for name, args in window.send(sends):
            server.send({"message_id": b"x", "v": 3, "response_to": header["message_id"]}, name, args)
        assert channel.inflow is not None
        assert len(channel.inflow.inbox) <= max(slots, 1)
        for _ in range(min(reads, len(channel.inflow.inbox))):
            event, _ = channel.next_event()
            got.append((event.name, event.args))
        for _, name, (count,) in server.events():
            assert name == "_zpc_more"
            window.grant(count)
    assert got == [*((STREAM, number) for number in range(250)), (DONE, None)]
    assert not client.channels


def test_credit_is_granted_in_batches(clock: Clock) -> None:
    """Node overwrites its window with each grant: many small ones would stop it."""
    client, server = old_server(clock)
    channel = call("count", now=clock.now)
    client.open(channel, clock.now)
    ((header, _, _),) = server.events()
    grants = []
    for number in range(151):
        server.send({"message_id": b"x", "v": 3, "response_to": header["message_id"]}, STREAM, number)
        channel.next_event()
        grants += [args for _, _, args in server.events()]
    assert grants == [[100], [50], [50], [50]]


@pytest.mark.parametrize("version", [1, 2])
def test_a_server_of_before_version_3_gets_its_credit_in_heartbeats(clock: Clock, version: int) -> None:
    client, server = old_server(clock)
    channel = call("count", now=clock.now)
    client.open(channel, clock.now)
    ((header, _, _),) = server.events()
    server.send({"message_id": b"x", "v": version, "response_to": header["message_id"]}, STREAM, 0)
    assert taken(channel) == [(STREAM, 0)]
    assert [(name, args) for _, name, args in server.events()] == [("_zpc_hb", [100])]


def test_a_server_that_ignores_credit_ends_its_stream_and_no_other(clock: Clock) -> None:
    client, server = old_server(clock)
    flooded, other = call("count", slots=10, now=clock.now), call("echo", now=clock.now)
    client.open(flooded, clock.now)
    client.open(other, clock.now)
    ids = [header["message_id"] for header, _, _ in server.events()]
    for number in range(1000):
        server.send({"message_id": b"x", "v": 3, "response_to": ids[0]}, STREAM, number)
    assert flooded.inflow is not None
    assert len(flooded.inflow.inbox) <= 2 * 10
    assert [args for _, args in taken(flooded)] == list(range(11))
    with pytest.raises(ProtocolError, match="sent more of count than it was granted"):
        flooded.next_event()
    assert [peer_channel.method for peer_channel in client.channels.values()] == ["echo"]
    server.send({"message_id": b"x", "v": 3, "response_to": ids[1]}, "OK", ["fine"])
    assert other.reply is not None
    assert other.reply.args == ["fine"]


# The client's half: replies


def test_a_reply_ends_the_call() -> None:
    pair = Pair()
    channel, there = pair.call("echo", "hello")
    assert there.args == ["hello"]
    assert (channel.state, channel.answered) == (ClientState.SENT, False)
    reply(there, "hello")
    assert pair.exchange() == ([channel], [])
    assert channel.reply is not None
    assert (channel.reply.name, channel.reply.args) == ("OK", ["hello"])
    assert (channel.state, channel.answered) == (ClientState.DONE, True)
    assert not pair.client.channels
    assert not pair.server.channels


@pytest.mark.parametrize("name", [ERR, "_unknown"])
def test_any_other_first_reply_ends_it_as_well(name: str) -> None:
    pair = Pair()
    channel, there = pair.call()
    end(there, name, ["E", "m", None])
    assert pair.exchange() == ([channel], [])
    assert channel.reply is not None
    assert channel.reply.name == name
    assert not pair.client.channels


def test_a_stream_between_ours_from_its_first_event_to_its_last() -> None:
    pair = Pair()
    channel, there = pair.call("count", slots=4)
    item(there, 0)
    pair.exchange()
    assert (channel.state, channel.answered, channel.readable) == (ClientState.STREAMING, True, True)
    for number in range(1, 10):
        item(there, number)
    end(there, DONE)
    got = []
    while channel.readable:
        got += taken(channel)
        pair.exchange()
    assert got == [*((STREAM, number) for number in range(10)), (DONE, None)]
    assert channel.state is ClientState.DONE
    assert not pair.client.channels
    assert not pair.server.channels


def test_an_empty_stream() -> None:
    pair = Pair()
    channel, there = pair.call("count")
    end(there, DONE)
    pair.exchange()
    assert taken(channel) == [(DONE, None)]
    assert not pair.client.channels


@pytest.mark.parametrize("name", ["OK", ERR, "_unknown"])
def test_whatever_is_no_item_ends_a_stream(name: str) -> None:
    pair = Pair()
    channel, there = pair.call("count")
    there.add_credit(10)
    item(there, 0)
    end(there, name, ["x"])
    pair.exchange()
    assert [what for what, _ in taken(channel)] == [STREAM, name]
    assert channel.state is ClientState.DONE
    assert not pair.client.channels


def test_what_arrived_before_the_connection_was_lost_can_still_be_read() -> None:
    pair = Pair()
    channel, there = pair.call("count")
    item(there, 0)
    pair.exchange()
    assert pair.client.close(LostRemote("the connection was closed")) == [channel]
    assert channel.readable
    assert taken(channel) == [(STREAM, 0)]
    assert channel.readable
    with pytest.raises(LostRemote, match="calling remote method count: the connection was closed"):
        channel.next_event()
    assert pair.client.take_output() == []


# Giving up


def test_a_call_given_up_ends_at_our_server_too() -> None:
    pair = Pair()
    channel, there = pair.call("sleep")
    channel.abandon()
    assert pair.exchange() == ([], [there])
    assert there.closed
    assert str(there.error) == "the caller of sleep gave up"
    assert (channel.state, str(channel.error)) == (ClientState.DONE, "the call of sleep was given up")
    assert not pair.client.channels
    assert not pair.server.channels
    channel.abandon()
    assert pair.exchange() == ([], [])


def test_a_stream_given_up_frees_both_sides() -> None:
    pair = Pair()
    channel, there = pair.call("count")
    for number in range(10):
        item(there, number)
    pair.exchange()
    channel.abandon()
    assert pair.exchange() == ([], [there])
    assert not pair.client.channels
    assert not pair.server.channels
    item(there, 11)
    assert pair.exchange() == ([], [])


@pytest.mark.parametrize("level", [None, b"0", b"", b"x", b"-1", b"\xb2", b"9999"])
def test_a_server_that_is_not_ours_is_not_told(clock: Clock, level: bytes | None) -> None:
    client, server = old_server(clock, **({} if level is None else {"X-Zerorpc": level}))
    channel = call("sleep", now=clock.now)
    client.open(channel, clock.now)
    channel.abandon()
    assert server.names() == ["sleep"]
    assert not client.channels


@pytest.mark.parametrize("level", [b"1", b"2", b"999"])
def test_a_server_of_a_later_version_of_ours_is_told(clock: Clock, level: bytes) -> None:
    client, server = old_server(clock, **{"X-Zerorpc": level})
    channel = call("sleep", now=clock.now)
    client.open(channel, clock.now)
    channel.abandon()
    assert server.names() == ["sleep", "_zpc_cancel"]


def test_a_stranger_cant_cancel(clock: Clock) -> None:
    """An older peer may have a use of its own for that name."""
    _server, client = old_client(clock)
    channel = request(client)
    assert further(client, "_zpc_cancel", []) == []
    assert not channel.closed


def test_a_call_given_up_before_it_was_sent() -> None:
    channel = call("sleep")
    channel.abandon()
    assert (channel.state, channel.answered) == (ClientState.DONE, True)


def test_replies_to_a_call_that_was_given_up_are_dropped(clock: Clock) -> None:
    client, server = old_server(clock)
    channel = call("sleep", now=clock.now)
    client.open(channel, clock.now)
    ((header, _, _),) = server.events()
    channel.abandon()
    assert server.send({"message_id": b"x", "v": 3, "response_to": header["message_id"]}, "OK", [1]) == []
    assert channel.reply is None


def test_a_client_channel_shows_its_state() -> None:
    assert repr(call("sleep")) == "<ClientChannel sleep waiting>"


def test_kinds_of_sockets_that_strangers_have(clock: Clock) -> None:
    for kind in (SocketType.DEALER, SocketType.REQ):
        _server, client = old_client(clock, kind=kind)
        reply(request(client), 5)
        assert client.names() == ["OK"]
