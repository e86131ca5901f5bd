"""What the calls of a typed client give: values and items, as the annotations have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from zerorpc.client.stream import Stream
from zerorpc.errors import InvalidResult
from zerorpc.not_picklable import NotPicklable
from zerorpc.service.mismatch import Converter, Mismatch

__all__ = ["Conversion", "Results"]


class Conversion(Protocol):
    """What becomes of results and items. Both raise Mismatch; ``result`` is of an item, None if it stays what it is."""

    iterates: bool  # whether a call is iterated over even if nothing says that it streams

    @property
    def result(self) -> Converter | None: ...

    def whole(self, value: object, /) -> Any: ...


class Results:
    """What the calls of one method return, converted; of one that streams that is each item."""

    def __init__(self, name: str, conversion: Conversion) -> None:
        self._name = name
        self._conversion = conversion
        self.iterates: bool = conversion.iterates

    def of(self, outcome: object) -> Any:
        """Of a call that was made."""
        if isinstance(outcome, Stream):
            return _TypedStream(outcome, self)
        return self.value(outcome)

    def value(self, value: object) -> Any:
        """Raises InvalidResult for one that isn't what the annotation says."""
        return self._converted(self._conversion.whole, value)

    def item(self, value: object) -> Any:
        """Of a stream."""
        convert = self._conversion.result
        return value if convert is None else self._converted(convert, value)

    def _converted(self, convert: Converter, value: object) -> Any:
        try:
            return convert(value)
        except Mismatch as error:
            problem = InvalidResult(f"the result of {self._name}{error.path}: {error.why}")
            problem.method = self._name
            raise problem from None


class _TypedStream(NotPicklable, Iterator[Any]):
    """A stream whose items are converted. All else is the stream's."""

    def __init__(self, stream: Stream, results: Results) -> None:
        self._stream = stream
        self._results = results

    def __next__(self) -> Any:
        return self._results.item(next(self._stream))

    def latest(self) -> _TypedStream:
        return _TypedStream(self._stream.latest(), self._results)

    def __enter__(self) -> _TypedStream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
