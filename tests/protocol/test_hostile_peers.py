"""Whatever a peer sends: calls end or wait on, connections live, and ``debug`` and hooks can show what came."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.pairs import HEARTBEAT, Clock, Stranger, call, item, new_ids, old_client, old_server, pack
from tests.protocol.pairs import reply as answer
from tests.protocol.test_events import OVERFULL
from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.errors import RemoteError
from zerorpc.event_log import log_event
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.events import ID_MAX, decode_header, encode
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.protocol.patterns import remote_error, reply_value
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.zmtp import SocketType


@pytest.fixture(autouse=True, scope="module")
def debug() -> Iterator[None]:
    logger = logging.getLogger("zerorpc.events")
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(logging.NOTSET)


hostile_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=40)
    | st.sampled_from(["OK", "ERR", "STREAM", "STREAM_DONE", "_zpc_more", "_zpc_hb", "_zpc_cancel", "_zpc_goaway"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
hostile_headers = st.fixed_dictionaries(
    {},
    optional={
        "message_id": hostile_values,
        "v": hostile_values,
        "response_to": st.sampled_from([b"%032d" % 1, "1", 1, 1.0]) | hostile_values,
        "_zpc_timeout": hostile_values,
    },
)
NOT_UTF8 = b"\xa2\xff\xfe"
hostile_events = st.one_of(
    st.tuples(hostile_headers, hostile_values, hostile_values).map(pack),
    st.tuples(hostile_headers, hostile_values).map(lambda event: b"\x93" + pack(event[0]) + pack(event[1]) + NOT_UTF8),
    st.binary(max_size=40),
)


@given(st.lists(hostile_events, max_size=5), st.sampled_from([0, 1]), st.booleans(), st.sampled_from([1, "1"]))
@example([OVERFULL], 1, True, 1)
def test_nothing_that_a_server_sends_harms_its_client(
    events: list[bytes], level: int, streaming: bool, message_id: int | str
) -> None:
    clock = Clock()
    client, server = old_server(clock, HEARTBEAT, **{"X-Zerorpc": b"%d" % level})
    client.tap = log_event
    channels = [call(), ClientChannel(message_id, "echo", encode({"message_id": message_id, "v": 3}, "echo", []))]
    for channel in channels:
        client.open(channel, clock.now)
        if streaming:
            server.send({"message_id": b"s", "v": 3, "response_to": channel.message_id}, "STREAM", 1)
    for data in events:
        server.send_frames(b"", data)
    assert client.error is None
    assert isinstance(server.names(), list)
    for channel in channels:
        if channel.reply is not None:
            assert isinstance(remote_error(channel.reply.args, channel.reply.header.version), RemoteError)
            reply_value(channel.reply.args)
            assert isinstance(decode_header(channel.reply_data), dict)
        while channel.inflow and channel.inflow.inbox:
            channel.next_event()
    clock.advance(100.0, client)


@given(st.lists(hostile_events, max_size=5), st.sampled_from([0, 1]), st.sampled_from([(), (b"one",)]))
@example([OVERFULL], 1, ())
def test_nothing_that_a_client_sends_harms_its_server(
    events: list[bytes], level: int, routing: tuple[bytes, ...]
) -> None:
    clock = Clock()
    server = ServerPeer(HEARTBEAT, new_ids())
    client = Stranger(server, SocketType.DEALER, clock, **{"X-Zerorpc": b"%d" % level})
    server.tap = log_event
    for data in events:
        for channel in client.send_frames(*routing, b"", data):
            assert isinstance(channel.request_event().header, dict)
            assert not math.isnan(RpcInvocation(None, "", [], channel, None).patience)  # type: ignore[arg-type]
            if not channel.closed:
                item(channel, 1)
                answer(channel, 1)
    assert server.error is None
    clock.advance(100.0, server)


@given(st.lists(hostile_events, max_size=5))
@example([OVERFULL])
def test_nothing_that_a_pusher_sends_harms_a_puller(events: list[bytes]) -> None:
    clock = Clock()
    puller = OneWayPeer(SocketType.PULL)
    pusher = Stranger(puller, SocketType.PUSH, clock)
    puller.tap = log_event
    for data in events:
        for event, packed in pusher.send_frames(data):
            assert isinstance(event.name, str)
            assert isinstance(decode_header(packed), dict)
    assert puller.error is None


def test_an_id_that_would_make_every_reply_large_is_nobodys() -> None:
    _, client = old_client(Clock())
    assert client.send({"message_id": b"x" * (ID_MAX + 1), "v": 3}, "echo", []) == []
    assert len(client.send({"message_id": b"x" * 1000, "v": 3}, "echo", [])) == 1
