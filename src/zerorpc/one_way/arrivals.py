"""The events that have arrived for a Puller or Subscriber and wait for their method."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from typing import TypeAlias

from zerorpc.logs import Logger, Sparing
from zerorpc.one_way.method_loop import GLANCE
from zerorpc.protocol.events import Buffer, WireEvent
from zerorpc.service.rights import Rights

__all__ = ["Arrival", "Arrivals", "is_void", "next_of"]

logger: Logger = Logger("zerorpc.server")

Arrival: TypeAlias = "tuple[WireEvent, Buffer, Rights | None]"  # an event, the same packed, and its sender's, if known

_QUEUED_MAX = 1000  # events waiting for their method, before the links are read no further: libzmq's high-water mark;
_OCTETS_MAX = 64 * 1024 * 1024  # or so many octets of them


class Arrivals(queue.SimpleQueue["Arrival | None"]):
    """Events that wait for their method; None: look again. One thread adds them, one takes them, and each counts."""

    def __init__(self) -> None:
        self._octets_in = self._octets_out = 0
        self._left_out = Sparing()  # lines of the log

    def add(self, arrived: Iterable[tuple[WireEvent, Buffer]], rights: Rights | None) -> None:
        """Some have come from a peer. What it may not have run is left out, which the log says."""
        for event, data in arrived:
            if rights is None or rights.get(event.name) is not None or not rights.knows(event.name):
                self._octets_in += len(data)
                self.put((event, data, rights))
            else:
                rights.tells_denial(event.name)

    def leave_out(self, why: str) -> None:
        """One can't be read, and its sender can't be told."""
        if (more := self._left_out.turn()) is not None:
            logger.error("an event was left out: %s%s", why, more)

    def count_out(self, data: Buffer) -> None:
        """One was taken."""
        self._octets_out += len(data)

    @property
    def octets(self) -> int:
        return self._octets_in - self._octets_out

    @property
    def is_full(self) -> bool:
        return self.qsize() >= _QUEUED_MAX or self.octets >= _OCTETS_MAX

    @property
    def has_room(self) -> bool:
        return self.qsize() <= _QUEUED_MAX // 2 and self.octets <= _OCTETS_MAX // 2


def is_void(arrival: Arrival) -> bool:
    """Whether nobody knows its sender any more, since it has come; then the log says so."""
    event, _, rights = arrival
    if rights is None or not rights.revoked:
        return False
    rights.tells_denial(event.name)
    return True


def next_of(arrived: Arrivals) -> Arrival | None:
    """Wait for an event; None: look whether to stop."""
    try:
        return arrived.get(timeout=GLANCE)
    except queue.Empty:
        return None
