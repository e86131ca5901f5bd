"""Methods that say of themselves that they may be run again."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, joined
from zerorpc.service.methods import Method


class Shop:
    @zerorpc.idempotent
    def price(self, item: str) -> int:
        return len(item)

    @zerorpc.idempotent
    async def later(self) -> None: ...

    @zerorpc.rep
    @zerorpc.idempotent
    def items(self) -> Iterator[int]:
        yield 1

    @zerorpc.idempotent
    @zerorpc.stream
    def streamed(self) -> list[int]:
        return [1]

    @zerorpc.idempotent
    @staticmethod
    def static() -> None: ...

    @zerorpc.idempotent
    @zerorpc.process
    def hard(self) -> None: ...

    def order(self, item: str) -> int:
        return len(item)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: object) -> Any:
        return function(*args)

    return inner


def test_it_is_published_and_what_is_not_marked_looks_as_before() -> None:
    with joined(Shop()) as client:
        methods = client._zerorpc_inspect()["methods"]
        assert {name for name, told in methods.items() if told.get("idempotent")} == methods.keys() - {"order"}
        assert methods["order"].keys() == {"args", "doc", "streams", "schema"}
        assert client.price("four") == 4
        assert client.items() == [1]


def test_a_decorator_above_keeps_it() -> None:
    assert Method("m", decorated(Shop().price)).idempotent
    assert Method("m", functools.partial(Shop().price, "x")).idempotent
    assert not Method("m", decorated(Shop().order)).idempotent


def test_a_built_in_is_refused() -> None:
    with pytest.raises(TypeError, match=r"@zerorpc.idempotent: .*len.* can't be marked; mark a function"):
        zerorpc.idempotent(len)


def test_a_server_that_is_overloaded_says_when_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 1)
    release = threading.Event()
    with joined({"f": lambda: release.wait(PATIENCE)}, pool_size=1) as client:
        calls = [client.f(async_=True) for _ in range(2)]
        with pytest.raises(zerorpc.ServerOverloaded) as caught:
            client.f()
        release.set()
        assert [call.get(timeout=PATIENCE) for call in calls] == [True] * 2
    assert caught.value.retry_after is not None
    assert 0 <= caught.value.retry_after < PATIENCE
