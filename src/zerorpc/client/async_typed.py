"""What the calls of a typed AsyncClient give: converted when they are awaited, or item by item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

from zerorpc.client.async_call import AsyncStream, Call, items_of
from zerorpc.client.typed_results import Results
from zerorpc.not_picklable import NotPicklable

__all__ = ["AsyncResults"]


class AsyncResults(Results):
    """Of one method."""

    def of(self, outcome: object) -> Any:
        return _TypedCall(outcome, self) if isinstance(outcome, Call) else super().of(outcome)

    def value(self, value: object) -> Any:
        return _TypedStream(value, self) if isinstance(value, AsyncStream) else super().value(value)


class _TypedCall(NotPicklable, Coroutine[Any, Any, Any]):
    """A call, to be awaited or iterated over, or given to ``asyncio.create_task``."""

    def __init__(self, call: Call, results: AsyncResults) -> None:
        self._call = call
        self._results = results
        self._steps: Generator[Any, Any, Any] | None = None  # once it is driven as a coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        outcome = yield from self._call.__await__()
        return self._results.value(outcome)

    async def __aiter__(self) -> AsyncIterator[Any]:
        if not self._results.iterates:
            for each in items_of(await self, self._call.method):
                yield each
            return
        async for item in self._call:
            yield self._results.item(item)

    def send(self, value: object, /) -> Any:
        """For event loops, as a coroutine's."""
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """For event loops, as a coroutine's. Before the first step it gives the call up."""
        if self._steps is None:
            self._call.close()
            self._steps = self.__await__()
        return self._steps.throw(*error)

    def close(self) -> None:
        """Give the call up, if it is still under way."""
        if self._steps is not None:
            self._steps.close()
        self._call.close()

    def __repr__(self) -> str:
        return f"<typed {self._call!r}>"


class _TypedStream(NotPicklable, AsyncIterator[Any]):
    """A stream whose items are converted. All else is the stream's."""

    def __init__(self, stream: AsyncStream, results: AsyncResults) -> None:
        self._stream = stream
        self._results = results

    async def __anext__(self) -> Any:
        return self._results.item(await anext(self._stream))

    def latest(self) -> _TypedStream:
        return _TypedStream(self._stream.latest(), self._results)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
