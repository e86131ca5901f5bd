"""Push/pull and publish/subscribe between the old side and ours, each role bound and each connected."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.interop.old_programs.service import TRACE, Tracing
from tests.interop.ours import Notes, serving
from tests.interop.programs import PATIENCE, Peer, old_receiver, old_sender

TCP = "tcp://127.0.0.1:0"
SENDERS = {"push": zerorpc.Pusher, "pub": zerorpc.Publisher}
RECEIVERS = {"pull": zerorpc.Puller, "sub": zerorpc.Subscriber}
ODD_VALUES = [None, "ü", b"\xff", 2**64 - 1, [1, {"a": [b"x"]}], 1.5, {"k": None}]

one_way = pytest.mark.parametrize(("sends", "receives"), [("push", "pull"), ("pub", "sub")])
who_binds = pytest.mark.parametrize("binds", ["sender binds", "receiver binds"])


@one_way
@who_binds
def test_the_old_side_sends_and_ours_receives_everything_in_order(sends: str, receives: str, binds: str) -> None:
    notes = Notes()
    receiver = RECEIVERS[receives](notes)
    with serving(receiver):
        bound = receiver.bind(TCP) if binds == "receiver binds" else []
        with old_sender(sends, *(["--connect", *bound] if bound else ["--bind", TCP])) as sender:
            if not bound:
                receiver.connect(sender.endpoint)
            when_joined(lambda number: sender.send("note", (number, "joining")), notes.next_note)
            sender.send("note", *((n, "counted") for n in range(500)))
            assert counted(notes, 500) == list(range(500))
            sender.send("note", (ODD_VALUES,))
            assert notes.next_note() == [ODD_VALUES]


@one_way
@who_binds
def test_ours_sends_and_the_old_side_receives_everything_in_order(sends: str, receives: str, binds: str) -> None:
    with SENDERS[sends]() as sender:
        bound = sender.bind(TCP) if binds == "sender binds" else []
        with old_receiver(receives, *(["--connect", *bound] if bound else ["--bind", TCP])) as receiver:
            if not bound:
                sender.connect(receiver.endpoint)
            when_joined(lambda number: sender.note(number, "joining"), receiver.next_note)
            for n in range(500):
                sender.note(n, "counted")
            assert counted(receiver, 500) == list(range(500))
            sender.note(ODD_VALUES)
            assert receiver.next_note() == [ODD_VALUES]


def when_joined(send: Callable[[int], Any], receive: Callable[[], Any]) -> None:
    """Sends until something arrives, as publishers have to."""
    arrived = threading.Event()

    def hear() -> None:
        receive()
        arrived.set()

    threading.Thread(target=hear, daemon=True).start()
    for number in itertools.count(1):
        send(number)
        if arrived.wait(0.02):
            return
        assert number * 0.02 < PATIENCE, "nothing arrived"


def counted(receiver: Notes | Peer, count: int) -> list[int]:
    """The first so many counted numbers, whatever was sent while joining."""
    numbers: list[int] = []
    while len(numbers) < count:
        number, kind = receiver.next_note()
        if kind == "counted":
            numbers.append(number)
    return numbers


# What goes wrong at a receiver


@pytest.fixture
def our_puller() -> Iterator[tuple[zerorpc.Puller, Notes]]:
    context, notes = zerorpc.Context(), Notes()
    context.register_middleware(Tracing())
    puller = zerorpc.Puller(notes, context=context)
    puller.bind(TCP)
    with serving(puller):
        yield puller, notes


def test_unknown_methods_wrong_arguments_and_errors_do_not_stop_our_puller(
    our_puller: tuple[zerorpc.Puller, Notes],
) -> None:
    puller, notes = our_puller
    with old_sender("push", "--connect", puller.endpoints[0]) as sender:
        sender.send("nosuch", (1,))
        sender.send("fail", ())
        sender.send("fail", (1, 2))
        sender.send("note", (3,))
        assert notes.next_note() == [3]


def test_our_errors_do_not_stop_the_old_puller() -> None:
    with old_receiver("pull", "--bind", TCP) as receiver, zerorpc.Pusher() as sender:
        sender.connect(receiver.endpoint)
        sender.nosuch(1)
        sender.fail()
        sender.note(3)
        assert receiver.next_note() == [3]


# Headers


def test_the_old_pushers_header_reaches_our_puller(our_puller: tuple[zerorpc.Puller, Notes]) -> None:
    puller, notes = our_puller
    with old_sender("push", "--connect", puller.endpoints[0], "--trace") as sender:
        sender.send("note", (1,), trace="abc")
        sender.send("note", (2,))
        assert [notes.next_traced(), notes.next_traced()] == [([1], "abc"), ([2], "")]


def test_our_pushers_header_reaches_the_old_puller() -> None:
    context = zerorpc.Context()
    context.register_middleware(Tracing())
    token = TRACE.set("xyz")
    try:
        with (
            old_receiver("pull", "--bind", TCP, "--trace") as receiver,
            zerorpc.Pusher(context=context) as sender,
        ):
            sender.connect(receiver.endpoint)
            sender.note(1)
            assert receiver.next_line()["trace"] == "xyz"
    finally:
        TRACE.reset(token)


# Several at once


def test_our_publisher_reaches_old_and_new_subscribers() -> None:
    notes = Notes()
    ours = zerorpc.Subscriber(notes)
    with zerorpc.Publisher() as publisher, serving(ours):
        (endpoint,) = publisher.bind(TCP)
        ours.connect(endpoint)
        with old_receiver("sub", "--connect", endpoint) as old:
            for receiver in (notes, old):
                when_joined(lambda number: publisher.note(number, "joining"), receiver.next_note)
            for number in range(500):
                publisher.note(number, "counted")
            for receiver in (notes, old):
                assert counted(receiver, 500) == list(range(500))
