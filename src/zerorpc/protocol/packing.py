"""Values as MessagePack, large ones also when memory runs out.

msgspec's ``encode`` ends the process with SIGSEGV when its output can't grow, whatever is packed: so it does for 64
MiB of octets, texts or numbers with 20 MiB left (0.22, Linux). Its ``encode_into`` raises MemoryError, but takes
longer: for all requests and replies 2.8% of a call's instructions. So that packs large octets that are an argument, a
result or an item by themselves. Those inside of a list or map are not seen.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import msgspec

from zerorpc.errors import SerializationError
from zerorpc.shown import message_of, name_of

__all__ = [
    "LARGE_OCTETS",
    "SIZED",
    "bin_head",
    "encode_usual",
    "pack",
    "plain",
    "problem_of",
    "unsendable",
]

LARGE_OCTETS = 16 * 1024  # octets, from which on another copy costs more than ``encode``
SIZED = frozenset((bytes, bytearray, memoryview))  # of a memoryview len() may raise


def pack(value: object, encoder: msgspec.msgpack.Encoder | None = None) -> bytearray:
    """``encode_usual``, or what another encoder makes of it, that raises MemoryError when memory runs out."""
    buffer = bytearray()
    (encoder or _encoder).encode_into(value, buffer)
    return buffer


def bin_head(size: int) -> bytes:
    """What stands in front of so many octets: in 16 or 32 bits how many there are."""
    return b"\xc5" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xc6" + size.to_bytes(4, "big")


def unsendable(error: Exception) -> Exception:
    """What to raise for what msgspec, or a value's own code, raised while it was packed.

    Only a lack of memory stays what it is: it says nothing about the value.
    """
    return error if issubclass(type(error), MemoryError) else SerializationError(problem_of(error))


def problem_of(error: Exception) -> str:
    """What an error is about; its type too, where that is no error of packing but of a value's own code."""
    kind, text = name_of(error), message_of(error)
    if not text:
        return kind
    return text if issubclass(type(error), _PACKING_ERRORS) else f"{kind}: {text}"


_PACKING_ERRORS = (TypeError, ValueError, OverflowError, RecursionError, BufferError)


def plain(value: Any) -> Any:
    """What msgspec can't pack but the old implementation could: subclasses of the basic types; and any integer."""
    why = ""
    try:
        for base, convert in _SUBCLASSED:
            if isinstance(value, base):
                return convert(value)
        if hasattr(type(value), "__index__"):
            return operator.index(value)
    except MemoryError:
        raise
    except Exception as error:
        why = f": {problem_of(error)}"
    raise TypeError(f"a value of type {type(value).__qualname__} can't be sent{why}")


_SUBCLASSED: tuple[tuple[type, Any], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)

_encoder = msgspec.msgpack.Encoder(enc_hook=plain)
# Of a (header, name, args) that seems small, for where a call costs: what it raises goes through ``unsendable``, and
# whether the event is too large is up to the caller.
encode_usual: Callable[[object], bytes] = _encoder.encode
