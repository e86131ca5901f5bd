"""``zerorpc.options(client, out=…)``: results, and items of streams, go into memory that the program has already."""

from __future__ import annotations

import sys
from typing import Any

from zerorpc.client.call_options import CallOptions, CallView, OptionsCore
from zerorpc.client.results import results_for
from zerorpc.client.typed_results import Results
from zerorpc.remote_method import method_name
from zerorpc.service.mismatch import Mismatch

__all__ = ["FillingView"]


class FillingView(CallView):
    """A client whose calls put what comes into ``out``, and return that."""

    __slots__ = ("_into", "_make_results")

    def __init__(self, core: OptionsCore, options: CallOptions) -> None:
        super().__init__(core, options)
        self._into = _Into(options.out)
        self._make_results = results_for(core)

    def __call__(self, method: str | bytes, /, *args: object, **kwargs: object) -> Any:
        return self._call(method_name(method), args, kwargs)

    def _call(self, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        results: Results = self._make_results(method, self._into)
        return results.of(super()._call(method, args, kwargs))


class _Into:
    """What becomes of a value: the same for results and items, as ``Conversion`` has it."""

    iterates = True

    def __init__(self, out: Any) -> None:
        self._out = out

    def whole(self, value: object) -> Any:
        """Raises Mismatch for what has no octets, or others than there is room for."""
        if _is_of_numpy(self._out) and _is_of_numpy(value):
            _fill_array(self._out, value)
        else:
            _fill_octets(self._out, value)
        return self._out

    result = whole


def _is_of_numpy(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _fill_array(out: Any, array: Any) -> None:
    if (array.dtype, array.shape) != (out.dtype, out.shape):
        raise Mismatch(f"{_shown(array)} doesn't go into {_shown(out)}, which is out=")
    out[...] = array  # which may be a part of a larger one


def _shown(array: Any) -> str:
    return f"an array of {array.dtype} with shape {array.shape}"


def _fill_octets(out: Any, value: Any) -> None:
    try:
        octets = memoryview(value)
    except (TypeError, ValueError):
        raise Mismatch(f"a {type(value).__name__} has no octets to put into out=") from None
    room = memoryview(out)
    if octets.nbytes != room.nbytes:
        raise Mismatch(f"{octets.nbytes} octets came, and out= has room for {room.nbytes}")
    try:
        if octets.nbytes:
            room.cast("B")[:] = octets.cast("B")
    except (TypeError, ValueError, NotImplementedError) as error:  # a part of an array, or one of structures
        raise Mismatch(f"octets can't go into out=: {error}") from None
