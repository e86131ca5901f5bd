"""The queue of a Pusher or Publisher by itself: whose turn it is, and who is told of room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.service.running import PATIENCE, run
from zerorpc.one_way.send_queue import SendQueue
from zerorpc.zmtp import SocketType


class Link:
    """What a queue needs of a link, and of its peer."""

    def __init__(self, writable: bool = True) -> None:
        self.peer = self
        self.writable = writable
        self.sent: list[bytes] = []
        self.flushed: list[int] = []  # how much was sent, at each flush

    def send(self, data: bytes) -> bool:
        if data == b"not wanted":
            return False
        self.sent.append(data)
        return True

    def flush(self) -> None:
        self.flushed.append(len(self.sent))


def queue_of(socket_type: SocketType, *links: Any) -> SendQueue:
    queue = SendQueue(socket_type)
    for link in links:
        queue.add(link)
    return queue


def put(queue: SendQueue, *messages: bytes) -> None:
    for message in messages:
        queue.append(message)
    queue.drain()


def test_pushed_messages_go_to_one_after_the_other() -> None:
    links = [Link(), Link(), Link(writable=False)]
    put(queue_of(SocketType.PUSH, *links), b"1", b"2", b"3")
    assert [link.sent for link in links] == [[b"1", b"3"], [b"2"], []]
    assert [link.flushed for link in links] == [[2], [1], []]


def test_published_messages_go_to_all_who_keep_up() -> None:
    links = [Link(), Link(), Link(writable=False)]
    put(queue_of(SocketType.PUB, *links), b"1", b"not wanted", b"2")
    assert [link.sent for link in links] == [[b"1", b"2"], [b"1", b"2"], []]


def test_pushed_messages_wait_for_somebody_and_published_ones_do_not() -> None:
    link: Any = Link()
    for socket_type, sent in ((SocketType.PUSH, [b"1", b"2"]), (SocketType.PUB, [b"2"])):
        link.sent.clear()
        queue = queue_of(socket_type)
        put(queue, b"1")
        queue.add(link)
        put(queue, b"2")
        assert link.sent == sent


def test_a_large_message_is_written_at_once() -> None:
    link = Link()
    put(queue_of(SocketType.PUSH, link), b"x" * 100_000, b"1", b"2")
    assert link.flushed == [1, 3]


def test_who_is_gone_gets_nothing() -> None:
    link: Any = Link()
    queue = queue_of(SocketType.PUSH, link)
    queue.remove(link)
    queue.remove(link)
    put(queue, b"1")
    assert link.sent == []
    assert repr(queue) == "<SendQueue PUSH waiting=1 links=0>"


def test_who_waits_for_room_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.one_way.send_queue.QUEUED_MAX", 2)
    queue = queue_of(SocketType.PUSH)
    told: list[int] = []
    put(queue, b"1")
    assert not queue.is_full
    put(queue, b"2")
    assert queue.is_full
    queue.when_room(lambda: told.append(1))
    queue.drain()
    assert told == []
    queue.add(Link())  # type: ignore[arg-type]
    queue.drain()
    assert told == [1]
    queue.when_room(lambda: told.append(2))
    queue.tell_room()  # there never will be
    assert told == [1, 2]


def test_waiting_until_it_is_empty() -> None:
    async def main() -> None:
        queue = queue_of(SocketType.PUSH)
        await queue.until_empty(PATIENCE)
        put(queue, b"1")
        await queue.until_empty(0)
        waiting = asyncio.ensure_future(queue.until_empty(PATIENCE))
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.add(Link())  # type: ignore[arg-type]
        await waiting

    run(main())
