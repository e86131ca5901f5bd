"""A message over the limit is refused by whoever would send it, and nothing else on the connection is lost."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from msgspec import Raw

import zerorpc
from tests.client.test_request import Caller
from tests.service.running import PATIENCE, TCP, eventually, on_thread, run, serving
from tests.service.services import remote_error
from tests.zmtp.links import encoded
from zerorpc.client.request import Request
from zerorpc.protocol.events import encode, encode_item, encode_ok
from zerorpc.zmtp import Limits, frames
from zerorpc.zmtp.frames import Framed, FrameDecoder

LOWERED = 100_000


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who send; who receives has the real one."""
    monkeypatch.setattr(frames, "MESSAGE_MAX", LOWERED)


@zerorpc.process
def from_process(size: int) -> bytes:
    return bytes(size)


class Makes:
    def text(self, size: int) -> str:
        return "x" * size

    def octets(self, size: int) -> bytes:
        return bytes(size)

    @zerorpc.on_loop
    def quick(self, size: int) -> str:
        return "x" * size

    async def coroutine(self, size: int) -> str:
        return "x" * size

    @zerorpc.rep
    def items_as_list(self, size: int) -> Iterator[str]:
        yield "x" * size

    def echo(self, value: Any) -> Any:
        return value

    def generator(self, *sizes: int) -> Iterator[str]:
        for size in sizes:
            yield "x" * size

    async def async_generator(self, *sizes: int) -> AsyncIterator[bytes]:
        for size in sizes:
            yield bytes(size)


METHODS = {name: getattr(Makes(), name) for name in dir(Makes) if not name.startswith("_")}
METHODS["in_process"] = from_process
RESULTS = ["text", "octets", "quick", "coroutine", "items_as_list", "in_process"]


def refusal(what: str) -> str:
    return rf"the {what} can't be sent: a message of \d+ octets \(the limit is {frames.MESSAGE_MAX}\)"


@pytest.fixture(params=[False, True], ids=["plain", "hooked"])
def context(request: pytest.FixtureRequest) -> zerorpc.Context:
    context = zerorpc.Context()
    if request.param:
        context.register_middleware({"server_before_exec": lambda event: None, "client_before_request": lambda e: None})
    return context


@pytest.mark.usefixtures("lowered")
def test_a_result_is_an_error_for_its_caller_alone(context: zerorpc.Context) -> None:
    with (
        serving(METHODS, pool_size=1, context=context) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        for method in RESULTS:
            error = remote_error(client, method, LOWERED)
            assert error.name == "TypeError"  # as 0.6 calls what can't be sent
            assert re.match(refusal(f"result of {method}"), error.msg)
            assert client.echo("the slot is free") == "the slot is free"


@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize("method", ["generator", "async_generator"])
def test_a_stream_ends_with_the_item_that_is_too_large(method: str, context: zerorpc.Context) -> None:
    with (
        serving(METHODS, pool_size=2, context=context) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        neighbour = client.generator(*[1] * 1000)
        next(neighbour)
        items = client(method, 1, LOWERED, 1)
        assert len(next(items)) == 1
        error = remote_error(next, items)
        assert error.name == "TypeError"
        assert re.match(refusal(f"item of {method}"), error.msg)
        assert len(list(items)) == 0
        assert client.echo("the slot is free") == "the slot is free"
        assert len(list(neighbour)) == 999


@pytest.mark.usefixtures("lowered")
def test_arguments_are_refused_at_once(context: zerorpc.Context) -> None:
    with (
        serving(METHODS, context=context) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE, context=context) as client,
    ):
        neighbour = client.generator(*[1] * 1000)
        next(neighbour)
        for value in ("x" * LOWERED, bytes(LOWERED), ["x"] * LOWERED):
            with pytest.raises(zerorpc.SerializationError, match=refusal("arguments of echo")):
                client.echo(value)
        assert client.echo(1) == 1
        assert len(list(neighbour)) == 999

        async def calls() -> None:
            async with zerorpc.AsyncClient(server.endpoints[0], timeout=PATIENCE, context=context) as client:
                other = client.echo(1)
                with pytest.raises(zerorpc.SerializationError, match=refusal("arguments of echo")):
                    client.echo("x" * LOWERED)
                assert await other == 1

        run(calls())


@pytest.mark.usefixtures("lowered")
@pytest.mark.parametrize(("sender", "receiver"), [("Pusher", "Puller"), ("Publisher", "Subscriber")])
def test_one_way_events_are_refused_at_once(sender: str, receiver: str) -> None:
    taken: list[Any] = []
    puller = getattr(zerorpc, receiver)({"take": taken.append})
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), getattr(zerorpc, sender)() as pusher:
        pusher.connect(endpoint)
        eventually(lambda: pusher.take("first") or taken)  # once it has subscribed
        with pytest.raises(zerorpc.SerializationError, match=refusal("arguments of take")):
            pusher.take("x" * LOWERED)
        pusher.take("last")
        eventually(lambda: taken[-1] == "last")
    assert set(taken) == {"first", "last"}


# What is at the limit exactly passes the decoder; what is one octet longer, it would refuse

AT = 20_000


def request(value: Any) -> bytes:
    return Request(Caller(), "echo", (value,), {}, None, 0.0).channel.data


def pushed(value: Any) -> bytes:
    sent: list[bytes] = []
    with zerorpc.Pusher() as pusher:
        pusher._core.put = sent.append  # type: ignore[assignment]
        pusher.take(value)
    return sent[0]


PACKERS: dict[str, Callable[[Any], bytes]] = {
    "event": lambda value: encode({}, "m", value),
    "result": lambda value: encode_ok(b"1" * 32, Raw(b"\xc0"), value),
    "item": lambda value: encode_item(b"1" * 32, Raw(b"\xc0"), value),
    "request": request,
    "pushed": pushed,
}


def parts_of(event: bytes) -> list[bytes]:
    return [bytes(event), *event.buffers] if isinstance(event, Framed) else [event]  # type: ignore[list-item]


def decoded(parts: list[bytes]) -> list[Any]:
    out: list[Any] = []
    FrameDecoder(Limits(message=AT)).receive(encoded(parts), out)
    return out


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("filling", [lambda size: "x" * size, bytes], ids=["text", "octets"])
def test_what_may_be_sent_is_just_what_the_decoder_takes(
    monkeypatch: pytest.MonkeyPatch, packer: str, filling: Callable[[int], Any]
) -> None:
    pack = PACKERS[packer]
    room = AT - (len(pack(filling(AT - 500))) - (AT - 500))  # what is left beside head and tail
    one_too_many = pack(filling(room + 1))
    large = isinstance(one_too_many, Framed)  # its head stands in a short frame, which isn't counted
    for parts in ([b"", *parts_of(one_too_many)], parts_of(one_too_many)):
        assert large or decoded(parts)[0][-1].why.startswith(f"a message of {AT + 1} octets or more")
    monkeypatch.setattr(frames, "MESSAGE_MAX", AT)
    most = pack(filling(room))
    assert len(most) == AT
    for parts in ([b"", *parts_of(most)], parts_of(most)):
        assert decoded(parts) == [parts]
    with pytest.raises(zerorpc.SerializationError, match=rf"a message of {AT + 1} octets \(the limit is {AT}\)"):
        pack(filling(room + 1))


@pytest.mark.skipif(sys.maxsize < 2**32, reason="takes more memory than a small system has")
def test_the_real_limit() -> None:
    """A request, its argument and its result of 128 MiB less the head; with one octet more nothing goes out."""
    room = frames.MESSAGE_MAX - (len(request(bytes(AT))) - AT)
    with serving({"size": len, "make": bytes}) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.size(bytes(room)) == room
        with pytest.raises(zerorpc.SerializationError, match=rf"a message of {frames.MESSAGE_MAX + 1} octets"):
            client.size(bytes(room + 1))
        assert re.match(refusal("result of make"), remote_error(client.make, frames.MESSAGE_MAX).msg)
        assert client.size("alive") == 5
