"""A program with a typed client, for type checkers: each line with a mistake says so."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import zerorpc


class Axis(enum.Enum):
    X = "x"
    Y = "y"


class Stage:
    def step(self, axis: Axis, n: int = 1) -> float:
        return float(n)

    def count(self, stop: int) -> Iterator[int]:
        yield from range(stop)


class AsyncStage(Protocol):
    async def step(self, axis: Axis, n: int = 1) -> float: ...
    def count(self, stop: int) -> AsyncIterator[int]: ...


def blocking(client: zerorpc.Client) -> None:
    stage = zerorpc.typed(client, Stage)
    far: float = stage.step(Axis.X, n=3)
    total: int = sum(stage.count(3))
    print(far, total)
    stage.stepp(Axis.X)  # mistake: no such method
    stage.step("x")  # mistake: a text is no Axis
    stage.step(Axis.X, steps=3)  # mistake: no such keyword
    text: str = stage.step(Axis.X)  # mistake: the result is a float
    print(text)


async def on_loop(client: zerorpc.AsyncClient) -> None:
    stage = zerorpc.typed(client, AsyncStage)
    far: float = await stage.step(Axis.X)
    print(far, [number async for number in stage.count(3)])
    await stage.stepp(Axis.X)  # mistake: no such method
    await stage.step(Axis.X, "3")  # mistake: a text is no number
    wrong: list[str] = [number async for number in stage.count(3)]  # mistake: the items are numbers
    print(wrong)


@zerorpc.stream
def numbers(stop: int) -> list[int]:
    return list(range(stop))


def uses(call: zerorpc.Call, result: zerorpc.AsyncResult, stream: zerorpc.Stream) -> None:
    numbers("3")  # mistake: a decorated function keeps its signature
    zerorpc.Retry(attempts="3")  # mistake: a text is no number
    print(call, result, stream)
