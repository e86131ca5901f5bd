"""The two directions of a channel: what may still be sent, and what came and was not taken yet. Counted in events.

A side sends no more events than the other has granted it. The first event of a direction needs no grant, so a call
with one reply never grants any. Credit goes out in batches, when half of it is used up: a batch costs the wire one
event, and Node's implementation overwrites its window with a new one where Python's adds to it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from zerorpc.protocol.events import Buffer
from zerorpc.protocol.structs import quick_to_change

if TYPE_CHECKING:
    from zerorpc.protocol.events import Reply, WireEvent

__all__ = ["CREDIT_MAX", "DEFAULT_SLOTS", "FIRST_SLOTS", "LARGE_ITEM", "Inflow", "Outflow"]

Arrived: TypeAlias = "tuple[Reply | WireEvent, Buffer]"

DEFAULT_SLOTS = 100  # events that a side takes in ahead of its reader, as in the old implementation
FIRST_SLOTS = 8  # the same of an argument that streams, until one is here: nobody knows yet how large they are
LARGE_ITEM = 64 * 1024  # octets from which on the size of an item counts: a hundred smaller ones are no burden
_AHEAD_OCTETS = 64 * 1024 * 1024  # that may come ahead of the reader, as far as the size of the items tells
_KEPT_MAX = 1024 * 1024 * 1024  # octets that wait for the reader at most: 8 of the largest messages
CREDIT_MAX = 2**31  # what a peer may pile up; more is a mistake or an attack


class Outflow(Struct, eq=False):
    """Events on their way to the other side. Those beyond its ``credit`` wait in ``backlog``."""

    credit: int = 1
    backlog: deque[bytes] | None = None
    newest_only: bool = False  # of the items that wait only the last one is kept
    dropped: int = 0  # how many were not, since the other side was told

    def admit(self, data: bytes, last: bool = False) -> bool:
        """Whether a packed event may go now. If not, it waits here."""
        if self.credit > 0:
            self.credit -= 1
            return True
        if self.backlog is None:
            self.backlog = deque()
        if self.newest_only and not last:
            self.dropped += len(self.backlog)
            self.backlog.clear()
        self.backlog.append(data)
        return False

    def add_credit(self, count: object) -> None:
        """The other side grants ``count`` more events; nonsense is ignored."""
        if type(count) is int and count > 0:
            self.credit = min(self.credit + count, CREDIT_MAX)

    def next_admitted(self) -> bytes | None:
        """The next event that waited and may go now; None if there is none."""
        if not self.backlog or self.credit <= 0:
            return None
        self.credit -= 1
        return self.backlog.popleft()


@quick_to_change
class Inflow(Struct, eq=False):
    """Events that came: those that nobody took yet, in ``inbox``, and how many more were ``granted``."""

    slots: int  # how many events the other side may send ahead of the reader
    low: int  # of these, how many are left when more are granted
    granted: int = 1
    inbox: deque[Arrived] = field(default_factory=deque)
    newest_only: bool = False  # an item is asked for when the reader wants one, and not ahead
    dropped: int = 0  # items that the other side has left out
    most: int = DEFAULT_SLOTS  # of an argument that streams: how many slots there may be, as large as its items are

    @property
    def flooded(self) -> bool:
        """Whether the other side disregards its credit. A little is forgiven: old peers count in other ways."""
        return self.granted < -self.slots

    def has_room(self, size: int) -> bool:
        """Whether a large item may be kept that has come. From now on fewer of that size are asked for ahead."""
        self.most = min(self.most, max(1, _AHEAD_OCTETS // size))
        self.slots = min(self.slots, self.most)
        self.low = min(self.low, self.slots // 2)
        return size + sum(len(data) for _, data in self.inbox) <= _KEPT_MAX

    def want_newest(self) -> bool:
        """Take only the newest item from now on; False if it is too late for that: items were asked for ahead."""
        if self.granted > 0 or not self.inbox:
            return False
        self.newest_only, self.low = True, -1
        return True

    def replenish(self) -> int:
        """How many further events to grant now; 0 while more than half is left."""
        ahead = self.granted + len(self.inbox)
        if self.newest_only:
            more = 1 if ahead <= 0 else 0
            self.granted += more
            return more
        more = self.slots - ahead if ahead <= self.low else 0
        self.granted += more
        return more
