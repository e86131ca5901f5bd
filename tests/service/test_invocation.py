"""Whatever a method or a request is like, its caller gets a reply."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import RawPeer, joined, serving
from tests.service.services import HEADER, Cooler, remote_error
from zerorpc.protocol.events import encode

# What methods raise


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class WrongText(Exception):
    def __str__(self) -> str:
        return 1  # type: ignore[return-value]  # noqa: PLE0307


RAISED = {
    "ValueError": ValueError("a bad value"),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "BaseException": BaseException("the root of all"),
    "CancelledError": asyncio.CancelledError(),
    "StopIteration": StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration(),
    "BadText": BadText(),
    "WrongText": WrongText(),
    "UnicodeError": UnicodeError("\ud800"),
    "Empty": Exception(),
}


class Raises:
    def plain(self, name: str) -> None:
        raise RAISED[name]

    @zerorpc.on_loop
    def quick(self, name: str) -> None:
        raise RAISED[name]

    async def coroutine(self, name: str) -> None:
        raise RAISED[name]

    async def waiting(self, name: str) -> None:
        await asyncio.sleep(0)
        raise RAISED[name]

    def wrapper(self, name: str) -> Any:
        return self.waiting(name)

    def generator(self, name: str) -> Iterator[int]:
        raise RAISED[name]
        yield 1

    async def async_generator(self, name: str) -> AsyncIterator[int]:
        raise RAISED[name]
        yield 1


@pytest.fixture(scope="module")
def raises() -> Iterator[zerorpc.Client]:
    with joined(Raises()) as client:
        yield client


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize("how", ["plain", "quick", "coroutine", "waiting", "wrapper", "generator", "async_generator"])
def test_whatever_a_method_raises_the_caller_gets_a_reply(raises: zerorpc.Client, how: str, name: str) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        list(raises(how, name))
    expected = {type(RAISED[name]).__name__}
    if name.startswith("Stop") and how not in ("plain", "quick"):
        expected.add("RuntimeError")  # Python's own translation: PEP 479
    assert caught.value.name in expected
    assert caught.value.traceback is not None
    assert 2 * "Traceback (most recent call last):\n" not in caught.value.traceback


def test_a_remote_error_has_name_message_and_the_methods_own_traceback() -> None:
    with joined(Raises()) as client:
        for how in ("plain", "quick", "coroutine", "waiting"):
            error = remote_error(client, how, "ValueError")
            assert (error.name, error.msg) == ("ValueError", "a bad value")
            assert error.traceback is not None
            assert error.traceback.startswith("Traceback (most recent call last):")
            assert "raise RAISED[name]" in error.traceback
            assert str(Path(zerorpc.__file__).parent) not in error.traceback


def test_an_error_in_the_middle_of_a_stream() -> None:
    def plain() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    async def on_the_loop() -> AsyncIterator[int]:
        yield 1
        raise ValueError("no more")

    with joined({"plain": plain, "on_the_loop": on_the_loop}) as client:
        for items in (client.plain(), client.on_the_loop()):
            assert next(items) == 1
            assert remote_error(next, items).msg == "no more"
            with pytest.raises(StopIteration):
                next(items)


def test_an_old_peer_of_protocol_one_gets_one_string() -> None:
    with serving(Raises()) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send({"message_id": b"1" * 32}, "plain", ["ValueError"])
        assert peer.next_event().args == ["ValueError('a bad value')"]
        peer.send({"message_id": b"2" * 32}, "plain", ["BadText"])
        assert len(peer.next_event().args) == 1


# What can't be run, or sent


def test_unknown_methods_and_wrong_arguments() -> None:
    with joined(Cooler()) as client:
        error = remote_error(client.nothing, 1)
        assert (error.name, error.msg) == ("NameError", "nothing")
        error = remote_error(client.add_man)
        assert error.name == "TypeError"
        assert "add_man" in error.msg
        assert "sentence" in error.msg
        assert client.add_man("still") == "still, man!"


def test_wrong_arguments_name_the_method_and_not_the_function() -> None:
    async def another(x: int) -> int:
        return x

    def fail(x: int) -> int:
        raise TypeError("its own")

    methods = {"f": lambda x: x, "g": another, "h": zerorpc.on_loop(lambda x: x), "fail": fail}
    with joined(methods) as client:
        for name in ("f", "g", "h"):
            error = remote_error(client, name)
            assert error.name == "TypeError"
            assert error.msg.startswith(f"{name}()")  # and not with <lambda> or another
            assert "'x'" in error.msg
            assert client(name, 1) == 1
        assert remote_error(client.fail, 1).msg == "its own"


def test_results_that_cant_be_sent_name_the_method() -> None:
    async def coroutine() -> object:
        return object()

    async def async_generator() -> AsyncIterator[object]:
        yield 1
        yield object()

    def generator() -> Iterator[object]:
        yield 1
        yield object()

    cycle: list[Any] = []
    cycle.append(cycle)
    methods = {
        "plain": object,
        "coroutine": coroutine,
        "quick": zerorpc.on_loop(lambda: [object()]),
        "cycle": lambda: cycle,
    }
    with joined({**methods, "generator": generator, "async_generator": async_generator}) as client:
        for name in methods:
            error = remote_error(client, name)
            assert error.name == "TypeError"  # as 0.6 calls it
            assert f"the result of {name} can't be sent" in error.msg
        for name in ("generator", "async_generator"):
            items = client(name)
            assert next(items) == 1
            error = remote_error(next, items)
            assert error.name == "TypeError"
            assert f"the item of {name} can't be sent" in error.msg
        assert client._zerorpc_ping()[0] == "pong"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encode(HEADER, "echo", []).replace(b"\xa4echo", b"\xc4\x04echo"), "TypeError"),  # a name of bytes
        (encode(HEADER, "echo", {}), "TypeError"),  # arguments that are no array
        (encode(HEADER, "echo", None), "TypeError"),
        (encode(HEADER, "echo", ["x"]).replace(b"\xa1x", b"\xa1\xff"), "TypeError"),  # not UTF-8
        (encode(HEADER, "echo", []).replace(b"\xaamessage_id", b"\xc4\x0amessage_id"), "TypeError"),  # header keys
    ],
)
def test_requests_that_cant_be_understood_get_an_error(data: bytes, name: str) -> None:
    with serving({"echo": lambda *args: list(args)}) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send_data(data)
        reply = peer.next_event()
        assert reply.name == "ERR"
        assert reply.args[0] == name
        assert "echo" in reply.args[1]
        peer.send(HEADER, "echo", [1])
        assert peer.next_event().args == [[1]]


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x01", b"\x93\x01\x01\x01", b"\x93\x80\xa1x\x90", b"\xdd\xff\xff\xff\xff"]
)
def test_what_is_no_event_at_all_disturbs_nobody(data: bytes) -> None:
    with serving({"echo": lambda *args: list(args)}) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send_data(data)
        peer.send(HEADER, "echo", [1])
        assert peer.next_event().args == [[1]]


# Memory


def test_what_a_method_took_is_free_before_its_memory_error_is_told() -> None:
    """Or there would be no memory to tell it with."""
    alive: list[bool] = []

    class Taken:
        """What can be referred to weakly."""

    def exhaust() -> None:
        taken = Taken()
        weak.append(weakref.ref(taken))
        raise MemoryError

    weak: list[weakref.ref[Taken]] = []
    context = zerorpc.Context()
    context.register_middleware({"server_inspect_exception": lambda *_: alive.append(weak[0]() is not None)})
    with joined({"exhaust": exhaust}, context=context) as client:
        assert remote_error(client.exhaust).name == "MemoryError"
    assert alive == [False]
