"""What stands in for a link while large octets come: each message is what was sent, whatever comes after it."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

import zerorpc
from tests.service.running import PATIENCE, serving
from tests.transport.test_aio_link import Counting, Loop, Transport
from zerorpc.protocol.peer import Peer
from zerorpc.transport.aio_link import AioLink
from zerorpc.zmtp import Connection, SocketType
from zerorpc.zmtp.frames import encode_message


class Reads(Transport):
    """A transport whose octets a test puts where the protocol says."""

    protocol: Any
    loop: Loop

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def feed(self, data: bytes) -> None:
        """As loops do it: when reading is paused, nothing more comes until it goes on."""
        while data:
            while not self.reads:
                self.loop.turn()
            if not isinstance(self.protocol, asyncio.BufferedProtocol):
                self.protocol.data_received(data)
                return
            room = self.protocol.get_buffer(-1)
            count = min(len(room), len(data))
            room[:count] = data[:count]  # type: ignore[index]
            self.protocol.buffer_updated(count)
            data = data[count:]


class Keeping(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[list[bytes]] = []

    def received(self, link: AioLink, touched: list[Any]) -> None:
        self.messages += touched
        super().received(link, touched)


@pytest.fixture
def fed() -> tuple[Loop, Keeping, AioLink, Reads]:
    loop, owner, transport = Loop(), Keeping(), Reads()
    link = AioLink(loop, owner, Peer(SocketType.PULL), None, "there")  # type: ignore[arg-type]
    owner.links = set()  # type: ignore[assignment]
    owner.peer_ready = lambda link: None  # type: ignore[method-assign]
    transport.protocol, transport.loop = link, loop
    link.connection_made(transport)  # type: ignore[arg-type]
    other = Connection(SocketType.PUSH)
    link.data_received(b"".join(other.take_output()))
    other.receive_data(b"".join(transport.written))
    link.data_received(b"".join(other.take_output()))
    loop.turn()
    return loop, owner, link, transport


def message(*parts: bytes) -> bytes:
    out: list[Any] = []
    encode_message([b"", *parts], out)
    return b"".join(out)


LARGE, OTHER = os.urandom(65_536), os.urandom(20_000)
HUGE = os.urandom(1_000_000)


def test_messages_that_come_whole_are_copied_out_of_memory_that_is_used_again(
    fed: tuple[Loop, Keeping, AioLink, Reads],
) -> None:
    loop, owner, link, transport = fed
    for large in (LARGE, OTHER, LARGE):
        transport.feed(message(b"event", large))
        assert transport.protocol is not link
        loop.turn()
    kinds = [[type(part) for part in each] for each in owner.messages]
    transport.feed(message(b"a" * 70_000))
    assert owner.messages == [
        [b"", b"event", LARGE],
        [b"", b"event", OTHER],
        [b"", b"event", LARGE],
        [b"", b"a" * 70_000],
    ]
    assert kinds == [[bytes] * 3] * 3, "and not the memory itself"


def test_small_ones_are_the_links_own(fed: tuple[Loop, Keeping, AioLink, Reads]) -> None:
    loop, owner, link, transport = fed
    transport.feed(message(b"event", LARGE))
    loop.turn()
    transport.feed(message(b"small"))
    assert transport.protocol is link
    assert owner.messages[-1] == [b"", b"small"]
    transport.feed(message(b"small") * 6000)  # as much as a large one
    assert transport.protocol is link


@pytest.mark.parametrize("seed", range(20))
def test_however_they_are_cut_each_comes_as_it_was(fed: tuple[Loop, Keeping, AioLink, Reads], seed: int) -> None:
    loop, owner, _, transport = fed
    chance = random.Random(seed)
    parts = [(b"small",), (b"event", LARGE), (b"event", OTHER), (b"event", HUGE), (b"event", LARGE, OTHER), (LARGE,)]
    sent = [list(chance.choice(parts)) for _ in range(30)]
    octets = b"".join(message(*each) for each in sent)
    if chance.random() < 0.5:
        pieces = [message(*each) for each in sent]
    else:
        cuts = sorted(chance.sample(range(len(octets)), 25))
        pieces = [octets[start:end] for start, end in itertools.pairwise([0, *cuts, len(octets)])]
    for piece in pieces:
        transport.feed(piece)
        while not transport.reads or chance.random() < 0.5:
            loop.turn()
    assert [[bytes(part) for part in each] for each in owner.messages] == [[b"", *each] for each in sent]


def test_of_many_large_ones_in_one_turn_some_wait(fed: tuple[Loop, Keeping, AioLink, Reads]) -> None:
    _, owner, _, transport = fed
    count = 0
    while transport.reads:
        transport.feed(message(b"event", LARGE))
        count += 1
    assert count == 1024 * 1024 // len(message(b"event", LARGE)) + 1
    assert len(owner.messages) >= count - 1


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_both_ends_and_several_threads_at_once(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Links of one loop share the memory that is read into; each loop has its own."""
    values = [b"x", LARGE, OTHER, HUGE, [LARGE, 1], os.urandom(100_000), {"in": OTHER}]

    async def calls(endpoint: str, number: int) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for value in values[number:] + values[:number]:
                assert await client.echo(value) == value
            assert [item async for item in await client.all(values)] == values

    async def several(endpoint: str) -> None:
        await asyncio.gather(*(calls(endpoint, number) for number in range(6)))

    def thread(endpoint: str) -> None:
        try:
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(several(endpoint))
            ended.append(True)
        except BaseException as error:
            ended.append(error)

    ended: list[object] = []
    with serving({"echo": lambda value: value, "all": iter}) as server:
        threads = [threading.Thread(target=thread, args=(server.endpoints[0],)) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert ended == [True] * 3
