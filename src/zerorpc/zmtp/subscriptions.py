"""What one subscriber wants, kept at the publisher, which filters (RFC 37, "The Publish-Subscribe Pattern")."""

from __future__ import annotations

from collections import Counter

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.frames import Message

__all__ = ["Subscriptions"]

_ENTRY_SIZE = 64  # octets that a prefix costs us beyond its own, roughly


class Subscriptions:
    """A counted set of prefixes: subscribing twice needs two cancellations.

    ``limit`` is in octets: a subscriber can't make its publisher keep any number of prefixes.
    """

    __slots__ = ("_counts", "_limit", "_prefixes", "_size")

    def __init__(self, limit: int) -> None:
        self._counts: Counter[bytes] = Counter()
        self._prefixes: tuple[bytes, ...] | None = ()  # None: changed since the last ``match``
        self._size = 0
        self._limit = limit

    def add(self, prefix: bytes) -> None:
        """Raises ProtocolError for one too many."""
        self._counts[prefix] += 1
        if self._counts[prefix] > 1:
            return
        self._prefixes = None
        self._size += len(prefix) + _ENTRY_SIZE
        if self._size > self._limit:
            raise ProtocolError(f"subscriptions of more than {self._limit} octets")

    def remove(self, prefix: bytes) -> None:
        """Take one subscription back; one that was never made is ignored, as libzmq does."""
        if prefix not in self._counts:
            return
        self._counts[prefix] -= 1
        if not self._counts[prefix]:
            del self._counts[prefix]
            self._prefixes = None
            self._size -= len(prefix) + _ENTRY_SIZE

    def receive_message(self, message: Message) -> bool:
        """Subscriptions as ZMTP 3.0 has them: a one-frame message, 1 or 0 and the prefix. False if it isn't one."""
        body = bytes(message[0])
        if len(message) > 1 or body[:1] not in (b"\x01", b"\x00"):
            return False
        if body[0]:
            self.add(body[1:])
        else:
            self.remove(body[1:])
        return True

    def match(self, topic: bytes | bytearray) -> bool:
        prefixes = self._prefixes
        if prefixes is None:  # not at each ``add``: many of them would take quadratic time
            prefixes = self._prefixes = tuple(self._counts)
        return topic.startswith(prefixes)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return f"<Subscriptions {list(self._counts)!r}>"
