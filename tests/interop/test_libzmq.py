"""Raw libzmq clients, alone or behind libzmq's proxy, and our server: each event is packed and unpacked by hand.

What is sent here is what old, foreign and broken peers send.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import zmq

import zerorpc
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, AsyncService, Caller, our_server
from tests.interop.programs import HEARTBEAT, old_client
from tests.interop.raw_zmq import RawClient, Sockets, bridge, broker, pack

TCP = "tcp://127.0.0.1:0"


@pytest.fixture(scope="module", params=[Service, AsyncService], ids=["threads", "loop"])
def server(request: pytest.FixtureRequest) -> Iterator[zerorpc.Server]:
    with our_server(request.param(), bind=TCP, heartbeat=HEARTBEAT) as server:
        yield server


@pytest.fixture
def client(sockets: Sockets, server: zerorpc.Server) -> RawClient:
    return RawClient(sockets, server.endpoints[0])


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ], ids=["DEALER", "REQ"])
def test_a_reply_has_the_header_of_version_3(sockets: Sockets, server: zerorpc.Server, kind: int) -> None:
    header, name, args = RawClient(sockets, server.endpoints[0], kind).ask("echo", "hi", message_id=b"m1")
    assert (name, args) == ("OK", ["hi"])
    assert (header["v"], header["response_to"]) == (3, b"m1")
    assert header["message_id"] not in {b"m1", None}


@pytest.mark.parametrize("version", [{}, {"v": 1}, {"v": 2}, {"v": 3}], ids=["none", "v1", "v2", "v3"])
def test_every_version_is_answered_in_version_3(client: RawClient, version: dict[str, int]) -> None:
    client.send({"message_id": b"m", **version}, "echo", [1])
    header, name, args = client.reply()
    assert (header["v"], name, args) == (3, "OK", [1])


def test_unknown_header_keys_are_ignored(client: RawClient) -> None:
    client.send({"message_id": b"m", "v": 3, "x-unknown": {"deep": [1]}, "trace": None}, "echo", [1])
    assert client.reply()[1:] == ("OK", [1])


@pytest.mark.parametrize(
    "message_id",
    [
        b"0123456789abcdef",
        b"\xff\x00",
        b"",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "",
        7,
        -1,
        2**63,
        1.5,
        True,
        [1, "a"],
    ],
    ids=repr,
)
def test_a_message_id_is_echoed_in_value_and_type(client: RawClient, message_id: Any) -> None:
    (header, _, _) = client.ask("echo", 1, message_id=message_id)
    assert (type(header["response_to"]), header["response_to"]) == (type(message_id), message_id)


def test_a_str_id_and_a_bin_id_of_the_same_letters_are_two_channels(client: RawClient) -> None:
    for message_id in ("same", b"same"):
        client.send({"message_id": message_id, "v": 3}, "slow", [0.1, repr(message_id)])
    answers = [client.reply() for _ in range(2)]
    assert {repr(header["response_to"]): args for header, _, args in answers} == {
        "'same'": ["'same'"],
        "b'same'": ["b'same'"],
    }


def test_two_clients_may_use_the_same_message_id(sockets: Sockets, server: zerorpc.Server) -> None:
    clients = [RawClient(sockets, server.endpoints[0]) for _ in range(2)]
    for number, client in enumerate(clients):
        client.send({"message_id": b"same", "v": 3}, "slow", [0.1, number])
    assert [client.reply()[2] for client in clients] == [[0], [1]]


# Routing frames


def test_a_message_without_the_delimiter_is_answered(sockets: Sockets, server: zerorpc.Server) -> None:
    socket = sockets.open(zmq.DEALER, connect=server.endpoints[0])
    socket.send(pack({"message_id": b"m", "v": 3}, "echo", ["hi"]))
    payload = socket.recv_multipart()[-1]
    assert msgspec.msgpack.decode(payload)[1:] == ["OK", ["hi"]]


@pytest.mark.parametrize("routing", [[b"one"], [b"one", b"two"], [b"\0\1\2\3\4", b"x" * 255, b"three"]], ids=len)
def test_a_reply_carries_back_the_routing_frames_of_its_request(
    sockets: Sockets, server: zerorpc.Server, routing: list[bytes]
) -> None:
    socket = sockets.open(zmq.DEALER, connect=server.endpoints[0])
    socket.send_multipart([*routing, b"", pack({"message_id": b"m", "v": 3}, "echo", ["hi"])])
    *frames, payload = socket.recv_multipart()
    assert frames == [*routing, b""]
    assert msgspec.msgpack.decode(payload)[1:] == ["OK", ["hi"]]


def test_calls_of_one_id_by_two_routes_are_two_channels(sockets: Sockets, server: zerorpc.Server) -> None:
    socket = sockets.open(zmq.DEALER, connect=server.endpoints[0])
    for route in (b"a", b"b"):
        socket.send_multipart([route, b"", pack({"message_id": b"same", "v": 3}, "slow", [0.1, route])])
    answers = [socket.recv_multipart() for _ in range(2)]
    assert {frames[0]: msgspec.msgpack.decode(frames[-1])[2][0] for frames in answers} == {
        b"a": b"a",
        b"b": b"b",
    }


# Older versions


def test_an_error_for_version_1_is_one_repr(client: RawClient) -> None:
    client.send({"message_id": b"m"}, "fail", ["boom"])
    assert client.reply()[1:] == ("ERR", ["ValueError('boom')"])


@pytest.mark.parametrize("version", [2, 3])
def test_an_error_for_later_versions_is_three_strings(client: RawClient, version: int) -> None:
    client.send({"message_id": b"m", "v": version}, "fail", ["boom"])
    (_, name, args) = client.reply()
    assert (name, args[:2], len(args)) == ("ERR", ["ValueError", "boom"], 3)
    assert args[2].startswith("Traceback")


def test_towards_version_1_our_heartbeats_wait_for_the_first_of_theirs(client: RawClient) -> None:
    client.send({"message_id": b"quiet"}, "slow", [HEARTBEAT * 4, "done"])
    assert client.recv()[1:] == ("OK", ["done"])  # and no heartbeat before it, nor was the silent caller lost


def test_towards_version_3_heartbeats_come_without_being_asked(client: RawClient) -> None:
    client.send({"message_id": b"m", "v": 3}, "slow", [HEARTBEAT * 1.5, "done"])
    header, name, args = client.recv()
    assert (header["response_to"], name, args) == (b"m", "_zpc_hb", [0])


def test_a_version_2_stream_takes_its_credit_from_heartbeats(client: RawClient) -> None:
    client.send({"message_id": b"m", "v": 2}, "count", [250])
    items = []
    while (event := client.reply())[1] == "STREAM":
        items.append(event[2])
        if len(items) % 50 == 1:
            client.send({"message_id": b"c", "v": 2, "response_to": b"m"}, "_zpc_hb", [50])
    assert event[1] == "STREAM_DONE"
    assert items == list(range(250))


# Credit


def grant(client: RawClient, credit: int, channel: bytes = b"m") -> None:
    client.send({"message_id": b"c", "v": 3, "response_to": channel}, "_zpc_more", [credit])


def events_until_heartbeat(client: RawClient, least: int = 1) -> list[tuple[str, Any]]:
    """What comes before the server has nothing to say but that it lives; we live too.

    Heartbeats before the first ``least`` events are older than what was asked for: this process was slow.
    """
    events: list[tuple[str, Any]] = []
    while True:
        event = client.recv()
        if event[1] != "_zpc_hb":
            events.append(event[1:])
            continue
        client.send({"message_id": b"h", "v": 3, "response_to": event[0]["response_to"]}, "_zpc_hb", [0])
        if len(events) >= least:
            return events


def test_a_stream_never_exceeds_its_credit(client: RawClient) -> None:
    client.send({"message_id": b"m", "v": 3}, "count", [6])
    assert events_until_heartbeat(client) == [("STREAM", 0)]
    grant(client, 2)
    assert events_until_heartbeat(client) == [("STREAM", 1), ("STREAM", 2)]
    grant(client, 3)
    assert events_until_heartbeat(client) == [("STREAM", 3), ("STREAM", 4), ("STREAM", 5)]
    grant(client, 1)
    (_, name, args) = client.reply()  # STREAM_DONE needs credit too
    assert name == "STREAM_DONE"
    assert args in (None, [])


def test_an_error_in_a_stream_needs_credit_too(client: RawClient) -> None:
    client.send({"message_id": b"m", "v": 3}, "fail_after", [1])
    assert events_until_heartbeat(client) == [("STREAM", 0)]
    grant(client, 1)
    (_, name, args) = client.reply()
    assert (name, args[0]) == ("ERR", "KeyError")


def test_a_reply_and_an_empty_streams_end_go_out_without_credit(client: RawClient) -> None:
    assert client.ask("echo", 1, message_id=b"a")[1] == "OK"
    assert client.ask("count", 0, message_id=b"b")[1] == "STREAM_DONE"
    assert client.ask("fail_after", 0, message_id=b"c")[1] == "ERR"


def test_stream_values_are_bare(client: RawClient) -> None:
    client.send({"message_id": b"m", "v": 3}, "traces", [1])
    assert client.reply()[1:] == ("STREAM", "")


@pytest.mark.parametrize("args", [[0], [-5], [], None, ["x"], [2**63]], ids=repr)
def test_senseless_credit_harms_nobody(client: RawClient, args: Any) -> None:
    client.send({"message_id": b"m", "v": 3}, "count", [3])
    assert client.reply()[1:] == ("STREAM", 0)
    client.send({"message_id": b"c", "v": 3, "response_to": b"m"}, "_zpc_more", args)
    client.send({"message_id": b"other", "v": 3}, "echo", [1])
    assert client.answer_to(b"other")[1:] == ("OK", [1])


@pytest.mark.parametrize("name", ["_zpc_more", "_zpc_hb", "STREAM", "OK", "echo"])
def test_events_of_unknown_channels_are_ignored(client: RawClient, name: str) -> None:
    client.send({"message_id": b"x", "v": 3, "response_to": b"nobody"}, name, [1])
    assert client.ask("echo", 1)[1:] == ("OK", [1])


def test_one_client_cannot_grant_credit_to_another(sockets: Sockets, server: zerorpc.Server) -> None:
    owner, thief = (RawClient(sockets, server.endpoints[0]) for _ in range(2))
    owner.send({"message_id": b"m", "v": 3}, "count", [3])
    assert owner.reply()[1:] == ("STREAM", 0)
    grant(thief, 100)
    assert thief.ask("echo", 1)[1] == "OK"  # by then the grant has arrived
    assert events_until_heartbeat(owner, least=0) == []


# What can't be read


@pytest.mark.parametrize(
    ("name", "args"),
    [
        (b"echo", [1]),
        (7, [1]),
        (None, [1]),
        (["echo"], [1]),
        ("echo", None),
        ("echo", {"value": 1}),
        ("echo", 5),
        ("echo", "text"),
    ],
    ids=repr,
)
def test_a_request_of_the_wrong_shape_is_answered_with_an_error(client: RawClient, name: Any, args: Any) -> None:
    client.send({"message_id": b"m", "v": 3}, name, args)
    header, reply, fields = client.reply()
    assert (header["response_to"], reply, len(fields)) == (b"m", "ERR", 3)
    assert client.ask("echo", "after")[1:] == ("OK", ["after"])


def test_a_request_with_bin_header_keys_is_answered_with_an_error(client: RawClient) -> None:
    client.send({b"message_id": b"m", b"v": 3}, "echo", [1])
    header, reply, fields = client.reply()
    assert (header["response_to"], reply, len(fields)) == (b"m", "ERR", 3)
    assert client.ask("echo", "after")[1:] == ("OK", ["after"])


HEADER = msgspec.msgpack.encode({"message_id": b"m", "v": 3})


@pytest.mark.parametrize(
    "rest",
    [
        b"\xa4echo\x91\xa2\xff\xfe",  # a str that is not UTF-8
        b"\xa4echo\x91\xc1",  # a byte that MessagePack never uses
        b"\xa4echo\x92\x01",  # cut short
        b"\xa4echo\x91\xdd\xff\xff\xff\xff",  # a length that lies
        b"\xa4echo" + b"\x91" * 100_000 + b"\xc0",  # a nesting bomb
        b"\xa2\xff\xfe\x90",  # the name is not UTF-8
    ],
    ids=["not utf-8", "unused byte", "cut short", "false length", "nesting bomb", "name not utf-8"],
)
def test_a_request_that_cannot_be_decoded_is_answered_with_an_error(client: RawClient, rest: bytes) -> None:
    client.send_payload(b"\x93" + HEADER + rest)
    header, reply, fields = client.reply()
    assert (header["response_to"], reply, len(fields)) == (b"m", "ERR", 3)
    assert client.ask("echo", "after")[1:] == ("OK", ["after"])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"GET / HTTP/1.1",
        b"\xc0",
        b"\x93",
        pack([], "echo", [1]),
        pack({}, "echo", [1]),
        b"\x92" + HEADER + b"\xa4echo",
    ],
    ids=["empty", "unused byte", "http", "nil", "cut", "header is no map", "no message id", "two elements"],
)
def test_what_cannot_be_answered_is_dropped_and_the_next_call_works(client: RawClient, payload: bytes) -> None:
    client.send_payload(payload)
    client.send({"message_id": b"next", "v": 3}, "echo", ["after"])
    assert client.answer_to(b"next")[1:] == ("OK", ["after"])


def test_maps_may_have_any_keys(client: RawClient) -> None:
    assert client.ask("echo", {1: "a", -1: {2: 3}})[1:] == ("OK", [{1: "a", -1: {2: 3}}])


# A broker in between


@pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
def test_our_client_calls_our_server_through_libzmqs_proxy(
    sockets: Sockets, make_caller: Callable[..., Caller]
) -> None:
    with (
        broker(sockets) as (front, back),
        our_server(Service(), connect=back, heartbeat=HEARTBEAT),
        contextlib.closing(make_caller(front, heartbeat=HEARTBEAT)) as client,
    ):
        assert client.call("echo", "hi") == "hi"
        assert client.items("count", 1_000) == list(range(1_000))
        assert client.call("slow", HEARTBEAT * 4, "done") == "done"
        with pytest.raises(zerorpc.RemoteError, match="boom"):
            client.call("fail", "boom")


def test_several_clients_share_one_worker_behind_three_proxies(sockets: Sockets) -> None:
    with (
        broker(sockets) as (front, middle),
        broker(sockets) as (second_front, back),
        bridge(sockets, middle, second_front),
        our_server(Service(), connect=back, heartbeat=HEARTBEAT),
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(zerorpc.Client(front, heartbeat=HEARTBEAT)) for _ in range(3)]
        streams = [iter(client.count(300)) for client in clients]
        assert [list(items) for items in zip(*streams, strict=True)] == [[n] * 3 for n in range(300)]


def test_an_old_client_calls_our_server_through_libzmqs_proxy(sockets: Sockets) -> None:
    with (
        broker(sockets) as (front, back),
        our_server(Service(), connect=back, heartbeat=HEARTBEAT),
        old_client("--connect", front, "--heartbeat", HEARTBEAT) as client,
    ):
        assert client.call("count", 1_000) == list(range(1_000))
        assert client.call("slow", HEARTBEAT * 4, "done") == "done"
