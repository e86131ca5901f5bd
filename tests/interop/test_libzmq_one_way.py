"""Our Pusher, Puller, Publisher and Subscriber with libzmq's sockets, each role bound and each connected."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import zmq

import zerorpc
from tests.interop.ours import Notes, serving
from tests.interop.programs import PATIENCE
from tests.interop.raw_zmq import Socket, Sockets, endpoint_of, pack

TCP = "tcp://127.0.0.1:0"


def join(ours: Any, theirs: Socket, ours_binds: bool, ipc: str | None) -> None:
    if ours_binds:
        (endpoint,) = ours.bind(ipc or TCP)
        theirs.connect(endpoint)
    else:
        theirs.bind(ipc or TCP)
        ours.connect(endpoint_of(theirs))


who_binds = pytest.mark.parametrize("ours_binds", [True, False], ids=["ours binds", "libzmq binds"])
both_transports = pytest.mark.parametrize("ipc", [False, True], ids=["tcp", "ipc"])


@who_binds
@both_transports
def test_our_pusher_sends_single_frames_to_a_pull_socket(
    sockets: Sockets, new_ipc: Callable[[], str], ours_binds: bool, ipc: bool
) -> None:
    pull = sockets.open(zmq.PULL)
    with zerorpc.Pusher() as pusher:
        join(pusher, pull, ours_binds, new_ipc() if ipc else None)
        for number in range(500):
            pusher.note(number, "ü")
        received = [pull.recv_multipart() for _ in range(500)]
    assert {len(frames) for frames in received} == {1}
    events = [msgspec.msgpack.decode(frames[0]) for frames in received]
    assert [event[1:] for event in events] == [["note", [number, "ü"]] for number in range(500)]
    assert all(header["v"] == 3 and header["message_id"] for header, _, _ in events)


@who_binds
@both_transports
def test_a_push_socket_sends_to_our_puller(
    sockets: Sockets, new_ipc: Callable[[], str], ours_binds: bool, ipc: bool
) -> None:
    notes, push = Notes(), sockets.open(zmq.PUSH)
    puller = zerorpc.Puller(notes)
    join(puller, push, ours_binds, new_ipc() if ipc else None)
    with serving(puller):
        push.send(b"not an event")
        for number in range(500):
            push.send(pack({"message_id": b"m", "v": 3}, "note", [number]))
        assert [notes.next_note() for _ in range(500)] == [[number] for number in range(500)]


@who_binds
@both_transports
def test_our_publisher_sends_to_a_sub_socket(
    sockets: Sockets, new_ipc: Callable[[], str], ours_binds: bool, ipc: bool
) -> None:
    sub = sockets.open(zmq.SUB)
    sub.subscribe(b"")
    with zerorpc.Publisher() as publisher:
        join(publisher, sub, ours_binds, new_ipc() if ipc else None)
        publish_until_heard(publisher, sub)
        for number in range(500):
            publisher.counted(number)
        assert numbers_counted(sub, 500) == list(range(500))


def publish_until_heard(publisher: zerorpc.Publisher, sub: Socket) -> None:
    """A publisher drops what is sent before the subscription has reached it."""
    deadline = time.monotonic() + PATIENCE
    while not sub.poll(10):
        publisher.joining()
        assert time.monotonic() < deadline, "nothing arrived"


def numbers_counted(sub: Socket, count: int) -> list[int]:
    numbers: list[int] = []
    while len(numbers) < count:
        (payload,) = sub.recv_multipart()
        _, name, args = msgspec.msgpack.decode(payload)
        numbers += args if name == "counted" else []
    return numbers


def test_our_publisher_filters_what_it_sends(sockets: Sockets) -> None:
    # XSUB sockets subscribe by hand and, unlike SUB, show whatever reaches them.
    with zerorpc.Publisher() as publisher:
        (endpoint,) = publisher.bind(TCP)
        everything, changing = (sockets.open(zmq.XSUB, connect=endpoint) for _ in range(2))
        for sub in (everything, changing):
            sub.send(b"\x01")
            publish_until_heard(publisher, sub)
        changing.send(b"\x01no event begins like this")
        changing.send(b"\x00")
        publish_until_silent(publisher, changing)
        for number in range(100):
            publisher.counted(number)
        assert numbers_counted(everything, 100) == list(range(100))
        assert not changing.poll(50)


def publish_until_silent(publisher: zerorpc.Publisher, sub: Socket) -> None:
    """The end of a subscription takes its time to reach the publisher too."""
    deadline = time.monotonic() + PATIENCE
    publisher.leaving()
    while sub.poll(50):
        sub.recv()
        publisher.leaving()
        assert time.monotonic() < deadline, "what was unsubscribed still comes"


@who_binds
@both_transports
def test_our_subscriber_asks_for_everything_and_gets_it(
    sockets: Sockets, new_ipc: Callable[[], str], ours_binds: bool, ipc: bool
) -> None:
    notes, publisher = Notes(), sockets.open(zmq.XPUB)
    subscriber = zerorpc.Subscriber(notes)
    join(subscriber, publisher, ours_binds, new_ipc() if ipc else None)
    with serving(subscriber):
        assert publisher.recv() == b"\x01"  # a subscription to the empty prefix
        publisher.send(b"not an event")
        for number in range(500):
            publisher.send(pack({"message_id": b"m", "v": 3}, "note", [number]))
        assert [notes.next_note() for _ in range(500)] == [[number] for number in range(500)]


def test_our_pusher_shares_its_work_among_pull_sockets(sockets: Sockets) -> None:
    pulls = [sockets.open(zmq.PULL, bind=TCP) for _ in range(2)]
    with zerorpc.Pusher() as pusher:
        for pull in pulls:
            pusher.connect(endpoint_of(pull))
        seen: set[int] = set()
        deadline = time.monotonic() + PATIENCE
        while seen != {0, 1}:  # the second connection may still be on its way
            assert time.monotonic() < deadline, "only one puller ever got anything"
            pusher.note()
            seen |= {index for index, pull in enumerate(pulls) if pull.poll(20) and pull.recv()}


def test_our_pusher_waits_for_its_first_puller(sockets: Sockets, new_ipc: Callable[[], str]) -> None:
    endpoint, pull = new_ipc(), sockets.open(zmq.PULL)
    with zerorpc.Pusher() as pusher, ThreadPoolExecutor(1) as aside:
        pusher.connect(endpoint)
        sent = aside.submit(lambda: [pusher.note(number) for number in range(3)])
        pull.bind(endpoint)
        assert [msgspec.msgpack.decode(pull.recv())[2] for _ in range(3)] == [[0], [1], [2]]
        sent.result(PATIENCE)
