"""What a setting that is a number has to be. A number may be of any kind (``Decimal``, NumPy's)."""

from __future__ import annotations

import operator
from math import inf
from typing import Any

from zerorpc.given import described

__all__ = ["FOREVER", "above_zero", "count", "not_negative", "seconds"]

FOREVER = 1e9  # s, 31 years; as much or more is no limit, since not every clock and lock takes it


def seconds(name: str, value: object) -> float | None:
    """A setting's time in seconds, of any kind of number; None for no limit.

    Raises TypeError for what is no number, and ValueError for nan.
    """
    if value is None:
        return None
    number = value if type(value) is float or type(value) is int else _as_float(name, value)
    if number != number:  # noqa: PLR0124 - nan; isnan() fails for integers that no float can hold
        raise ValueError(f"{name} has to be a number of seconds, or None, not nan")
    return None if number >= FOREVER else max(number, -FOREVER)


def above_zero(name: str, value: object, unless: str = "None") -> float | None:
    """The same for what has to be above 0. Raises ValueError for what isn't."""
    try:
        number = seconds(name, value)
    except ValueError:
        number = -inf
    if number is not None and number <= 0:
        raise ValueError(f"{name} has to be a number of seconds above 0, or {unless}, not {value}")
    return number


def not_negative(name: str, value: object) -> float:
    """The same for what may be 0, and has no special value: no limit is FOREVER. Raises ValueError below 0."""
    number = seconds(name, value)
    if number is not None and number < 0:
        raise ValueError(f"{name} has to be a number of seconds, 0 or above, not {value}")
    return FOREVER if number is None else number


def count(name: str, value: Any, unless: str = "") -> int:
    """A setting that is a whole number, at least 1. Raises TypeError or ValueError for what isn't."""
    try:
        number = operator.index(value)
    except Exception:
        raise TypeError(f"{name} has to be a whole number{unless}, not {described(value)}") from None
    if number < 1:
        raise ValueError(f"{name} has to be at least 1{unless}, not {number}")
    return number


def _as_float(name: str, value: Any) -> float:
    kind = type(value)
    if hasattr(kind, "__float__") or hasattr(kind, "__index__"):  # float() alone would take texts too
        try:
            return float(value)
        except OverflowError:
            return inf if value > 0 else -inf
        except Exception as error:
            raise TypeError(f"{name} has to be a number of seconds, or None, not {described(value)}") from error
    hint = ": give its total_seconds()" if hasattr(kind, "total_seconds") else ""
    raise TypeError(f"{name} has to be a number of seconds, or None, not {described(value)}{hint}")
