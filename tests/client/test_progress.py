"""``zerorpc.progress``: what a method reports reaches who has asked for it, and nobody waits for that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

import zerorpc
from tests.client.ways import EACH_WAY, Way
from tests.service.running import PATIENCE, RawPeer, eventually, eventually_async, run, serving


class Service:
    def __init__(self) -> None:
        self.heard = threading.Event()  # set by the test

    def copy(self, count: int) -> int:
        for number in range(count):
            zerorpc.progress(number, count, f"file {number}")
        self.heard.wait(PATIENCE)
        return count

    async def acopy(self, count: int) -> int:
        for number in range(count):
            zerorpc.progress(number, count, f"file {number}")
            await asyncio.sleep(0)
        await eventually_async(self.heard.is_set)
        return count

    async def items(self) -> AsyncIterator[int]:
        zerorpc.progress(0.5)
        await eventually_async(self.heard.is_set)
        yield 1

    def apply(self, function: Any) -> Any:
        zerorpc.progress(1, 2)
        self.heard.wait(PATIENCE)
        return function(3)

    @staticmethod
    @zerorpc.process
    def process() -> int:
        zerorpc.progress(1)
        return 1


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def endpoint(service: Service) -> Iterator[str]:
    with serving(service) as server:
        yield server.endpoints[0]


@EACH_WAY
@pytest.mark.parametrize("method", ["copy", "acopy"])
def test_reports_arrive_in_order_up_to_the_newest(service: Service, endpoint: str, way: Way, method: str) -> None:
    heard: list[tuple[Any, ...]] = []

    def hear(done: float, total: float | None, text: str) -> None:
        heard.append((done, total, text))
        if done == 99:
            service.heard.set()

    assert way(endpoint, lambda client: client(method, 100), progress=hear) == 100
    assert heard[-1] == (99, 100, "file 99")
    assert heard == sorted(heard)
    assert len({done for done, *_ in heard}) == len(heard)


@EACH_WAY
def test_of_a_stream_and_beside_a_function(service: Service, endpoint: str, way: Way) -> None:
    heard: list[tuple[Any, ...]] = []

    def hear(*report: Any) -> None:
        heard.append(report)
        service.heard.set()

    assert way(endpoint, lambda client: client.items(), progress=hear) == [1]
    assert heard == [(0.5, None, "")]
    service.heard.clear()
    assert way(endpoint, lambda client: client.apply(lambda value: value + 1), progress=hear) == 4
    assert heard[-1] == (1, 2, "")


def test_a_coroutine_function_hears_it_too(service: Service, endpoint: str) -> None:
    heard: list[float] = []

    async def hear(done: float, total: float | None, text: str) -> None:
        await asyncio.sleep(0)
        heard.append(done)
        service.heard.set()

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert await zerorpc.options(client, progress=hear).acopy(1) == 1

    run(main())
    assert heard == [0]
    with zerorpc.Client(endpoint) as client, pytest.raises(TypeError, match="is async"):
        zerorpc.options(client, progress=hear).copy(1)


def test_one_that_raises_harms_nothing(service: Service, endpoint: str) -> None:
    heard: list[float] = []

    def hear(done: float, total: float | None, text: str) -> None:
        heard.append(done)
        if done == 99:
            service.heard.set()
        raise ValueError

    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        assert zerorpc.options(client, progress=hear).copy(100) == 100
    assert heard[-1] == 99


def test_who_does_not_listen_is_sent_nothing(service: Service, endpoint: str) -> None:
    service.heard.set()
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        assert client.copy(3) == 3
        assert client.process() == 1
        assert zerorpc.options(client, progress=print).process() == 1
    with RawPeer.to(endpoint) as older:
        older.send({"message_id": b"1", "v": 3, "_zpc_call": {"progress": True}}, "copy", [3])
        assert older.next_event().args == [3]


def test_outside_of_a_method_nothing_happens() -> None:
    zerorpc.progress(1, 2, "three")


@pytest.mark.parametrize(
    ("report", "why"),
    [(("1",), "done has to be a number"), ((1, "2"), "total has to be"), ((1, 2, b"3"), "text has to be a text")],
)
def test_what_is_no_report(report: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        zerorpc.progress(*report)


def test_what_is_no_function(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        with pytest.raises(TypeError, match="progress has to be a function, not a int"):
            zerorpc.options(client, progress=5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="hedged"):
            zerorpc.options(client, progress=print, hedge=True).copy(1)
        assert zerorpc.options(client, progress=None).process() == 1


def test_reports_come_while_the_call_goes_on(endpoint: str, service: Service) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            heard: list[float] = []
            call = zerorpc.options(client, progress=lambda done, *_: heard.append(done)).copy(50)
            task = asyncio.ensure_future(call)
            await eventually_async(lambda: 49 in heard)
            service.heard.set()
            assert await task == 50

    run(main())


@EACH_WAY
def test_what_its_function_raises_is_logged(
    endpoint: str, service: Service, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(done: float, total: float | None, text: str) -> None:
        service.heard.set()
        raise LookupError("no bar")

    assert way(endpoint, lambda client: zerorpc.options(client, progress=refuse).acopy(1)) == 1
    # The method ends when it has heard, which may be before the function has raised.
    eventually(lambda: "the progress function refuse raised LookupError" in caplog.text)


def test_any_number_is_one(endpoint: str, service: Service) -> None:
    told: list[Any] = []

    def report(done: float, total: float | None, text: str) -> None:
        told.append((done, total, text))
        service.heard.set()

    def method() -> None:
        zerorpc.progress(np.int64(3), np.float32(4), "\x1b[2J\ud800")
        service.heard.wait(PATIENCE)

    with serving({"method": method}) as server, zerorpc.Client(server.endpoints[0]) as client:
        zerorpc.options(client, progress=report).method()
    assert told == [(3.0, 4.0, "\\x1b[2J\\ud800")]
    with pytest.raises(TypeError, match="done has to be a number, not a str"):
        zerorpc.progress("half")  # type: ignore[arg-type]
