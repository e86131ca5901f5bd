"""Values as JSON, in the form that annotations take back: a date as a text, bytes as base64, a set as a list."""

from __future__ import annotations

from typing import Any

import msgspec

from zerorpc.errors import SerializationError
from zerorpc.protocol.data_classes import fields_of
from zerorpc.shown import message_of

__all__ = ["decode", "encode"]


def encode(value: object) -> bytes:
    """As JSON; NaN and infinities, which it lacks, become null. Raises SerializationError for what has no form."""
    try:
        return _encoder.encode(value)
    except MemoryError:
        raise
    except Exception as error:  # a value's own code may raise anything
        raise SerializationError(message_of(error)) from None


def decode(data: bytes) -> Any:
    """What is in a body. Raises ValueError for what is no JSON, or nested too deeply."""
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _natural(value: Any) -> Any:
    """What msgspec asks for a type that it doesn't know. Raises TypeError."""
    if isinstance(value, complex):
        return [value.real, value.imag]
    if type(value).__module__ in ("numpy", "array") and hasattr(value, "tolist"):
        return value.tolist()
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value)
    fields = fields_of(value)
    if fields is None:
        raise TypeError(f"a value of type {type(value).__qualname__} has no form in JSON")
    return fields


_encoder = msgspec.json.Encoder(enc_hook=_natural)
