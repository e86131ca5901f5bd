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
from typing import TYPE_CHECKING, Any

import msgspec

from zerorpc.protocol.forms import ARRAY, MEMORYVIEW, NDARRAY, NUMPY_SCALAR, Form

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FORMS", "READ", "made_of", "numpy_form"]


def _head(description: list[object]) -> bytes:
    head = _encode(description)
    return len(head).to_bytes(2, "big") + head


_encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[Any], Any] = msgspec.msgpack.Decoder().decode


def _parts(data: memoryview) -> tuple[list[Any], memoryview]:
    size = 2 + int.from_bytes(data[:2], "big")
    description = _decode(data[2:size])
    if not isinstance(description, list):
        raise ValueError("its description is no list")
    return description, data[size:]


def made_of(code: int, description: memoryview, octets: bytes | bytearray) -> object:
    """A value whose octets came by themselves, in memory that is nobody else's if it can be written to."""
    make = _MAKE.get(code)
    if make is None:
        raise ValueError(f"octets of type {code}")
    return make(_parts(description)[0], memoryview(octets))


def _form(code: int, split: Callable[[Any], tuple[bytes, bytes]], instead: str) -> Form:
    return Form(code, lambda value, _: b"".join(split(value)), instead, split)


# array.array and memoryview


def _of_array(value: array.array[Any]) -> tuple[bytes, bytes]:
    return _head([value.typecode, value.itemsize, sys.byteorder]), value.tobytes()


def _array(description: list[Any], octets: memoryview) -> array.array[Any]:
    code, size, order = description
    # a C long has 4 octets here and 8 there
    codes = next((codes for codes in ("bhilq", "BHILQ") if code in codes), code)
    fitting = [each for each in codes if array.array(each).itemsize == size]
    if not fitting:
        raise ValueError(f"no array of type code {code!r} has items of {size} octets here")
    made = array.array(code if code in fitting else fitting[0])
    made.frombytes(octets)
    if order != sys.byteorder:
        made.byteswap()
    return made


def _of_memoryview(value: memoryview) -> tuple[bytes, bytes]:
    if not value.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    description: list[object] = [value.format, list(value.shape or ()), sys.byteorder]
    octets = value.tobytes()
    _memoryview(description, memoryview(octets))  # Python can't make one of each format again, nor an empty one
    return _head(description), octets


def _memoryview(description: list[Any], octets: memoryview) -> memoryview:
    form, shape, order = description
    if order != sys.byteorder:
        raise ValueError(f"a memoryview of a machine of {order}-endian numbers")
    if math.prod(shape) == 0:
        raise ValueError("it is empty")
    return memoryview(octets if not octets.readonly else bytearray(octets)).cast(form, shape)


# NumPy

_EMPTY_MAX = 65_536  # lists in lists that an array without octets may become


def _of_ndarray(value: Any) -> tuple[bytes, bytes]:
    return _head([_described(value), list(value.shape)]), value.tobytes()


def _of_numpy_scalar(value: Any, _: object) -> bytes:
    return _head([_described(value)]) + bytes(value.tobytes())


def _described(value: Any) -> object:
    from numpy.lib.format import dtype_to_descr

    dtype = value.dtype
    if dtype.hasobject:
        raise TypeError("arrays of objects can't be sent")
    if (dtype.kind in "mM" or dtype.names is not None) and not _has_metadata(dtype):
        return dtype.str if dtype.names is None else dtype.descr
    return dtype_to_descr(dtype)


def _has_metadata(dtype: np.dtype[Any]) -> bool:
    """More than the empty metadata that NumPy before 2.4 gives times when they are unpickled, and that it warns of."""
    return bool(dtype.metadata) or any(_has_metadata(field[0]) for field in (dtype.fields or {}).values())


_NDARRAY = _form(NDARRAY, _of_ndarray, "its tolist()")
_SCALAR = Form(NUMPY_SCALAR, _of_numpy_scalar, "its item()")


def numpy_form(kind: type) -> Form | None:
    np = sys.modules["numpy"]
    return _NDARRAY if kind is np.ndarray else _SCALAR if issubclass(kind, np.generic) else None


def _ndarray(description: list[Any], octets: memoryview) -> Any:
    try:
        import numpy as np
    except ImportError:
        raise ValueError("it is an array of NumPy, which isn't installed: pip install numpy") from None
    described, shape = description
    dtype = _dtype(described)
    _check_shape(shape, dtype.itemsize, len(octets))
    if not octets:
        return np.zeros(shape, dtype)
    made = np.frombuffer(octets, dtype).reshape(shape)
    return made.copy() if octets.readonly else made


def _check_shape(shape: list[Any], size: int, octets: int) -> None:
    """Before memory is taken. Raises ValueError for other octets than the shape has, also for an array of nothing that
    would become endless lists.
    """
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("its shape makes no sense")
    if math.prod(shape) * size != octets:
        raise ValueError(f"an array of {math.prod(shape)} items of {size} octets has not {octets} octets")
    if not octets and math.prod(filter(None, shape)) > _EMPTY_MAX:
        raise ValueError(f"an array of no octets has more than {_EMPTY_MAX} parts")


def _numpy_scalar(data: memoryview) -> Any:
    (described,), octets = _parts(data)
    try:
        import numpy as np
    except ImportError:
        return _number(described, octets)
    dtype = _dtype(described)
    return np.frombuffer(octets, dtype, 1)[0] if dtype.itemsize else dtype.type()


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
    if isinstance(described, str) and described[1:2] == "U":
        return str(octets, "utf-32-le" if described[0] == "<" else "utf-32-be")
    if isinstance(described, str) and described[1:2] == "S":
        return bytes(octets)
    if not isinstance(described, str) or described[1:] not in codes:
        raise ValueError("it is a scalar of NumPy, which isn't installed: pip install numpy")
    order = described[0] if described[0] in "<>" else "<"
    parts = struct.unpack(order + codes[described[1:]], octets)
    return parts[0] if len(parts) == 1 else complex(*parts)


FORMS: dict[type, Form] = {
    array.array: _form(ARRAY, _of_array, "its tolist()"),
    memoryview: _form(MEMORYVIEW, _of_memoryview, "its tobytes()"),
}
_MAKE: dict[int, Callable[[list[Any], memoryview], object]] = {
    ARRAY: _array,
    MEMORYVIEW: _memoryview,
    NDARRAY: _ndarray,
}


def _whole(make: Callable[[list[Any], memoryview], object]) -> Callable[[memoryview], object]:
    """From the description and the octets in one piece, a part of the event."""

    def read(data: memoryview) -> object:
        description, octets = _parts(data)
        return make(description, octets.toreadonly())

    return read


READ: dict[int, Callable[[memoryview], object]] = {code: _whole(make) for code, make in _MAKE.items()}
READ[NUMPY_SCALAR] = _numpy_scalar
