"""gRPC's interoperability cases, by name, with both clients over tcp.

What each asks for is in https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md. The cases of gRPC's
compression, credentials and load balancers are left out, and so are those of streams from the client.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, eventually, on_thread
from zerorpc.client.async_call import AsyncStream
from zerorpc.client.stream import Stream

UP, DOWN = 271_828, 314_159  # octets of large_unary
SIZES = [31_415, 9, 2_653, 58_979]
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
METADATA = {INITIAL: "test_initial_metadata_value", TRAILING: b"\xab\xab\xab"}
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

HEARTBEAT = 0.5  # s, of long_lived_channel
INTERVAL = 1.2  # s between its calls: more than two heartbeats


class Status(Exception):  # its name and its message travel
    """gRPC's status: code 2, UNKNOWN."""


class GrpcService:
    """The methods of gRPC's test service, with their features. ``running`` is how many of the endless ones run."""

    def __init__(self) -> None:
        self.running = 0
        self.peers: list[str | None] = []
        self._counting = threading.Lock()

    def empty_call(self) -> dict[str, Any]:
        return {}

    async def unary_call(self, payload: bytes = b"", *, response_size: int = 0, message: str | None = None) -> bytes:
        self.peers.append(zerorpc.current_call().peer)
        echo_metadata()
        if message is not None:
            raise Status(message)
        return bytes(response_size)

    def streaming_output_call(self, sizes: list[int], *, message: str | None = None) -> Iterator[bytes]:
        echo_metadata()
        yield from map(bytes, sizes)
        if message is not None:
            raise Status(message)

    async def sleeping_call(self) -> None:
        self._count(1)
        try:
            await asyncio.sleep(2 * PATIENCE)
        finally:
            self._count(-1)

    async def sleeping_stream(self, sizes: list[int]) -> AsyncIterator[bytes]:
        self._count(1)
        try:
            for size in sizes:
                yield bytes(size)
            await asyncio.sleep(2 * PATIENCE)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self.running += change


def echo_metadata() -> None:
    call = zerorpc.current_call()
    if INITIAL in call.metadata:
        call.reply_metadata[INITIAL] = call.metadata[INITIAL]
    if TRAILING in call.metadata:
        call.end_metadata[TRAILING] = call.metadata[TRAILING]


class Told(NamedTuple):
    """A reply with all that comes along; a stream as the list of its items."""

    value: Any
    metadata: dict[str, str | bytes]
    end_metadata: dict[str, str | bytes]


# Both clients under one face


class Blocking:
    """``Client``."""

    def __init__(self, endpoint: str, **settings: Any) -> None:
        self._client = zerorpc.Client(endpoint, timeout=PATIENCE, **settings)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _listed(zerorpc.options(self._client)(f"TestService.{method}", *args, **kwargs))

    def call_within(self, options: dict[str, Any], method: str, *args: Any) -> Any:
        return _listed(zerorpc.options(self._client, **options)(f"TestService.{method}", *args))

    def tell(self, metadata: dict[str, Any], method: str, *args: Any, **kwargs: Any) -> Told:
        call = zerorpc.options(self._client, metadata=metadata, async_=True)(f"TestService.{method}", *args, **kwargs)
        value = call.get()
        source = value if isinstance(value, Stream) else call
        return Told(_listed(value), source.metadata, source.end_metadata)

    def call_at_once(self, count: int, method: str, *args: Any, **kwargs: Any) -> set[int]:
        """The sizes of the replies, none of which is kept: there may be many."""
        view = zerorpc.options(self._client, async_=True)
        calls = [view(f"TestService.{method}", *args, **kwargs) for _ in range(count)]
        return {len(calls.pop().get()) for _ in range(count)}

    def cancel_at_once(self, method: str) -> None:
        call = zerorpc.options(self._client, async_=True)(f"TestService.{method}")
        assert call.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            call.get()

    def cancel_after_first(self, method: str, *args: Any) -> Any:
        with zerorpc.options(self._client)(f"TestService.{method}", *args) as stream:
            first = next(stream)
        assert list(stream) == []
        return first

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # an idle channel is one on which time passes

    def unknown(self, name: str) -> Any:
        return self._client(name)

    def close(self) -> None:
        self._client.close()


def _listed(result: Any) -> Any:
    return list(result) if isinstance(result, Stream) else result


class OnLoop:
    """``AsyncClient``."""

    def __init__(self, endpoint: str, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._client: zerorpc.AsyncClient = self._runner.run(self._make(endpoint, settings))

    async def _make(self, endpoint: str, settings: dict[str, Any]) -> zerorpc.AsyncClient:
        return zerorpc.AsyncClient(endpoint, timeout=PATIENCE, **settings)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self.tell({}, method, *args, **kwargs).value

    def call_within(self, options: dict[str, Any], method: str, *args: Any) -> Any:
        async def act() -> Any:
            result = await zerorpc.options(self._client, **options)(f"TestService.{method}", *args)
            return [item async for item in result] if isinstance(result, AsyncStream) else result

        return self._runner.run(act())

    def tell(self, metadata: dict[str, Any], method: str, *args: Any, **kwargs: Any) -> Told:
        async def act() -> Told:
            call = zerorpc.options(self._client, metadata=metadata)(f"TestService.{method}", *args, **kwargs)
            value = await call
            if not isinstance(value, AsyncStream):
                return Told(value, call.metadata, call.end_metadata)
            return Told([item async for item in value], value.metadata, value.end_metadata)

        return self._runner.run(act())

    def call_at_once(self, count: int, method: str, *args: Any, **kwargs: Any) -> set[int]:
        view = zerorpc.options(self._client)

        async def size() -> int:
            return len(await view(f"TestService.{method}", *args, **kwargs))

        async def act() -> set[int]:
            return set(await asyncio.gather(*(size() for _ in range(count))))

        return self._runner.run(act())

    def cancel_at_once(self, method: str) -> None:
        async def act() -> None:
            call = asyncio.ensure_future(self._client(f"TestService.{method}"))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        self._runner.run(act())

    def cancel_after_first(self, method: str, *args: Any) -> Any:
        async def act() -> Any:
            stream = await self._client(f"TestService.{method}", *args)
            first = await anext(stream)
            await stream.aclose()
            assert [item async for item in stream] == []
            return first

        return self._runner.run(act())

    def pause(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    def unknown(self, name: str) -> Any:
        async def act() -> Any:
            return await self._client(name)

        return self._runner.run(act())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


Face = Blocking | OnLoop


class Served(NamedTuple):
    """A running service, and a client of it; ``new_client`` makes others, to be closed."""

    service: GrpcService
    new_client: Callable[..., Face]
    client: Face


@pytest.fixture(params=[Blocking, OnLoop])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    service = GrpcService()
    server = zerorpc.Server(heartbeat=HEARTBEAT if "long_lived" in request.node.name else 30.0)
    server.register(service, prefix="TestService")
    (endpoint,) = server.bind(TCP)
    new_client = functools.partial(request.param, endpoint)
    with on_thread(server), contextlib.closing(new_client()) as client:
        yield Served(service, new_client, client)


def large_unary(client: Face) -> None:
    assert client.call("unary_call", bytes(UP), response_size=DOWN) == bytes(DOWN)


def test_empty_unary(served: Served) -> None:
    assert served.client.call("empty_call") == {}


def test_large_unary(served: Served) -> None:
    large_unary(served.client)


def test_server_streaming(served: Served) -> None:
    assert served.client.call("streaming_output_call", SIZES) == [bytes(size) for size in SIZES]


def test_empty_stream(served: Served) -> None:
    assert served.client.call("streaming_output_call", []) == []


def test_cancel_after_begin(served: Served) -> None:
    served.client.call("empty_call")
    served.client.cancel_at_once("sleeping_call")
    assert served.client.call("empty_call") == {}  # which comes after it
    eventually(lambda: served.service.running == 0)


def test_cancel_after_first_response(served: Served) -> None:
    assert served.client.cancel_after_first("sleeping_stream", SIZES[:1]) == bytes(SIZES[0])
    eventually(lambda: served.service.running == 0)


@pytest.mark.parametrize("bound", ["timeout", "deadline"])
@pytest.mark.parametrize(("method", "args"), [("sleeping_call", ()), ("sleeping_stream", ([],))])
def test_timeout_on_sleeping_server(served: Served, method: str, args: tuple[Any, ...], bound: str) -> None:
    served.client.call("empty_call")
    with pytest.raises(
        zerorpc.TimeoutExpired, match=rf"after 0\.001s, when calling remote method TestService.{method}"
    ):
        served.client.call_within({bound: 0.001}, method, *args)
    assert served.client.call("empty_call") == {}
    eventually(lambda: served.service.running == 0)


def test_custom_metadata(served: Served) -> None:
    back = ({INITIAL: METADATA[INITIAL]}, {TRAILING: METADATA[TRAILING]})
    for method, args, kwargs, value in (
        ("unary_call", (bytes(UP),), {"response_size": DOWN}, bytes(DOWN)),
        ("streaming_output_call", ([DOWN],), {}, [bytes(DOWN)]),
    ):
        assert served.client.tell(METADATA, method, *args, **kwargs) == Told(value, *back)


@pytest.mark.parametrize("method", ["unary_call", "streaming_output_call"])
def test_status_code_and_message(served: Served, method: str) -> None:
    check_status(served.client, method, "test status message")


@pytest.mark.parametrize("method", ["unary_call", "streaming_output_call"])
def test_special_status_message(served: Served, method: str) -> None:
    check_status(served.client, method, SPECIAL)


def check_status(client: Face, method: str, message: str) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.call(method, [] if method.startswith("streaming") else b"", message=message)
    assert (type(caught.value), caught.value.name) == (zerorpc.RemoteError, "Status")
    assert (caught.value.msg, caught.value.ran) == (message, True)


@pytest.mark.parametrize("name", ["TestService.unimplemented_call", "UnimplementedService.unimplemented_call"])
def test_unimplemented_method_and_unimplemented_service(served: Served, name: str) -> None:
    with pytest.raises(zerorpc.UnknownMethod) as caught:
        served.client.unknown(name)
    assert (caught.value.method, caught.value.msg, caught.value.ran) == (name, name, False)


def test_concurrent_large_unary(served: Served) -> None:
    assert served.client.call_at_once(1_000, "unary_call", bytes(UP), response_size=DOWN) == {DOWN}
    assert len(served.service.peers) == 1_000
    assert len(set(served.service.peers)) == 1


def test_rpc_soak(served: Served) -> None:
    """One channel. As many calls as make test has time for; tests/soak goes on for hours."""
    for _ in range(1_000):
        large_unary(served.client)
    assert len(set(served.service.peers)) == 1


def test_channel_soak(served: Served) -> None:
    """A channel for each call."""
    for _ in range(100):
        with contextlib.closing(served.new_client()) as client:
            large_unary(client)
    assert len(set(served.service.peers)) == 100


def test_long_lived_channel(served: Served) -> None:
    """It is idle for longer than the heartbeats of an open call may be missing."""
    with contextlib.closing(served.new_client(heartbeat=HEARTBEAT)) as client:
        for _ in range(3):
            large_unary(client)
            client.pause(INTERVAL)
        large_unary(client)
    assert len(set(served.service.peers)) == 1
