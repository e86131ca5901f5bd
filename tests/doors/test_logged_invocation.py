"""A line in the log for each call, of a server with ``log_calls``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import eventually, serving

LINES = "zerorpc.calls"


class Shop:
    def __init__(self) -> None:
        self.free = threading.Event()
        self.began = threading.Event()

    def add(self, a: int, b: int) -> int:
        return a + b

    async def soon(self) -> str:
        return "soon"

    def boom(self) -> None:
        raise ValueError("no luck")

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    def breaks(self) -> Iterator[int]:
        yield 1
        raise KeyError("halfway")

    def odd(self) -> object:
        return object()

    def wait(self) -> None:
        self.began.set()
        self.free.wait()

    async def wait_on_loop(self) -> None:
        self.began.set()
        await asyncio.sleep(60)  # longer than anybody waits


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[int], list[Any]]:
    """Waits until so many lines have been logged, and returns their records."""
    caplog.set_level(logging.INFO, LINES)

    def found(count: int) -> list[Any]:
        def logged() -> list[Any]:
            mine = [record for record in caplog.records if record.name == LINES]
            return [record for record in mine if not record.method.startswith("_z")]

        eventually(lambda: len(logged()) >= count)
        assert len(logged()) == count
        return logged()

    return found


@pytest.mark.parametrize(
    ("call", "method", "outcome"),
    [
        (lambda c: c.add(1, 2), "add", "ok"),
        (lambda c: c.soon(), "soon", "ok"),
        (lambda c: list(c.count(3)), "count", "ok"),
        (lambda c: c.boom(), "boom", "ValueError"),
        (lambda c: list(c.breaks()), "breaks", "KeyError"),
        (lambda c: c.odd(), "odd", "TypeError"),
        (lambda c: c.nosuch(), "nosuch", "UnknownMethod"),
        (lambda c: c.add("x", 1), "add", "InvalidArguments"),
        (lambda c: c.add(1), "add", "WrongArguments"),
        (lambda c: c("two\nlines"), "two\\nlines", "UnknownMethod"),
    ],
)
def test_a_call_is_one_line(
    call: Callable[[Any], object], method: str, outcome: str, lines: Callable[[int], list[Any]]
) -> None:
    with serving(Shop(), log_calls=True) as server, zerorpc.Client(server.endpoints[0]) as client:
        with contextlib.suppress(zerorpc.RemoteError):
            call(client)
        (record,) = lines(1)
    assert record.levelno == logging.INFO
    assert (record.method, record.outcome) == (method, outcome)
    assert record.caller.startswith("tcp://127.0.0.1:")
    assert 0 <= record.seconds < 30
    assert record.getMessage() == f"{record.caller} {method} {record.seconds * 1000:.3f} ms {outcome}"


@pytest.mark.parametrize("method", ["wait", "wait_on_loop"])
def test_a_caller_that_gave_up_is_gone(method: str, lines: Callable[[int], list[Any]]) -> None:
    shop = Shop()
    with serving(shop, log_calls=True) as server, zerorpc.Client(server.endpoints[0]) as client:
        call = client(method, async_=True)
        assert shop.began.wait(30)
        client.close()
        with pytest.raises(zerorpc.ZeroRPCError):
            call.get()
        if method == "wait":
            eventually(lambda: "links=0" in repr(server._core.hub))
        shop.free.set()
        (record,) = lines(1)
    assert (record.method, record.outcome) == (method, "gone")


def test_a_call_that_is_refused(lines: Callable[[int], list[Any]]) -> None:
    shop = Shop()
    with serving(shop, log_calls=True, pool_size=1, max_wait=0.05) as server:
        with zerorpc.Client(server.endpoints[0]) as client:
            first = client("wait", async_=True)
            assert shop.began.wait(30)
            second = client("add", 1, 2, async_=True)
            with pytest.raises(zerorpc.TimeoutExpired):
                second.get(timeout=1.5)
            shop.free.set()
            first.get()
            with pytest.raises(zerorpc.ServerOverloaded):
                second.get()
        records = lines(2)
    assert {(each.method, each.outcome) for each in records} == {("wait", "ok"), ("add", "ServerOverloaded")}


def test_each_repeat_of_a_key_is_a_call(lines: Callable[[int], list[Any]]) -> None:
    with serving(Shop(), log_calls=True) as server, zerorpc.Client(server.endpoints[0]) as client:
        for _ in range(2):
            assert zerorpc.options(client, key="k").add(1, 2) == 3
            with pytest.raises(zerorpc.RemoteError, match="no luck"):
                zerorpc.options(client, key="b").boom()
        records = lines(4)
    told = [(each.method, each.outcome) for each in records]
    assert told == [("add", "ok"), ("boom", "ValueError")] * 2


def test_who_called_is_told_if_it_is_known(lines: Callable[[int], list[Any]], tmp_path: Any) -> None:
    with (
        serving(Shop(), log_calls=True, bind=f"ipc://{tmp_path}/s", authenticator=lambda caller: "alice") as server,
        zerorpc.Client(server.endpoints[0]) as client,
    ):
        assert client.add(1, 2) == 3
        (record,) = lines(1)
    assert record.caller.startswith("alice at ")


def test_hooks_see_the_call_as_ever(lines: Callable[[int], list[Any]]) -> None:
    seen: list[str] = []
    context = zerorpc.Context()
    context.register_middleware({"server_before_exec": lambda event: seen.append(event.name)})
    with (
        serving(Shop(), log_calls=True, context=context) as server,
        zerorpc.Client(server.endpoints[0]) as client,
    ):
        assert client.add(1, 2) == 3
        lines(1)
    assert "add" in seen


def test_nothing_is_logged_without_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LINES)
    with serving(Shop()) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.add(1, 2) == 3
    assert not [record for record in caplog.records if record.name == LINES]
