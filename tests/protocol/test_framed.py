"""Large octets in frames of their own: which, how they look, and what is no such message."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import Raw
from msgspec.msgpack import Ext

import zerorpc
from tests.protocol.pairs import Pair, call
from tests.service.running import PATIENCE, RawPeer, serving
from zerorpc.errors import LostRemote
from zerorpc.keys import KeyPair
from zerorpc.limits import Limits
from zerorpc.protocol.call_header import renumbered, with_time_left
from zerorpc.protocol.events import BadEvent, WireEvent, decode, decode_header, encode
from zerorpc.protocol.framed import ASIDE_MAX, FramedEvent, aside, put_back, with_buffers
from zerorpc.protocol.packing import LARGE_OCTETS
from zerorpc.zmtp.frames import Framed, Oversized

LARGE = bytes(range(256)) * 65
ARRAY = np.arange(10_000, dtype=np.int32).reshape(100, 100)


def event(args: Any, natural: bool = True) -> FramedEvent:
    made = encode({"message_id": b"1", "v": 3}, "m", args, natural)
    assert isinstance(made, FramedEvent)
    return made


def args_of(data: bytes) -> Any:
    decoded = decode(data)
    assert isinstance(decoded, WireEvent)
    return decoded.args


def test_what_is_large_stands_beside_the_event() -> None:
    made = event([LARGE, bytes(LARGE_OCTETS), {"in": [LARGE]}, ARRAY])
    assert made.buffers == [LARGE, LARGE, ARRAY.tobytes()]
    assert len(made) == len(bytes(made)) + 2 * len(LARGE) + 40_000
    assert len(bytes(made)) < LARGE_OCTETS + 200
    first, small, inside, array = args_of(made)
    assert (first, small, inside) == (LARGE, bytes(LARGE_OCTETS), {"in": [LARGE]})
    assert type(first) is bytes
    assert (array == ARRAY).all()


DAY = datetime.date(2026, 11, 28)


@pytest.mark.parametrize(
    ("args", "without"),
    [
        ([LARGE], True),
        ([1, LARGE, "x", None, 0.5, True, b"", LARGE], True),
        ([LARGE, DAY], False),
        ([DAY, LARGE], False),
        ([[LARGE]], False),
        ([LARGE, {"in": DAY}], False),
        ([LARGE, {}], False),
        ({"in": LARGE}, False),
        (LARGE, True),
    ],
)
def test_octets_are_put_back_without_a_hook_where_one_would_do_nothing_else(args: Any, without: bool) -> None:
    made = event(args)
    simply = msgspec.msgpack.decode(bytes(made), type=WireEvent)
    before = copy.copy(simply.args)
    assert put_back(simply, made.buffers) is without
    assert simply.args == (args if without else before), "all of them or none"
    assert args_of(made) == args


def test_a_key_that_is_another_type_stands_beside_large_octets_of_any_peer() -> None:
    day = Raw(b"\x81\xc7\x0aF2026-11-28\x01")
    data = msgspec.msgpack.encode([{"message_id": b"1", "v": 3}, "m", [aside(0), day]])
    assert args_of(with_buffers(data, [LARGE])) == [LARGE, {DAY: 1}]


def test_an_array_is_in_the_memory_that_it_came_in() -> None:
    made = event([ARRAY])
    received = bytearray(made.buffers[0])
    array = args_of(with_buffers(bytes(made), [received]))[0]
    array[0, 0] = 7
    assert received[0] == 7
    array = args_of(made)[0]  # in bytes, which are somebody else's as well
    array[0, 0] = 8
    assert made.buffers[0][0] == 0


def test_no_more_than_so_many() -> None:
    made = event([LARGE] * (ASIDE_MAX + 2))
    assert len(made.buffers) == ASIDE_MAX
    assert args_of(made) == [LARGE] * (ASIDE_MAX + 2)


def test_what_is_inside_of_another_type_stays_there() -> None:
    data = encode({}, "m", [{frozenset([LARGE])}, {"a": LARGE}, {DAY: [ARRAY, LARGE]}], True)
    assert type(data) is FramedEvent
    assert data.buffers == [LARGE]  # the value of a usual map
    nested, keyed, days = args_of(data)
    assert (nested, keyed) == ({frozenset([LARGE])}, {"a": LARGE})
    array, octets = days[DAY]
    assert (array == ARRAY).all()
    assert octets == LARGE


def test_for_an_older_peer_it_is_one_piece_again() -> None:
    made = event([LARGE, ["x", LARGE]], natural=False)
    whole = made.in_band()
    assert type(whole) is bytes
    assert msgspec.msgpack.decode(whole)[2] == [LARGE, ["x", LARGE]]
    assert (args_of(event([ARRAY, 1]).in_band())[0] == ARRAY).all()


def test_a_request_that_is_sent_again_has_them_too() -> None:
    for again in (with_time_left(event([LARGE]), 1.0, 2.0, 2), renumbered(event([LARGE]), b"2", 2)):
        assert args_of(again) == [LARGE]
        assert decode_header(again)["_zpc_call"]["attempt"] == 2


@pytest.mark.parametrize(
    ("stand_in", "buffers", "why"),
    [
        (aside(1), [LARGE], "a frame that isn't there"),
        (Ext(79, b"\0"), [LARGE], "a frame that isn't there"),
        (aside(0, 5), [LARGE], "octets of type 5"),
        ([aside(0), aside(0)], [LARGE], "refers to a frame twice"),
        ([[aside(0)], aside(0)], [LARGE], "refers to a frame twice"),
        (aside(0, 77, b"\0\0"), [LARGE], "decode|truncated"),
        (aside(0), [Oversized(b"x")], ""),
    ],
)
def test_nonsense_fails_its_call(stand_in: Any, buffers: list[bytes], why: str) -> None:
    args = stand_in if isinstance(stand_in, list) else [stand_in]
    made = with_buffers(msgspec.msgpack.encode([{"message_id": b"1", "v": 3}, "m", args]), buffers)
    decoded = decode(made)
    assert isinstance(decoded, BadEvent)
    assert bytes(decoded.header.message_id) == b"\xc4\x011"


def test_peers_of_ours_send_and_take_them() -> None:
    pair = Pair()
    channel, there = pair.call("echo", LARGE)
    assert there.args == [LARGE]
    there.send(encode(there.peer.event_header(there), "OK", [LARGE], True), last=True)
    pair.exchange()
    assert channel.reply is not None
    assert channel.reply.args == [LARGE]


def test_a_tap_sees_the_event_and_not_its_octets() -> None:
    pair = Pair()
    seen: list[Any] = []
    pair.server.tap = lambda direction, data: seen.append((direction, args_of(data)))
    pair.call("echo", LARGE)
    assert seen == [("<--", [LARGE])]


def test_a_server_and_a_client_of_an_older_peer_send_none() -> None:
    with serving({"echo": lambda value: value}) as server, RawPeer.to(server.endpoints[0]) as older:
        older.send({"message_id": b"1", "v": 3}, "echo", [LARGE])  # in one piece
        assert older.next_event().args == [LARGE]


def test_with_curve() -> None:
    keys, mine = KeyPair.generate(), KeyPair.generate()
    with serving({"echo": lambda value: value}, curve=zerorpc.Curve(keys.secret)) as server:
        curve = zerorpc.Curve(mine.secret, keys.public)
        with zerorpc.Client(server.endpoints[0], curve=curve, timeout=PATIENCE) as client:
            assert client.echo([LARGE, LARGE]) == [LARGE, LARGE]
            assert (client.echo(ARRAY) == ARRAY).all()


def test_an_answer_that_is_kept_by_its_key_has_all_in_it(tmp_path: Path) -> None:
    with (
        serving({"echo": lambda value: [value, value]}, answers=tmp_path / "answers") as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        for _ in range(2):
            assert zerorpc.options(client, key="k").echo(LARGE) == [LARGE, LARGE]


def test_in_one_piece_other_extension_types_stay() -> None:
    made = event([LARGE, Ext(5, b"x"), {1}])
    first, unknown, numbers = args_of(made.in_band())
    assert (first, unknown.code, unknown.data, numbers) == (LARGE, 5, b"x", {1})


def test_a_body_that_has_frames_behind_it_says_how_it_is_put_together() -> None:
    with pytest.raises(NotImplementedError):
        Framed(b"x").in_band()


def test_a_reply_with_large_octets_that_are_too_many() -> None:
    pair = Pair()
    pair.client.borrow = lambda peer, reference: reference
    channel, there = pair.call("echo")
    header = there.peer.event_header(there)
    data = msgspec.msgpack.encode([header, "OK", [aside(0)]])
    there.send(with_buffers(data, [LARGE]), last=True)
    pair.client.connection.decoder._limits = Limits(message=1000)
    pair.exchange()
    assert "a message of" in str(channel.error)


def test_a_reply_with_references_and_large_octets() -> None:
    pair = Pair()
    pair.client.borrow = lambda peer, reference: reference.number
    for stand_in, outcome in ((Ext(82, msgspec.msgpack.encode([3, "f"])), [3, LARGE]), (Ext(82, b""), None)):
        channel, there = pair.call("echo")
        data = msgspec.msgpack.encode([there.peer.event_header(there), "OK", [[stand_in, aside(0)]]])
        there.send(with_buffers(data, [LARGE]), last=True)
        pair.exchange()
        if outcome is None:
            assert "a reference that can't be read" in str(channel.error)
        else:
            assert channel.reply is not None
            assert channel.reply.args == [outcome]


def test_large_octets_behind_what_is_no_event_disturb_nothing() -> None:
    pair = Pair()
    for peer in (pair.client, pair.server):
        peer.connection.send_message((b"", b"\xc1", LARGE))
    pair.exchange()
    _, there = pair.call("echo", LARGE)
    assert there.args == [LARGE]


@pytest.mark.parametrize("args", [[1], [LARGE], [LARGE, LARGE], [LARGE, "x" * 300], ["x" * 300]])
@pytest.mark.parametrize("sent", [False, True])
def test_whether_a_request_has_left_is_known_however_it_is_put_together(args: list[Any], sent: bool) -> None:
    pair = Pair()
    channel = call("echo", *args, now=pair.clock.now)
    pair.client.open(channel, pair.clock.now)
    if sent:
        pair.client.take_output()
    pair.client.close(LostRemote("the connection was closed"))
    assert isinstance(channel.error, LostRemote)
    assert channel.error.ran is (None if sent else False)
