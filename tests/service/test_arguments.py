"""Arguments that can't be used: the caller gets a sentence that names the method and says what came."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import TCP, RawPeer, eventually, on_thread, serving
from tests.service.services import HEADER
from zerorpc.protocol.events import encode
from zerorpc.zmtp import SocketType


@zerorpc.process
def in_process(x: int) -> int:
    return x


class Methods:
    in_process = staticmethod(in_process)

    def plain(self, x: int) -> int:
        return x

    @zerorpc.on_loop
    def quick(self, x: int) -> int:
        return x

    async def coroutine(self, x: int) -> int:
        return x

    def generator(self, x: int) -> Iterator[int]:
        yield x

    async def async_generator(self, x: int) -> AsyncIterator[int]:
        yield x

    @zerorpc.rep
    def listed(self, x: int) -> Iterator[int]:
        yield x

    @zerorpc.stream
    def streamed(self, x: int) -> list[int]:
        return [x]


NAMES = [name for name in dir(Methods) if not name.startswith("_")] + ["_zerorpc_help"]
CAME = [
    (None, "nil"),
    ({"x": 1}, "a map"),
    ("text", "a string"),
    (b"octets", "a string of octets"),
    (5, "an integer"),
    (5.5, "a float"),
    (True, "a boolean"),
]


def hooked() -> zerorpc.Context:
    context = zerorpc.Context()
    context.register_middleware({"server_before_exec": lambda event: None})
    return context


CONTEXTS = pytest.mark.parametrize("context", [zerorpc.Context, hooked])


@CONTEXTS
@pytest.mark.parametrize("version", [1, 2, 3])
def test_what_is_no_array(version: int, context: Any) -> None:
    with serving(Methods(), context=context(), pool_size=1) as server, RawPeer.to(server.endpoints[0]) as peer:
        for name in NAMES:
            for args, came in CAME:
                sentence = f"the arguments of {name} have to be an array, such as [1, 2] or [], but {came} came"
                peer.send({"message_id": f"{name} {came}", "v": version}, name, args)
                told = peer.next_event()
                assert told.name == "ERR"
                if version == 1:
                    assert told.args == [f"TypeError('{sentence}')"]
                else:
                    assert told.args[:2] == ["TypeError", sentence]
                    assert "bind" not in told.args[2]


@CONTEXTS
def test_what_cant_be_decoded(context: Any) -> None:
    with serving(Methods(), context=context(), pool_size=1) as server, RawPeer.to(server.endpoints[0]) as peer:
        for name in NAMES:
            for n, (octets, why) in enumerate(((b"\x91\xa1\xff", "UTF-8"), (b"\x92\x01", "TRUNCATED"))):
                start = encode({"message_id": f"{name} {n}", "v": 3}, name, [])[:-1]
                peer.send_data(start + octets)
                error, message, trace = peer.next_event().args
                assert error == "TypeError"
                assert message.startswith(f"{name}: the arguments can't be decoded: ")
                assert why in message.upper()  # utf-8 before msgspec 0.23
                assert trace.endswith(f"{message}\n")


@CONTEXTS
def test_too_few_and_too_many_are_told_in_pythons_words_with_the_methods_name(context: Any) -> None:
    with serving(Methods(), context=context(), pool_size=1) as server, RawPeer.to(server.endpoints[0]) as peer:
        for name in NAMES:
            for args in ([], [1, 2, 3]):
                peer.send({"message_id": f"{name} {len(args)}", "v": 3}, name, args)
                error, message, _ = peer.next_event().args
                assert error == "TypeError"
                assert f"{name}()" in message
                assert "argument" in message


def test_what_a_puller_was_sent_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []
    puller = zerorpc.Puller({"take": taken.append})
    with on_thread(puller), RawPeer.to(puller.bind(TCP)[0], SocketType.PUSH) as peer:
        for args in (None, {}, [1, 2], [7]):
            peer.connection.send_message([encode(HEADER, "take", args)])
        peer._flush()
        eventually(lambda: taken == [7])
    for came, record in zip(("nil", "a map"), caplog.records, strict=False):
        why = f"the arguments of take have to be an array, such as [1, 2] or [], but {came} came"
        assert record.getMessage() == f"refused take of a caller: TypeError: {why}"
        assert logging.getLevelName(record.levelno) == "WARNING"
    assert "take raised TypeError" in caplog.text, "a built-in's own"
