"""What a method can know of its call, on every kind of method; and metadata, both ways."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
from tests.client.ways import EITHER_CLIENT, Way
from tests.service.process_services import tells_in_process
from tests.service.running import PATIENCE, eventually, joined, on_thread, run, serving

METADATA = {"trace": "abc", "picture": b"\x00\xff", "über": "größe"}


def known() -> list[Any]:
    call = zerorpc.current_call()
    call.reply_metadata["first"] = call.method
    call.end_metadata["last"] = b"\x01"
    remaining = call.remaining()
    return [call.method, call.peer, dict(call.metadata), call.cancelled, remaining is None or remaining > 0]


class Service:
    def plain(self) -> Any:
        return known()

    async def coroutine(self) -> Any:
        await asyncio.sleep(0)
        return known()

    async def at_once(self) -> Any:
        return known()

    @zerorpc.on_loop
    def quick(self) -> Any:
        return known()

    async def in_a_task(self) -> Any:
        async def child() -> Any:
            return known()

        return (await asyncio.gather(child(), asyncio.to_thread(known)))[1]

    def generator(self) -> Iterator[Any]:
        yield from known()

    async def async_generator(self) -> AsyncIterator[Any]:
        for item in known():
            yield item

    def returns_a_coroutine(self) -> Any:
        return self.coroutine()

    in_process = staticmethod(tells_in_process)

    def fails(self) -> None:
        known()
        raise ValueError("on purpose")

    def fails_in_the_middle(self) -> Iterator[int]:
        known()
        yield 1
        raise ValueError("on purpose")

    def in_a_thread_of_its_own(self) -> Any:
        found: list[Any] = []

        def look() -> None:
            try:
                found.append(zerorpc.current_call())
            except LookupError as error:
                found.append(str(error))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return found


PLAIN = ["plain", "coroutine", "at_once", "quick", "in_a_task", "returns_a_coroutine", "in_process"]
STREAMS = ["generator", "async_generator"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Service()) as server:
        yield server.endpoints[0]


@EITHER_CLIENT
@pytest.mark.parametrize("method", [*PLAIN, *STREAMS])
def test_what_a_method_knows(endpoint: str, method: str, way: Way) -> None:
    name, peer, metadata, cancelled, has_time = way(endpoint, lambda client: client(method), metadata=METADATA)
    assert name == method
    assert peer.startswith("tcp://127.0.0.1:")
    assert (metadata, cancelled, has_time) == (METADATA, False, True)
    assert way(endpoint, lambda client: client(method))[2] == {}


@pytest.mark.parametrize("method", PLAIN)
def test_metadata_comes_back_with_a_reply(endpoint: str, method: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            call = client(method)
            await call
            assert (call.metadata, call.end_metadata) == ({"first": method}, {"last": b"\x01"})

    run(main())


@pytest.mark.parametrize("method", STREAMS)
def test_and_with_a_stream(endpoint: str, method: str) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            stream = await client(method)
            assert (stream.metadata, stream.end_metadata) == ({"first": method}, {})
            assert len([item async for item in stream]) == 5
            assert stream.end_metadata == {"last": b"\x01"}

    run(main())
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        stream = client(method)
        assert (stream.metadata, stream.end_metadata) == ({"first": method}, {})
        assert len(list(stream)) == 5
        assert (stream.metadata, stream.end_metadata) == ({"first": method}, {"last": b"\x01"})


@EITHER_CLIENT
def test_and_with_an_error(endpoint: str, way: Way) -> None:
    for method in ("fails", "fails_in_the_middle"):
        with pytest.raises(zerorpc.RemoteError) as caught:
            way(endpoint, lambda client, method=method: client(method))
        assert caught.value.metadata["last"] == b"\x01"
        assert ("first" in caught.value.metadata) == (method == "fails")


def test_hooks_leave_it_be() -> None:
    context = zerorpc.Context()
    context.register_middleware({"server_after_exec": lambda *args: None, "client_after_request": lambda *args: None})

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, context=context, timeout=PATIENCE) as client:
            call = zerorpc.options(client, metadata=METADATA).plain()
            assert (await call)[2] == METADATA
            assert (call.metadata, call.end_metadata) == ({"first": "plain"}, {"last": b"\x01"})
            stream = await client.generator()
            assert len([item async for item in stream]) == 5
            assert (stream.metadata, stream.end_metadata) == ({"first": "generator"}, {"last": b"\x01"})

    with serving(Service(), context=context) as server:
        run(main(server.endpoints[0]))


@pytest.mark.parametrize("junk", [{"a": 5}, {5: "a"}, {"a": None}])
def test_metadata_is_texts_or_bytes(junk: Any) -> None:
    with zerorpc.Client() as client, pytest.raises(TypeError, match="metadata has to be texts or bytes by name"):
        zerorpc.options(client, metadata=junk)


def test_what_a_method_puts_there_that_cannot_be_sent() -> None:
    def odd() -> None:
        zerorpc.current_call().reply_metadata["a"] = object()  # type: ignore[assignment]

    with joined({"odd": odd, "echo": lambda value: value}) as client:
        with pytest.raises(zerorpc.RemoteError, match="can't be sent"):
            client.odd()
        assert client.echo(1) == 1


@EITHER_CLIENT
def test_an_old_server_cannot_take_metadata(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    monkeypatch.setattr("zerorpc.protocol.peer.EXTENSION_LEVEL", 0)
    ran: list[int] = []
    with serving({"f": lambda: ran.append(1)}) as server:
        endpoint = server.endpoints[0]
        with pytest.raises(zerorpc.NotSupported, match=rf"f: the server at {endpoint} .*has no metadata") as caught:
            way(endpoint, lambda client: client.f(), metadata=METADATA)
        assert (caught.value.ran, ran) == (False, [])


def test_an_old_client_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.peer.EXTENSION_LEVEL", 0)
    with joined(Service()) as client:
        assert client.plain()[0] == "plain"
        stream = client.generator()
        assert len(list(stream)) == 5
        assert (stream.metadata, stream.end_metadata) == ({}, {})


def test_outside_of_a_method_there_is_none(endpoint: str) -> None:
    with pytest.raises(LookupError, match="there is no current call"):
        zerorpc.current_call()
    with zerorpc.deadline(5), pytest.raises(LookupError):
        zerorpc.current_call()
    with zerorpc.Client(endpoint) as client:
        (told,) = client.in_a_thread_of_its_own()
        assert "there is no current call" in told


def test_each_of_many_calls_at_once_has_its_own() -> None:
    class Names:
        async def coroutine(self, number: int) -> Any:
            await asyncio.sleep(0.001 * (number % 3))
            return zerorpc.current_call().metadata["number"] == str(number)

        def plain(self, number: int) -> Any:
            return zerorpc.current_call().metadata["number"] == str(number)

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            views = [zerorpc.options(client, metadata={"number": str(n)}) for n in range(200)]
            calls = [view(("coroutine", "plain")[n % 2], n) for n, view in enumerate(views)]
            assert all(await asyncio.gather(*calls))

    with serving(Names()) as server:
        run(main(server.endpoints[0]))


def test_what_a_puller_runs_has_one_too() -> None:
    seen: list[Any] = []

    def take() -> None:
        call = zerorpc.current_call()
        seen.append((call.method, call.peer, dict(call.metadata), call.remaining(), call.cancelled))

    async def take_on_loop() -> None:
        take()

    puller = zerorpc.Puller({"take": take, "take_on_loop": take_on_loop})
    (endpoint,) = puller.bind("tcp://127.0.0.1:0")
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.take()
        pusher.take_on_loop()
        eventually(lambda: len(seen) == 2)
    assert seen == [("take", None, {}, None, False), ("take_on_loop", None, {}, None, False)]
    assert "zerorpc" not in [variable.name for variable in contextvars.copy_context()]
