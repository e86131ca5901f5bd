"""What hardly any call goes by, as its channel keeps it."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import Protocol

from msgspec import Struct

__all__ = ["USUAL_TERMS", "Repeated", "Terms"]


class Repeated(Protocol):
    """The attempts of a call that may be repeated, as their peers tell of them (``calls.retry``)."""

    number: int
    doubtful: bool

    def refused(self, ran: object, kind: object, retry_after: float | None, leaves: bool, /) -> bool: ...

    def lost(self, not_sent: bool, /) -> None: ...


class Terms(Struct, frozen=True):
    """What hardly any call goes by."""

    needs: tuple[str, ...] = ()  # what only a peer of extension level 1 can do: the features' names, for an error
    for_older: bytes | None = None  # the packed request for one that lacks these, if it takes it in another form
    stream_until: float = inf  # the deadline of a stream's end
    limit: float | None = None  # s, of which that was made
    item_timeout: float | None = None  # s that the reader waits for one item
    attempts: Repeated | None = None  # of a call that may be repeated
    pinned: Hashable | None = None  # the only peer that may run it
    hold: object = None  # what has to live until it is over


USUAL_TERMS = Terms()
