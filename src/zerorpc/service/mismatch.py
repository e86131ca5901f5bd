"""What becomes of a value that isn't what an annotation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Converter", "Mismatch", "Unsupported", "kind_of"]

Converter: TypeAlias = Callable[[object], object]  # raises Mismatch


class Mismatch(Exception):
    """A value isn't what an annotation says. ``path`` leads from the value to the part that isn't, as in ``[3].name``;
    ``why`` says what was expected.
    """

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(why, path)
        self.why: str = why
        self.path: str = path


class Unsupported(Exception):
    """Nothing can be told of whether a value is what this annotation says."""


def kind_of(value: object) -> str:
    """The name of its type, as errors have it."""
    return "None" if value is None else type(value).__name__
