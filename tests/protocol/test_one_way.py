"""One-way peers: events without channels, filtered at the publisher."""

from __future__ import annotations

import pytest

from tests.protocol.pairs import pack
from tests.zmtp.links import encoded, handshake, octets
from zerorpc.protocol.events import encode
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.zmtp import SocketType

EVENT = encode({"message_id": b"id", "v": 3}, "news", ["hello"])


def joined(sender: SocketType, receiver: SocketType) -> tuple[OneWayPeer, OneWayPeer]:
    ends = OneWayPeer(sender), OneWayPeer(receiver)
    for _ in range(3):
        for end, other in (ends, ends[::-1]):
            assert end.receive_data(octets(other.connection), 0.0) == []
    assert all(end.ready for end in ends)
    return ends


@pytest.mark.parametrize(("sender", "receiver"), [(SocketType.PUSH, SocketType.PULL), (SocketType.PUB, SocketType.SUB)])
def test_an_event_arrives_as_one_frame(sender: SocketType, receiver: SocketType) -> None:
    one, other = joined(sender, receiver)
    assert one.send(EVENT)
    wire = octets(one.connection)
    assert wire == encoded([EVENT])
    ((event, data),) = other.receive_data(wire, 1.0)
    assert (event.name, event.args, data) == ("news", ["hello"], EVENT)


def test_a_subscriber_of_ours_wants_everything() -> None:
    publisher, _ = joined(SocketType.PUB, SocketType.SUB)
    assert publisher.connection.subscriptions.match(b"")


def test_a_subscriber_that_asked_for_nothing_gets_nothing() -> None:
    publisher = OneWayPeer(SocketType.PUB)
    publisher.receive_data(handshake("SUB"), 0.0)
    publisher.take_output()
    assert not publisher.send(EVENT)
    assert publisher.take_output() == []


def test_what_is_no_event_is_dropped_and_the_next_is_not() -> None:
    _, puller = joined(SocketType.PUSH, SocketType.PULL)
    bad_name = pack([{"message_id": b"id"}, 5, []])
    received = puller.receive_data(encoded([b"junk"]) + encoded([bad_name]) + encoded([b"a", EVENT]), 1.0)
    assert [event.name for event, _ in received] == ["news"]


def test_who_wants_to_is_told_why_an_event_is_left_out() -> None:
    _, puller = joined(SocketType.PUSH, SocketType.PULL)
    told: list[str] = []
    puller.on_unreadable = told.append
    assert puller.receive_data(encoded([pack([{"message_id": b"id"}, 5, []])]), 1.0) == []
    assert len(told) == 1


def test_the_tap_sees_events_go_and_come() -> None:
    seen: list[tuple[str, bytes]] = []
    pusher, puller = joined(SocketType.PUSH, SocketType.PULL)
    pusher.tap = puller.tap = lambda direction, data: seen.append((direction, bytes(data)))
    pusher.send(EVENT)
    puller.receive_data(octets(pusher.connection), 1.0)
    assert seen == [("-->", EVENT), ("<--", EVENT)]
