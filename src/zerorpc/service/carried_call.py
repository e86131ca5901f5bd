"""A call as the worker process knows it that runs its method: what ``current_call()`` shows there."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import NamedTuple

from zerorpc.protocol.call_header import Metadata
from zerorpc.scope import Cancellable, Served

__all__ = ["CarriedCall", "Packed", "pack_call"]


class Packed(NamedTuple):
    """What goes along with the method."""

    name: str
    peer: str | None
    identity: str | None
    metadata: dict[str, str | bytes]
    attempt: int
    remaining: float  # seconds: the two processes may not have the same clock


def pack_call(served: Served) -> Packed:
    return Packed(
        served.name,
        served.peer,
        served.identity,
        dict(served.metadata),
        served.attempt,
        served.deadline - monotonic(),
    )


class CarriedCall:
    """A scope. When the caller gives up, the process ends, in the middle of whatever it does."""

    cancelled: bool = False

    def __init__(self, packed: Packed) -> None:
        self.name: str = packed.name
        self.peer: str | None = packed.peer
        self.identity: str | None = packed.identity
        self.metadata: Mapping[str, str | bytes] = packed.metadata
        self.attempt: int = packed.attempt
        self.deadline: float = inf if packed.remaining == inf else monotonic() + packed.remaining
        self.reply_metadata: Metadata = {}
        self.end_metadata: Metadata = {}

    @property
    def answers(self) -> Served:
        return self

    @property
    def within(self) -> object:
        return None

    def admits(self, name: str) -> bool:
        """Nobody asks here: the methods that list others don't run in worker processes."""
        raise NotImplementedError

    def report(self, done: float, total: float | None, text: str) -> None:
        """There is no way back to the caller before the method has returned."""

    def adopt(self, call: Cancellable) -> None:
        """It is interrupted with everything else."""
