"""What msgspec's Structs lack for objects that live long and change often, as channels do."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

__all__ = ["quick_to_change"]

S = TypeVar("S", bound=type[Struct])


def quick_to_change(struct: S) -> S:
    """Have attributes set as those of any class with slots, which the interpreter has shortcuts for. A decorator.

    That takes 20 instructions instead of 230 (CPython 3.11) or 300 (3.12), and a call does it 15 times.

    What a Struct's own way does besides: an object that began with nothing but numbers, texts and octets is made known
    to the garbage collector when it is given something else. So this is for classes whose objects have something else
    from the start. A class that is derived from such a one has the Struct's own way again, unless it is marked too.
    """
    struct.__setattr__ = object.__setattr__  # type: ignore[method-assign]
    struct.__delattr__ = object.__delattr__  # type: ignore[method-assign]  # as long as one differs, none is
    return struct
