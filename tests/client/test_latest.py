"""``stream.latest()``: a slow reader gets the newest item, and is told how many were left out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, eventually_async, joined, run, serving


class Camera:
    """Makes a picture when it is told to; counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.most = 0
        self.ended = threading.Event()

    def may_make(self, count: int) -> None:
        self.most += count

    def pictures(self, count: int = 10**9) -> Iterator[int]:
        try:
            while self.made < count:
                eventually(lambda: self.made < self.most)
                self.made += 1
                yield self.made
        finally:
            self.ended.set()

    async def apictures(self, count: int = 10**9) -> AsyncIterator[int]:
        try:
            while self.made < count:
                await eventually_async(lambda: self.made < self.most)
                self.made += 1
                yield self.made
        finally:
            self.ended.set()

    def endless(self) -> Iterator[int]:
        yield from iter(int, 1)


METHODS = pytest.mark.parametrize("method", ["pictures", "apictures"])


def after(camera: Camera, made: int) -> None:
    """``made`` further pictures, all of them beyond the loop's hand."""
    camera.may_make(made)
    eventually(lambda: camera.made == camera.most)


@METHODS
def test_the_newest_item_and_the_number_of_those_left_out(method: str) -> None:
    camera = Camera()
    with joined(camera) as client:
        camera.may_make(1)
        stream = client(method, 31)
        assert stream.latest() is stream
        assert next(stream) == 1
        camera.may_make(1)
        assert next(stream) == 2
        seen = [2]
        for _ in range(4):
            after(camera, 5)
            camera.may_make(1)  # so that one is made while the reader waits for it, should the others be on their way
            seen.append(next(stream))
        assert seen[-1] >= 22
        assert stream.dropped == seen[-1] - 2 - 4
        camera.may_make(100)
        rest = list(stream)
        assert rest[-1] == 31
        assert stream.dropped + len(seen) + len(rest) + 1 == 31
        assert camera.ended.wait(PATIENCE)


@METHODS
def test_by_an_async_client(method: str) -> None:
    camera = Camera()

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            camera.may_make(1)
            stream = (await client(method, 21)).latest()
            assert await anext(stream) == 1
            count = 1
            async for picture in stream:
                count += 1
                if picture < 11:
                    camera.may_make(5)
                    await eventually_async(lambda: camera.made == camera.most)
                else:
                    camera.may_make(100)
                last = picture
            assert last == 21
            assert stream.dropped + count == 21
            assert stream.dropped > 0

    camera.may_make(1)
    with serving(camera) as server:
        run(main(server.endpoints[0]))


def test_a_reader_that_leaves_ends_a_method_that_never_waits() -> None:
    with joined(Camera()) as client:
        with client.endless().latest() as stream:
            assert [next(stream) for _ in range(20)] == [0] * 20
        assert client.may_make(1) is None
        eventually(lambda: True)


def test_too_late_and_twice() -> None:
    with joined(Camera()) as client:
        stream = client.endless()
        assert next(stream) == 0
        with pytest.raises(
            RuntimeError, match=r"latest\(\) of the stream of endless has to come before its first item"
        ):
            stream.latest()
        stream.close()
        with client.endless() as stream:
            assert next(stream.latest().latest()) == 0


def test_an_old_server_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.peer.EXTENSION_LEVEL", 0)
    with joined({"count": lambda: iter(range(3))}) as client:
        stream = client.count()
        with pytest.raises(zerorpc.NotSupported, match="can't leave out items"):
            stream.latest()
        assert list(stream) == [0, 1, 2]


def test_the_end_and_an_error_come_after_the_newest() -> None:
    def fails(count: int) -> Iterator[int]:
        yield from range(count)
        raise ValueError("on purpose")

    found: list[Any] = []
    with joined({"fails": fails, "count": lambda count: iter(range(count))}) as client:
        assert list(client.count(1000).latest())[-1] == 999
        with pytest.raises(zerorpc.RemoteError, match="on purpose"):
            found.extend(client.fails(1000).latest())
    assert found[-1] == 999


def test_the_loop_goes_on_meanwhile() -> None:
    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            stream = (await client.endless()).latest()
            assert await anext(stream) == 0
            await asyncio.gather(*(client.may_make(1) for _ in range(50)))
            stream.close()

    with serving(Camera()) as server:
        run(main(server.endpoints[0]))
