"""How a type travels that MessagePack lacks: the extension types there are, and what one is described by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "ARRAY",
    "BUFFER",
    "COMPLEX",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "FROZENSET",
    "INT",
    "MAP",
    "MEMORYVIEW",
    "NDARRAY",
    "NUMPY_SCALAR",
    "SET",
    "TIME",
    "TIMEDELTA",
    "UUID",
    "Form",
    "Nested",
]

INT, SET, FROZENSET, MAP, COMPLEX, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID = range(64, 75)
ARRAY, MEMORYVIEW, NDARRAY, NUMPY_SCALAR, BUFFER = range(75, 80)

Nested: TypeAlias = Callable[[object], bytes]  # packs what is inside of a value


class Form(NamedTuple):
    """How values of one type travel between our peers."""

    code: int  # of the extension type
    encode: Callable[[Any, Nested], bytes]
    instead: str  # what an older peer takes, in its place
    split: Callable[[Any], tuple[bytes, bytes]] | None = None  # of buffers: a description, and the octets
