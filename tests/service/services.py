"""Services that tests call, and small things that several files of tests use."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually
from zerorpc.protocol.events import encode


class Cooler:
    """Various methods to be called."""

    def add_man(self, sentence: str) -> str:
        """End a sentence with ", man!"."""
        return sentence + ", man!"

    def add_42(self, n: int) -> int:
        return n + 42

    def boat(self, sentence: str, times: int = 2) -> str:
        return sentence * times

    def _hidden(self) -> None: ...


class Endless:
    """Methods that go on until they are ended; ``ended`` is set then."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.started = threading.Event()

    async def coroutine(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            self.ended.set()

    def wrapper(self) -> Any:
        return self.coroutine()

    def generator(self) -> Iterator[int]:
        self.started.set()
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            self.ended.set()

    async def async_generator(self) -> AsyncIterator[int]:
        self.started.set()
        try:
            n = 0
            while True:
                yield n
                n += 1
        finally:
            self.ended.set()

    async def silent_generator(self) -> AsyncIterator[int]:
        self.started.set()
        try:
            await asyncio.sleep(PATIENCE * 10)
            yield 1
        finally:
            self.ended.set()


HEADER = {"message_id": b"1" * 32, "v": 3}


def remote_error(call: Callable[..., Any], *args: Any) -> zerorpc.RemoteError:
    with pytest.raises(zerorpc.RemoteError) as caught:
        call(*args)
    return caught.value


def stalls(count: Callable[[], int]) -> int:
    """Wait until a count has stood still for a while; the count."""
    before, since = -1, time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() < deadline:
        now = count()
        if now != before:
            before, since = now, time.monotonic()
        elif now > 1 and time.monotonic() - since > 0.2:
            return now
        time.sleep(0.005)
    raise AssertionError("never stood still")


# For blocking clients


class Blocking:
    """Blocks, streams and tells what became of it."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.blocked: list[str] = []  # one for each call
        self.release = threading.Event()
        self.started = threading.Event()
        self.ended = threading.Event()

    def echo(self, value: Any) -> Any:
        return value

    def who(self) -> str:
        return self.name

    def block(self) -> str:
        self.blocked.append(self.name)
        self.started.set()
        self.release.wait(PATIENCE)
        return "released"

    def fail(self, message: str) -> None:
        raise ValueError(message)

    def count(self, stop: int) -> Iterator[int]:
        self.started.set()
        try:
            yield from range(stop)
        finally:
            self.ended.set()

    def block_after(self, stop: int) -> Iterator[int]:
        yield from range(stop)
        self.started.set()
        self.release.wait(PATIENCE)
        yield -1

    def nothing(self) -> None: ...


def open_calls(client: zerorpc.Client) -> int:
    return sum(len(peer.channels) for peer in client._core.calls.peers)


def answer(server: RawPeer) -> None:
    reply(server, server.next_event())


def reply(server: RawPeer, request: Any) -> None:
    header = {"message_id": b"0" * 32, "v": 3, "response_to": request.header.message_id}
    server.send_data(encode(header, "OK", [None]))


# For pushers and pullers


class Work:
    """Takes what comes."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.threads: set[str] = set()
        self.release = threading.Event()

    def take(self, *args: Any) -> None:
        self.threads.add(threading.current_thread().name)
        self.taken.append(args[0] if len(args) == 1 else args)

    async def take_async(self, value: Any) -> None:
        await asyncio.sleep(0)
        self.taken.append(value)

    def wrapped(self, value: Any) -> Any:
        return self.take_async(value)

    def fail(self, message: str) -> None:
        raise ValueError(message)

    def block(self) -> None:
        self.release.wait(PATIENCE)


def first_arg(peer: RawPeer) -> Any:
    """The first argument of the next event."""
    return peer.next_event().args[0]


def hears(peer: RawPeer) -> bool:
    try:
        first_arg(peer)
    except TimeoutError:
        return False
    return True


def until_heard(publisher: Any, works: list[Work]) -> None:
    """Publish until every subscriber has heard something: its subscription takes a moment."""

    def heard() -> bool:
        publisher.take("hello")
        return all(work.taken for work in works)

    eventually(heard)
