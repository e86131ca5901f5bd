"""Arrays as extension types: NumPy's, ``array.array`` and memoryviews of more than plain octets.

What is packed is a MessagePack array that describes them, and then their octets. Never pickles, and so no arrays of
objects. NumPy is not imported before a program has done so, or an array of it comes.
"""

from __future__ import annotations

import array
import math
import struct
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from zerorpc.protocol.forms import ARRAY, MEMORYVIEW, NDARRAY, NUMPY_SCALAR, Form

__all__ = ["FORMS", "READ", "numpy_form"]


def _packed(description: list[object], octets: bytes | memoryview) -> bytes:
    head = _encode(description)
    return b"".join((len(head).to_bytes(2, "big"), head, octets))


_encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[Any], Any] = msgspec.msgpack.Decoder().decode


def _parts(data: memoryview) -> tuple[list[Any], memoryview]:
    size = 2 + int.from_bytes(data[:2], "big")
    description = _decode(data[2:size])
    if not isinstance(description, list):
        raise ValueError("its description is no list")
    return description, data[size:]


# array.array and memoryview


def _of_array(value: array.array[Any], _: object) -> bytes:
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    return _packed([value.typecode, value.itemsize], memoryview(value).cast("B"))


def _array(data: memoryview) -> array.array[Any]:
    (code, size), octets = _parts(data)
    # a C long has 4 octets here and 8 there
    codes = next((codes for codes in ("bhilq", "BHILQ") if code in codes), code)
    fitting = [each for each in codes if array.array(each).itemsize == size]
    if not fitting:
        raise ValueError(f"no array of type code {code!r} has items of {size} octets here")
    made = array.array(code if code in fitting else fitting[0])
    made.frombytes(octets)
    if sys.byteorder == "big":
        made.byteswap()
    return made


def _of_memoryview(value: memoryview, _: object) -> bytes:
    if not value.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return _packed([value.format, list(value.shape or ()), sys.byteorder], value.tobytes())


def _memoryview(data: memoryview) -> memoryview:
    (form, shape, order), octets = _parts(data)
    if order != sys.byteorder:
        raise ValueError(f"a memoryview of a machine of {order}-endian numbers")
    if math.prod(shape) == 0:
        raise ValueError("it is empty")
    return memoryview(bytes(octets)).cast(form, shape)


# NumPy


def _of_ndarray(value: Any, _: object) -> bytes:
    import numpy as np

    description = [_described(value), list(value.shape)]
    return _packed(description, np.ascontiguousarray(value).reshape(-1).view(np.uint8).data if value.size else b"")


def _of_numpy_scalar(value: Any, _: object) -> bytes:
    return _packed([_described(value)], value.tobytes())


def _described(value: Any) -> object:
    from numpy.lib.format import dtype_to_descr

    if value.dtype.hasobject:
        raise TypeError("arrays of objects can't be sent")
    return dtype_to_descr(value.dtype)


_NDARRAY = Form(NDARRAY, _of_ndarray, "its tolist()")
_SCALAR = Form(NUMPY_SCALAR, _of_numpy_scalar, "its item()")


def numpy_form(kind: type) -> Form | None:
    np = sys.modules["numpy"]
    return _NDARRAY if kind is np.ndarray else _SCALAR if issubclass(kind, np.generic) else None


def _ndarray(data: memoryview) -> Any:
    try:
        import numpy as np
    except ImportError:
        raise ValueError("it is an array of NumPy, which isn't installed: pip install 'zerorpc[numpy]'") from None
    (described, shape), octets = _parts(data)
    dtype = _dtype(described)
    return np.frombuffer(octets, dtype).reshape(shape).copy() if octets else np.empty(shape, dtype)


def _numpy_scalar(data: memoryview) -> Any:
    (described,), octets = _parts(data)
    try:
        import numpy as np
    except ImportError:
        return _number(described, octets)
    return np.frombuffer(octets, _dtype(described), 1)[0]


def _dtype(described: object) -> Any:
    from numpy.lib.format import descr_to_dtype

    dtype = descr_to_dtype(_tuples(described))
    if dtype.hasobject:
        raise ValueError("an array of objects")
    return dtype


def _tuples(described: object) -> Any:
    """Fields are tuples there, which arrive as lists."""
    if not isinstance(described, list):
        return described
    return [(_tuples(name), _tuples(kind), *map(tuple, shape)) for name, kind, *shape in described]


def _number(described: object, octets: memoryview) -> Any:
    """What a scalar is to who has no NumPy."""
    codes = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "c8": "ff", "c16": "dd"}
    codes |= {f"i{size}": code for size, code in zip((1, 2, 4, 8), "bhiq", strict=True)}
    codes |= {f"u{size}": code for size, code in zip((1, 2, 4, 8), "BHIQ", strict=True)}
    if not isinstance(described, str) or described[1:] not in codes:
        raise ValueError("it is a scalar of NumPy, which isn't installed: pip install 'zerorpc[numpy]'")
    order = described[0] if described[0] in "<>" else "<"
    parts = struct.unpack(order + codes[described[1:]], octets)
    return parts[0] if len(parts) == 1 else complex(*parts)


FORMS: dict[type, Form] = {
    array.array: Form(ARRAY, _of_array, "its tolist()"),
    memoryview: Form(MEMORYVIEW, _of_memoryview, "its tobytes()"),
}
READ: dict[int, Callable[[memoryview], object]] = {
    ARRAY: _array,
    MEMORYVIEW: _memoryview,
    NDARRAY: _ndarray,
    NUMPY_SCALAR: _numpy_scalar,
}
