"""Both clients under one face, for gRPC's interoperability cases (test_grpc_cases.py)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

import zerorpc
from tests.service.running import PATIENCE
from zerorpc.client.async_call import AsyncStream
from zerorpc.client.stream import Stream

_TIMEOUT = 3 * PATIENCE  # s; of a thousand large calls at once the last one has to wait for all others


class Told(NamedTuple):
    """A reply with all that comes along; a stream as the list of its items."""

    value: Any
    metadata: dict[str, str | bytes]
    end_metadata: dict[str, str | bytes]


class Blocking:
    """``Client``."""

    def __init__(self, endpoint: str, **settings: Any) -> None:
        self._client = zerorpc.Client(endpoint, timeout=_TIMEOUT, **settings)

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

    def ping_pong(self, method: str, requests: list[Any]) -> Iterator[Any]:
        """One stream both ways: each response, before the next request is even given."""
        given: queue.SimpleQueue[Any] = queue.SimpleQueue()
        given.put(requests[0])
        with zerorpc.options(self._client)(f"TestService.{method}", iter(given.get, None)) as stream:
            for request in [*requests[1:], None]:
                yield next(stream)
                given.put(request)
            assert list(stream) == []

    def cancel_at_once(self, method: str, *args: Any) -> None:
        call = zerorpc.options(self._client, async_=True)(f"TestService.{method}", *args)
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
        return zerorpc.AsyncClient(endpoint, timeout=_TIMEOUT, **settings)

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

    def ping_pong(self, method: str, requests: list[Any]) -> Iterator[Any]:
        given: asyncio.Queue[Any] = asyncio.Queue()

        async def ask() -> AsyncIterator[Any]:
            while (request := await given.get()) is not None:
                yield request

        async def begin() -> Any:
            return await zerorpc.options(self._client)(f"TestService.{method}", ask())

        given.put_nowait(requests[0])
        stream = self._runner.run(begin())
        for request in [*requests[1:], None]:
            yield self._runner.run(stream.__anext__())
            given.put_nowait(request)
        with pytest.raises(StopAsyncIteration):
            self._runner.run(stream.__anext__())

    def cancel_at_once(self, method: str, *args: Any) -> None:
        async def act() -> None:
            call = asyncio.ensure_future(self._client(f"TestService.{method}", *args))
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
