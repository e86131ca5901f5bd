"""Choices that are read from octets, so that a random run is a file: the same octets, the same run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Tape"]

T = TypeVar("T")


class Tape:
    """Octets, as choices. At their end it gives the first of everything, and is ``over``."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._position = 0

    @property
    def over(self) -> bool:
        return self._position >= len(self._octets)

    def octets(self, count: int) -> bytes:
        """So many of the next ones; fewer at the end."""
        start = self._position
        self._position = min(start + count, len(self._octets))
        return self._octets[start : self._position]

    def number(self, below: int) -> int:
        """From 0 on, and less than ``below``."""
        return int.from_bytes(self.octets(1 if below <= 256 else 2 if below <= 65536 else 4), "big") % below

    def chance(self, one_in: int) -> bool:
        """False at the end."""
        return self.number(one_in) == one_in - 1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def some(self, most: int) -> bytes:
        """A few octets, at most so many."""
        return self.octets(self.number(most + 1))

    def rest(self) -> bytes:
        return self.octets(len(self._octets))

    def pieces(self, data: bytes) -> list[bytes]:
        """The same octets in up to four pieces, or one octet at a time if they are few."""
        if self.chance(16) and len(data) <= 1000:
            return [data[at : at + 1] for at in range(len(data))]
        cuts = sorted(self.number(len(data) + 1) for _ in range(self.number(4)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
