"""Methods run for any door: one that knows no zerorpc, no channel and no connection, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.process_services import pair
from tests.service.running import PATIENCE, eventually_async, run
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation, Runner
from zerorpc.service.methods import Method
from zerorpc.service.runners import Runners
from zerorpc.settings import ServerSettings


class Spoken(Invocation, eq=False):
    """A request of somebody who is told of everything in words."""

    told: list[str]
    ended: asyncio.Event
    credit: int = 1000
    gone: bool = False
    woken: Runner | None = None

    def result(self, value: object) -> bytes:
        return f"it is {value}".encode()

    def item(self, value: object) -> bytes:
        return f"next is {value}".encode()

    def done(self) -> bytes:
        return b"that was all"

    def failure(self, failure: Failure) -> bytes:
        return f"{failure.name}: {failure.message}, ran: {failure.ran}".encode()

    @property
    def closed(self) -> bool:
        return self.gone

    @property
    def room(self) -> int:
        return self.credit

    @property
    def runner(self) -> Runner | None:
        return self.woken

    @runner.setter
    def runner(self, runner: Runner | None) -> None:
        self.woken = runner

    def send_item(self, data: bytes) -> None:
        self.told.append(data.decode())
        self.credit -= 1

    def answer(self, data: bytes, flush: bool = True) -> None:
        self.told.append(data.decode())
        self.ended.set()

    def flush_soon(self) -> None: ...

    @property
    def caller(self) -> object:
        return None

    @property
    def open_calls(self) -> int:
        return 1

    @property
    def patience(self) -> float:
        return PATIENCE

    @property
    def octets(self) -> int:
        return 1


async def coroutine(a: int) -> int:
    await asyncio.sleep(0)
    return a + 1


def plain(a: int) -> int:
    return a + 2


@zerorpc.on_loop
def quick(a: int) -> int:
    return a + 3


async def some(a: int) -> AsyncIterator[int]:
    for n in range(a):
        yield n


def few(a: int) -> Iterator[int]:
    yield from range(a)


def fails(a: int) -> None:
    raise ValueError(a)


CASES: list[tuple[Any, Any, list[str]]] = [
    (coroutine, [1], ["it is 2"]),
    (plain, [1], ["it is 3"]),
    (quick, [1], ["it is 4"]),
    (pair, [1, 2], ["it is [1, 2]"]),
    (some, [2], ["next is 0", "next is 1", "that was all"]),
    (few, [2], ["next is 0", "next is 1", "that was all"]),
    (fails, [1], ["ValueError: 1, ran: True"]),
    (None, [1], ["NameError: asked, ran: False"]),
    (
        plain,
        None,
        ["TypeError: the arguments of asked have to be an array, such as [1, 2] or [], but nil came, ran: False"],
    ),
]


@pytest.mark.parametrize(("function", "args", "told"), CASES)
def test_what_becomes_of_a_request(function: Any, args: Any, told: list[str]) -> None:
    method = None if function is None else Method("asked", function)
    assert run(answers(method, args)) == told


async def answers(method: Method | None, args: Any) -> list[str]:
    runners = Runners(asyncio.get_running_loop(), ServerSettings())
    spoken = Spoken(method, "asked", args, [], asyncio.Event())
    runners.submit(spoken)
    await spoken.ended.wait()
    await runners.aclose()
    return spoken.told


def test_items_wait_for_room() -> None:
    async def main() -> None:
        for function in (few, some):
            runners = Runners(asyncio.get_running_loop(), ServerSettings())
            spoken = Spoken(Method("asked", function), "asked", [3], [], asyncio.Event(), credit=1)
            runners.submit(spoken)
            await eventually_async(lambda: spoken.told)  # noqa: B023
            assert spoken.told == ["next is 0"]
            spoken.credit = 2
            assert spoken.runner is not None
            spoken.runner.wake()
            await eventually_async(lambda: len(spoken.told) == 3)  # noqa: B023
            spoken.credit = 1
            spoken.runner.wake()
            await spoken.ended.wait()
            assert spoken.told == ["next is 0", "next is 1", "next is 2", "that was all"]
            await runners.aclose()

    run(main())


@pytest.mark.parametrize("function", [coroutine, plain])
def test_one_that_waits_for_its_turn(function: Any) -> None:
    async def main() -> None:
        runners = Runners(asyncio.get_running_loop(), ServerSettings(pool_size=1))
        method = Method("asked", function)
        all_of_them = [Spoken(method, "asked", [n], [], asyncio.Event()) for n in range(3)]
        for spoken in all_of_them:
            runners.submit(spoken)
        for spoken in all_of_them:
            await spoken.ended.wait()
        added = function.__code__.co_consts[-1]
        assert [spoken.told for spoken in all_of_them] == [[f"it is {n + added}"] for n in range(3)]
        await runners.aclose()

    run(main())
