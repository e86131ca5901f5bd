"""What one subscriber wants, kept at the publisher, which filters (RFC 37, "The Publish-Subscribe Pattern")."""

from __future__ import annotations

from collections import Counter

__all__ = ["Subscriptions"]


class Subscriptions:
    """A counted set of prefixes: subscribing twice needs two cancellations."""

    __slots__ = ("_counts", "_prefixes")

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._prefixes: tuple[bytes, ...] = ()

    def add(self, prefix: bytes) -> None:
        self._counts[prefix] += 1
        self._prefixes = tuple(self._counts)

    def remove(self, prefix: bytes) -> None:
        """Take one subscription back; one that was never made is ignored, as libzmq does."""
        if self._counts[prefix] <= 1:
            del self._counts[prefix]
        else:
            self._counts[prefix] -= 1
        self._prefixes = tuple(self._counts)

    def match(self, topic: bytes | bytearray) -> bool:
        return topic.startswith(self._prefixes)

    def __len__(self) -> int:
        return len(self._prefixes)

    def __repr__(self) -> str:
        return f"<Subscriptions {list(self._prefixes)!r}>"
