"""Values as JSON that a reader understands, and back again exactly: what JSON lacks is marked by a key with ``$``."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Callable

import msgspec

from zerorpc.protocol.packing import Forms
from zerorpc.protocol.values import value_of

__all__ = ["from_json", "to_json"]

_MARK = "$"


def to_json(value: object) -> object:
    """What ``json.dumps`` takes, of what a zerorpc message may hold. Raises TypeError for anything else."""
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        return value
    if kind is float and isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, (bytes, bytearray)):
        return _of_bytes(bytes(value))
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        if all(type(key) is str and not key.startswith(_MARK) for key in value):
            return {key: to_json(item) for key, item in value.items()}
        return {"$map": [[to_json(key), to_json(item)] for key, item in value.items()]}
    if isinstance(value, datetime.datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, msgspec.msgpack.Ext):
        return {"$ext": [value.code, to_json(bytes(value.data))]}
    formed = Forms(natural=True, in_band=True).of(value)
    if isinstance(formed, msgspec.msgpack.Ext):
        return {"$ext": [formed.code, to_json(bytes(formed.data))]}
    raise TypeError(f"a value of type {kind.__qualname__} has no place in a message")


def _of_bytes(value: bytes) -> object:
    """As text where that is readable."""
    if value.isascii() and value.decode("ascii").isprintable():
        return {"$bytes": value.decode("ascii")}
    return {"$base64": base64.b64encode(value).decode("ascii")}


def from_json(value: object) -> object:
    """The value that ``to_json`` was given. Raises ValueError for what that doesn't make."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    marks = [key for key in value if key.startswith(_MARK)]
    if not marks:
        return {key: from_json(item) for key, item in value.items()}
    read = _READ.get(marks[0])
    if read is None or len(value) != 1:
        raise ValueError(f"{marks[0]!r} is no mark of a cassette's, or not alone in its object")
    try:
        return read(value[marks[0]])
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the value of {marks[0]!r} can't be read: {error}") from error


def _map(pairs: object) -> object:
    if not isinstance(pairs, list):
        raise TypeError("a list of pairs is missing")
    return {_key(from_json(key)): from_json(item) for key, item in pairs}


def _key(key: object) -> object:
    return tuple(_key(part) for part in key) if isinstance(key, list) else key


def _ext(parts: object) -> object:
    if not isinstance(parts, list):
        raise TypeError("a code and its octets are missing")
    code, data = parts
    octets = from_json(data)
    if not isinstance(octets, bytes):
        raise TypeError("octets are missing")
    return value_of(code, memoryview(octets))


_READ: dict[str, Callable[..., object]] = {
    "$float": float,
    "$bytes": lambda text: text.encode("ascii"),
    "$base64": lambda text: base64.b64decode(text, validate=True),
    "$map": _map,
    "$time": datetime.datetime.fromisoformat,
    "$ext": _ext,
}
