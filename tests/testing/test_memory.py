"""A connection in memory: what one end writes, the other one reads, with the flow control of a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.service.running import run
from zerorpc.testing.faults import Direction
from zerorpc.testing.memory import Lane, MemorySocket, MemoryTransport

BIG = bytes(range(256)) * 2000  # more than is let on its way at once


class Later:
    """A clock by hand, and what is to be done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.planned: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def later(self, when: float, act: Callable[[], object]) -> None:
        self.planned.append((when, act))

    def reach(self, now: float) -> None:
        self.now = now
        due, self.planned = [p for p in self.planned if p[0] <= now], [p for p in self.planned if p[0] > now]
        for _, act in due:
            act()


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def direction() -> Direction:
    return Direction()


@pytest.fixture
def lane(clock: Later, direction: Direction) -> Lane:
    return Lane(direction, clock.time, clock.later)


def taken(lane: Lane) -> bytes:
    return b"".join(iter(lane.take, b""))


def test_what_is_put_is_taken_in_order(lane: Lane) -> None:
    lane.put(b"abc")
    lane.put(memoryview(b"def"))
    assert lane.take(2) == b"ab"
    assert lane.take() == b"c"
    lane.end()
    lane.put(b"too late")
    assert not lane.over
    assert taken(lane) == b"def"
    assert lane.over
    assert lane.readable
    assert lane.taken == 6


def test_a_full_lane_says_when_it_is_drained(lane: Lane) -> None:
    drained: list[int] = []
    lane.drained = lambda: drained.append(lane.size)
    lane.put(BIG)
    assert lane.room == 0
    while lane.full:
        assert not drained
        lane.take()
    assert len(drained) == 1
    assert lane.room > 0


def test_delay_and_rate(lane: Lane, clock: Later, direction: Direction) -> None:
    direction.delay = 1.0
    lane.put(b"a")
    clock.reach(0.9)
    assert not lane.readable
    clock.reach(1.0)
    assert taken(lane) == b"a"
    direction.delay, direction.rate = 0.0, 8.0
    lane.put(b"12345678")
    clock.reach(1.5)
    assert taken(lane) == b"1234"
    lane.put(b"9")
    clock.reach(2.0)
    assert taken(lane) == b"5678"
    clock.reach(2.1)
    assert taken(lane) == b""
    clock.reach(2.125)
    assert taken(lane) == b"9"


def test_nothing_overtakes_what_is_late(lane: Lane, clock: Later, direction: Direction) -> None:
    direction.delay = 1.0
    lane.put(b"a")
    direction.heal()
    lane.put(b"b")
    assert not lane.readable
    clock.reach(1.0)
    assert taken(lane) == b"ab"
    direction.delay = 1.0
    lane.put(b"c")
    direction.heal()
    lane.heal()
    assert taken(lane) == b"c"
    clock.reach(5.0)
    assert taken(lane) == b""


def test_what_is_swallowed_is_gone(lane: Lane, direction: Direction) -> None:
    direction.swallows = True
    lane.put(b"a")
    lane.end()
    assert not lane.readable
    assert lane.swallowed
    direction.heal()
    lane.cut()
    assert lane.over
    assert repr(lane) == "<Lane size=0 ended>"


class Ends:
    """A protocol that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []


class Plain(Ends, asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class InPlace(Ends, asyncio.BufferedProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.room = bytearray(4)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.told.append(bytes(self.room[:nbytes]))


def test_two_transports(clock: Later, direction: Direction) -> None:
    async def talk() -> None:
        loop = asyncio.get_running_loop()
        there, back = (Lane(direction, clock.time, clock.later) for _ in range(2))
        one, other = Plain(), Plain()
        first, second = MemoryTransport(loop, one, back, there), MemoryTransport(loop, other, there, back)
        first.open()
        second.open()
        first.write(b"hello")
        await asyncio.sleep(0)
        assert other.told == ["made", b"hello"]
        second.pause_reading()
        first.write(BIG)
        assert one.told == ["made", "pause"]
        assert first.get_write_buffer_size() == len(BIG)
        await asyncio.sleep(0)
        assert len(other.told) == 2
        assert not second.is_reading()
        second.resume_reading()
        await asyncio.sleep(0)
        assert b"".join(other.told[2:]) == BIG
        await asyncio.sleep(0)
        assert one.told == ["made", "pause", "resume"]
        buffered = InPlace()
        second.set_protocol(buffered)
        assert second.get_protocol() is buffered
        first.write(b"in parts")
        await asyncio.sleep(0)
        assert buffered.told == [b"in p", b"arts"]
        second.set_protocol(other)
        first.write(b"last")
        first.close()
        first.close()
        first.write(b"nobody hears it")
        assert first.is_closing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert other.told[-3:] == [b"last", "eof", "lost"]
        assert one.told[-1] == "lost"
        assert first.get_extra_info("socket") is None

    run(talk())


def test_a_protocol_that_fails_ends_its_connection(clock: Later, direction: Direction) -> None:
    class Fails(Plain):
        def data_received(self, data: bytes) -> None:
            raise KeyError(data)

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        reported: list[Any] = []
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        there, back = (Lane(direction, clock.time, clock.later) for _ in range(2))
        failing, other = Fails(), Plain()
        MemoryTransport(loop, failing, there, back).open()
        sending = MemoryTransport(loop, other, back, there)
        sending.open()
        sending.write(b"x")
        for _ in range(4):
            await asyncio.sleep(0)
        assert failing.told == ["made", "lost"]
        assert other.told == ["made", "eof", "lost"]
        assert [type(error) for error in reported] == [KeyError]

    run(talk())


def test_a_socket_of_memory(clock: Later, direction: Direction) -> None:
    there, back = (Lane(direction, clock.time, clock.later) for _ in range(2))
    one, other = MemorySocket(back, there), MemorySocket(there, back)
    assert one.fileno() != other.fileno()
    assert one.fileno() < -1
    one.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(10)
    sent = one.send(BIG)
    assert 0 < sent < len(BIG)
    got = bytearray(sent)
    room = memoryview(got)
    while room:
        room = room[other.recv_into(room) :]
    assert got == BIG[:sent]
    assert one.writable
    assert not other.readable
    while one.writable:
        one.send(BIG)
    with pytest.raises(BlockingIOError):
        one.send(b"x")
    other.close()
    other.close()
    assert other.fileno() == -1
    assert one.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        one.send(b"x")
    with pytest.raises(OSError, match="no address"):
        one.getpeername()
    assert repr(other).startswith("<MemorySocket closed")
