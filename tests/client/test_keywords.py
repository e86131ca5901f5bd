"""Keyword arguments, between two of ours, on every kind of method and by every way to call; and to older servers."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest

import zerorpc
from tests.client.ways import EACH_WAY, EITHER_CLIENT, Way
from tests.service.process_services import moved_in_process
from tests.service.running import PATIENCE, RawPeer, eventually, joined, serving
from zerorpc.protocol import peer


class Robot:
    """Its methods give back what came."""

    def plain(self, x: int, y: int = 2, *, speed: float = 1.0) -> Any:
        return [x, y, speed]

    async def coroutine(self, x: int, y: int = 2, *, speed: float = 1.0) -> Any:
        return [x, y, speed]

    @zerorpc.on_loop
    def on_loop(self, x: int, y: int = 2, *, speed: float = 1.0) -> Any:
        return [x, y, speed]

    def generator(self, x: int, y: int = 2, *, speed: float = 1.0) -> Iterator[Any]:
        yield from [x, y, speed]

    async def async_generator(self, x: int, y: int = 2, *, speed: float = 1.0) -> AsyncIterator[Any]:
        for value in (x, y, speed):
            yield value

    @zerorpc.rep
    def listed(self, x: int, y: int = 2, *, speed: float = 1.0) -> Iterator[Any]:
        yield from [x, y, speed]

    @zerorpc.stream
    async def streamed(self, x: int, y: int = 2, *, speed: float = 1.0) -> Any:
        return [x, y, speed]

    in_process = staticmethod(moved_in_process)

    def has_timeout(self, x: int, timeout: float | None = 9.0, slots: int = 8, async_: bool = False) -> Any:
        return [x, timeout, slots, async_]

    def takes_any(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    call = options = metadata = plain  # no name is reserved


KINDS = [
    "plain", "coroutine", "on_loop", "generator", "async_generator", "listed", "streamed", "in_process", "call",
    "options", "metadata",
]  # fmt: skip


@pytest.fixture(scope="module")
def robot() -> Iterator[str]:
    with serving(Robot()) as server:
        yield server.endpoints[0]


@EACH_WAY
@pytest.mark.parametrize("method", KINDS)
def test_each_kind_of_method(robot: str, method: str, way: Way) -> None:
    assert way(robot, lambda client: getattr(client, method)(1, speed=0.5)) == [1, 2, 0.5]
    assert way(robot, lambda client: client(method, y=5, x=4)) == [4, 5, 1.0]


@EACH_WAY
def test_any_keyword_of_a_view_is_the_methods(robot: str, way: Way) -> None:
    assert way(robot, lambda c: c.has_timeout(1, timeout=2.5, slots=3, async_=True), timeout=20) == [1, 2.5, 3, True]
    assert way(robot, lambda c: c("has_timeout", x=1, timeout=None), slots=7) == [1, None, 8, False]
    assert way(robot, lambda c: c.takes_any(timeout=1), timeout=20) == [[], {"timeout": 1}]


@EITHER_CLIENT
def test_the_old_spelling_is_refused_where_it_may_be_meant_for_the_method(robot: str, way: Way) -> None:
    """Or else its default would be taken without a word."""
    assert way(robot, lambda client: client.plain(1, timeout=20, slots=5)) == [1, 2, 1.0]
    assert way(robot, lambda client: client.takes_any(1, timeout=20)) == [[1], {}]
    with pytest.raises(zerorpc.WrongArguments, match=r"has a parameter timeout of its own.*zerorpc\.options") as caught:
        way(robot, lambda client: client.has_timeout(1, timeout=20))
    assert caught.value.ran is False


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"x": 1, "spede": 2}, "unexpected keyword argument 'spede'"),
        ({"y": 1}, "'x'"),
        ({}, "'x'"),
    ],
)
@pytest.mark.parametrize("method", ["plain", "coroutine", "generator", "in_process"])
def test_what_does_not_fit(robot: str, method: str, kwargs: dict[str, Any], why: str, way: Way) -> None:
    with pytest.raises(zerorpc.WrongArguments) as caught:
        way(robot, lambda client: client(method, **kwargs))
    assert why in caught.value.msg
    assert method == "in_process" or caught.value.ran is False


def test_twice_the_same_one() -> None:
    with joined(Robot()) as client, pytest.raises(zerorpc.WrongArguments, match="multiple values for argument 'x'"):
        client.plain(1, x=2)


@pytest.mark.parametrize(
    "junk", [5, "text", {"kwargs": 5}, {"kwargs": {1: 2}}, {"metadata": {"a": 5}}, {"deadline": "x"}]
)
def test_a_header_that_means_nothing_is_an_error_for_that_call_only(robot: str, junk: Any) -> None:
    with RawPeer.to(robot) as raw:
        raw.send({"message_id": b"1", "v": 3, "_zpc_call": junk}, "plain", [1])
        event = raw.next_event()
        assert event.name == "ERR"
        assert "_zpc_call" in event.args[1] or "metadata" in event.args[1]
        raw.send({"message_id": b"2", "v": 3, "_zpc_call": {"kwargs": None, "unknown": 1}}, "plain", [1])
        assert raw.next_event().args == [[1, 2, 1.0]]


def test_hooks_see_them_and_may_change_them() -> None:
    seen: list[Any] = []

    class Middleware:
        def client_before_request(self, event: Any) -> None:
            seen.append(event.header["_zpc_call"]["kwargs"].copy())
            event.header["_zpc_call"]["kwargs"]["y"] = 7

        def server_before_exec(self, event: Any) -> None:
            seen.append(event.header["_zpc_call"]["kwargs"])

    context = zerorpc.Context()
    context.register_middleware(Middleware())
    with serving(Robot(), context=context) as server, zerorpc.Client(server.endpoints[0], context=context) as client:
        assert client.plain(x=1) == [1, 7, 1.0]
    assert seen == [{"x": 1}, {"x": 1, "y": 7}]


# Older servers: ours, without the extension, and with the answers of zerorpc 0.6 to what is asked of its methods


def _told(*parameters: Any) -> dict[str, Any]:
    return {"name": "old", "methods": {"move": {"args": list(parameters), "doc": None}}}


SELF, X, Y = {"name": "self"}, {"name": "x"}, {"name": "y"}
SPEED, NOTE = {"name": "speed", "default": 1.0}, {"name": "note", "default": None}


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Serves ``move``, which gives back its arguments, and ``_zerorpc_inspect``."""
    monkeypatch.setattr(peer, "EXTENSION_LEVEL", 0)

    def serve(inspect: Callable[[], Any]) -> Any:
        asked = []

        def inspected() -> Any:
            asked.append(1)
            return inspect()

        methods = {"move": lambda *args: list(args), "_zerorpc_inspect": inspected, "asked": lambda: len(asked)}
        return serving(methods)

    return serve


@EACH_WAY
@pytest.mark.parametrize(
    ("args", "kwargs", "sent"),
    [
        ((1, 2), {}, [1, 2]),
        ((1,), {"y": 2}, [1, 2]),
        ((), {"y": 2, "x": 1}, [1, 2]),
        ((1, 2), {"note": "n"}, [1, 2, 1.0, "n"]),
        ((), {"speed": 3, "x": 1, "y": 2}, [1, 2, 3]),
    ],
)
@pytest.mark.parametrize("first", [[SELF], []])
def test_an_old_server_gets_positions(
    old: Callable[..., Any], first: list[Any], args: Any, kwargs: Any, sent: list[Any], way: Way
) -> None:
    with old(lambda: _told(*first, X, Y, SPEED, NOTE)) as server:
        assert way(server.endpoints[0], lambda client: client.move(*args, **kwargs)) == sent


@EACH_WAY
@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((1, 2), {"spede": 3}, "spede"),
        ((1,), {"x": 3}, "x"),
        ((), {"y": 3}, "x"),
    ],
)
def test_what_an_old_server_cannot_take_is_refused_before_anything_is_sent(
    old: Callable[..., Any], args: Any, kwargs: Any, named: str, way: Way
) -> None:
    with old(lambda: _told(SELF, X, Y, SPEED)) as server:
        endpoint = server.endpoints[0]
        with pytest.raises(
            TypeError, match=rf"^move: the server at {endpoint} speaks an older.* {named} can't"
        ) as caught:
            way(endpoint, lambda client: client.move(*args, **kwargs))
        assert isinstance(caught.value, zerorpc.NotSupported)
        assert (caught.value.ran, caught.value.method) == (False, "move")


@EACH_WAY
def test_numbers_of_numpy_and_large_octets_by_keyword(old: Callable[..., Any], way: Way) -> None:
    """As Python's numbers, and in one piece."""
    with old(lambda: _told(X, Y, SPEED)) as server:
        endpoint, large = server.endpoints[0], bytes(100_000)
        assert way(endpoint, lambda client: client.move(np.float64(1.5), np.int8(2))) == [1.5, 2]
        assert way(endpoint, lambda client: client.move(x=np.float64(1.5), y=np.int8(2))) == [1.5, 2]
        assert way(endpoint, lambda client: client.move(x=large, y=[large])) == [large, [large]]
        with pytest.raises(zerorpc.NotSupported, match=r"no values of type set \(it takes a list\)"):
            way(endpoint, lambda client: client.move({1}, y=2))


@EACH_WAY
@pytest.mark.parametrize("star", ["*rest", "*"])
def test_what_stands_behind_all_positions_has_none(old: Callable[..., Any], star: str, way: Way) -> None:
    """Another of them would take it: a server of ours behind a broker of libzmq's looks like an old one."""
    with old(lambda: _told(X, {"name": star}, SPEED)) as server:
        endpoint = server.endpoints[0]
        with pytest.raises(zerorpc.NotSupported, match=r"speed can't .* has no such parameter; its parameters: x$"):
            way(endpoint, lambda client: client.move(1, speed=2))
        assert way(endpoint, lambda client: client.move(x=1)) == [1]


def _fails() -> Any:
    raise AttributeError("module 'inspect' has no attribute 'getargspec'")  # 0.6 on Python 3.11 and later


@EACH_WAY
@pytest.mark.parametrize(
    "inspect",
    [
        _fails,
        lambda: None,
        lambda: {"methods": {}},
        lambda: {"methods": {"move": {"args": [5]}}},
        lambda: {"methods": 5},
    ],
)
def test_one_that_does_not_tell_its_parameters(old: Callable[..., Any], inspect: Any, way: Way) -> None:
    with old(inspect) as server, pytest.raises(zerorpc.NotSupported, match="doesn't tell what the method takes"):
        way(server.endpoints[0], lambda client: client.move(x=1))


def test_it_is_asked_once_for_a_connection_and_others_do_not_wait(old: Callable[..., Any]) -> None:
    gate = threading.Event()

    def told() -> Any:
        assert gate.wait(PATIENCE)
        return _told(X, Y)

    with old(told) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        assert client.move(1) == [1]
        waiting = [client.move(x=n, y=2, async_=True) for n in range(20)]
        assert client.move(5, 6) == [5, 6]
        assert not any(call.ready() for call in waiting)
        gate.set()
        assert [call.get() for call in waiting] == [[n, 2] for n in range(20)]
        assert client.move(y=8, x=7) == [7, 8]
        assert client.asked() == 1


def test_a_call_with_keywords_goes_to_the_one_server_that_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"who": lambda x=0: "new"}) as new:
        with monkeypatch.context() as patch:
            patch.setattr(peer, "EXTENSION_LEVEL", 0)  # for what it says, and what is said to it
            with serving({"who": lambda x=0: "old"}) as server, zerorpc.Client(server.endpoints[0]) as client:
                assert client.who() == "old"
                patch.undo()
                client.connect(new.endpoints[0])
                eventually(lambda: {client.who() for _ in range(5)} == {"old", "new"})
                assert {client.who(x=1) for _ in range(10)} == {"new"}


def test_a_pusher_has_no_keywords() -> None:
    with zerorpc.Pusher() as pusher, pytest.raises(TypeError):
        pusher.move(x=1)
