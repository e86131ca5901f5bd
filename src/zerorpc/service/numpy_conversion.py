"""From an annotation of NumPy's to the function that makes an array or number of a value. NumPy is imported late."""

from __future__ import annotations

import array
import functools
from typing import Any, get_origin

from zerorpc.service.annotations import parts
from zerorpc.service.mismatch import Converter, Mismatch, kind_of
from zerorpc.shown import message_of

__all__ = ["is_of_numpy", "of_numpy"]


def is_of_numpy(kind: object) -> bool:
    return isinstance(kind, type) and kind.__module__.partition(".")[0] == "numpy"


@functools.cache
def of_numpy(annotation: object, strict: bool = False) -> Converter:
    """An array comes as lists of numbers, a scalar as a number."""
    import numpy as np

    kind: Any = get_origin(annotation) or annotation
    scalars = [part for part in parts(annotation) if isinstance(part, type) and issubclass(part, np.generic)]
    if issubclass(kind, np.ndarray):
        forms: tuple[type, ...] = (list, array.array, memoryview)
        make: Converter = functools.partial(_as_array, scalars[0] if scalars else None)
    else:
        make = kind  # which would cut 1.5 to 1
        forms = (bool,) if issubclass(kind, np.bool_) else (int,) if issubclass(kind, np.integer) else (int, float)

    def convert(value: object) -> Any:
        if isinstance(value, kind) and kind is not np.ndarray:
            return value
        value = value.item() if isinstance(value, np.generic) else value
        if kind is np.ndarray and isinstance(value, kind):
            return _made(make, value)
        if strict or not isinstance(value, forms) or (type(value) is bool and bool not in forms):
            raise Mismatch(f"expected {kind.__name__}, got {kind_of(value)}")
        return _made(make, value)

    return convert


def _made(make: Converter, value: object) -> Any:
    try:
        return make(value)
    except Exception as error:
        raise Mismatch(message_of(error)) from None


def _as_array(scalar: type | None, value: object) -> Any:
    import numpy as np

    given = np.asarray(value)
    kind: type = given.dtype.type
    if (scalar is None and given is value) or (scalar is not None and issubclass(kind, scalar)):
        return given
    if given.dtype.kind not in "biufc" and given.size:
        raise ValueError(f"expected numbers, got {given.dtype}")
    if scalar is None:
        return given
    whole = given.dtype.kind in "iu" and np.dtype(scalar).kind in "iu"  # a list of whole numbers becomes int64
    if given.size and not whole and not np.can_cast(given.dtype, scalar, "same_kind"):
        raise ValueError(f"expected {scalar.__name__}, got {given.dtype}")
    with np.errstate(over="ignore"):
        made: Any = given.astype(scalar, copy=False)
    wrapped = made.dtype.kind in "iu" and not np.array_equal(made, given)
    if wrapped or (made.dtype.kind in "fc" and np.isinf(made).sum() != np.isinf(given).sum()):
        raise ValueError(f"a number is too large for {scalar.__name__}")
    return made
