"""``zerorpc.typed``: a client as the class that is served, with results as its annotations have them."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import pytest

import zerorpc
from tests.service.running import PATIENCE, run, serving


class Axis(enum.Enum):
    X = "x"
    Y = "y"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Stage:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def step(self, axis: Axis, n: int = 1) -> Axis:
        return axis

    def where(self) -> Point:
        return Point(1, 2)

    def day(self) -> datetime.date:
        return datetime.date(2026, 11, 27)

    def path(self, count: int) -> Iterator[Point]:
        for n in range(count):
            yield Point(n)

    @zerorpc.rep
    def path_as_list(self, count: int) -> Iterator[Point]:
        for n in range(count):
            yield Point(n)

    def points(self, count: int) -> list[Point]:
        return [Point(n) for n in range(count)]

    def lies(self) -> int:
        return "text"  # type: ignore[return-value]

    def lies_later(self) -> Iterator[int]:
        yield 1
        yield "text"  # type: ignore[misc]

    def takes(self, timeout: int) -> int:
        return timeout

    def anything(self) -> Any:
        return [1, "a"]


class AsyncStage(Protocol):
    """As an AsyncClient has it."""

    async def step(self, axis: Axis, n: int = 1) -> Axis: ...
    async def where(self) -> Point: ...
    def path(self, count: int) -> AsyncIterator[Point]: ...
    async def points(self, count: int) -> list[Point]: ...
    async def lies(self) -> int: ...
    def lies_later(self) -> AsyncIterator[int]: ...


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Stage()) as server:
        yield server.endpoints[0]


@pytest.fixture
def client(endpoint: str) -> Iterator[zerorpc.Client]:
    with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30) as client:
        yield client


def test_results_are_what_the_annotations_say(client: zerorpc.Client) -> None:
    made = Stage.made
    stage = zerorpc.typed(client, Stage)
    assert stage.step(Axis.X, n=3) is Axis.X
    assert stage.where() == Point(1.0, 2.0)
    assert stage.day() == datetime.date(2026, 11, 27)
    assert stage.points(2) == [Point(0.0), Point(1.0)]
    assert stage.anything() == [1, "a"]
    assert stage.takes(timeout=7) == 7, "each keyword is the method's"
    assert Stage.made == made, "the class isn't made"
    assert repr(stage) == "<typed Stage of <CallView >>"


def test_streams_are_item_by_item(client: zerorpc.Client) -> None:
    stage = zerorpc.typed(client, Stage)
    assert list(stage.path(3)) == [Point(0.0), Point(1.0), Point(2.0)]
    assert list(stage.path_as_list(2)) == [Point(0.0), Point(1.0)], "a list of them is one, too"
    stream: Any = stage.path(1000)
    with stream:
        assert next(stream) == Point(0.0)
        assert stream.metadata == {}
    newest: Any = stage.path(1000)
    with newest.latest() as stream:
        assert isinstance(next(stream), Point)
    with pytest.raises(zerorpc.InvalidResult, match="the result of lies_later: expected int, got str"):
        list(stage.lies_later())


def test_what_does_not_fit_is_an_error(client: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.InvalidResult, match="the result of lies: expected int, got str") as caught:
        zerorpc.typed(client, Stage).lies()
    assert (caught.value.method, caught.value.ran) == ("lies", True)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stepp", "Stage has no method 'stepp'; did you mean 'step'?"),
        ("zzz", "Stage has no method 'zzz'"),
        ("made", "Stage has no method 'made'"),
        ("_private", "Stage has no method '_private'"),
    ],
)
def test_a_name_that_the_class_does_not_have(client: zerorpc.Client, name: str, told: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(zerorpc.typed(client, Stage), name)
    assert str(caught.value) == told


def test_with_options(client: zerorpc.Client) -> None:
    patient = zerorpc.typed(zerorpc.options(client, timeout=60), Stage)
    assert patient.where() == Point(1.0, 2.0)
    with pytest.raises(TypeError, match="options are for a Client"):
        zerorpc.typed(object(), Stage)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not for async_=True"):
        zerorpc.typed(zerorpc.options(client, async_=True), Stage)
    with pytest.raises(TypeError, match="needs the class whose methods are called"):
        zerorpc.typed(client, lambda: 1)


def test_an_async_client(endpoint: str) -> None:
    async def calls() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, heartbeat=30) as client:
            stage = zerorpc.typed(client, AsyncStage)
            assert await stage.step(Axis.Y) is Axis.Y
            assert await stage.where() == Point(1.0, 2.0)
            assert [point async for point in stage.path(3)] == [Point(0.0), Point(1.0), Point(2.0)]
            assert await stage.points(1) == [Point(0.0)]
            awaited: Any = stage.path(2)
            stream = await awaited
            assert [point async for point in stream] == [Point(0.0), Point(1.0)]
            each: Any = stage.points(2)
            assert [point async for point in each] == [Point(0.0), Point(1.0)]
            with pytest.raises(zerorpc.InvalidResult):
                await stage.lies()
            with pytest.raises(zerorpc.InvalidResult):
                [item async for item in stage.lies_later()]
            given_up: Any = stage.where()
            given_up.close()
            tasks = [asyncio.create_task(stage.where()), asyncio.create_task(stage.step(Axis.X))]
            assert await asyncio.gather(*tasks) == [Point(1.0, 2.0), Axis.X]
            cancelled = asyncio.create_task(stage.where())
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert await asyncio.wait_for(stage.where(), PATIENCE) == Point(1.0, 2.0)

    run(calls())
