"""Waiting for sockets: ``select.poll`` where there is one, or the same over ``select.select`` (Windows)."""

from __future__ import annotations

import select
from typing import Protocol

__all__ = ["READABLE", "WRITABLE", "Poller", "SelectPoller", "new_poller"]

READABLE = getattr(select, "POLLIN", 1)
WRITABLE = getattr(select, "POLLOUT", 4)


class Poller(Protocol):
    """The part of ``select.poll`` that is used. Registering is safe while another thread polls."""

    def register(self, fd: int, eventmask: int, /) -> object: ...

    def modify(self, fd: int, eventmask: int, /) -> object: ...

    def unregister(self, fd: int, /) -> object: ...

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait at most ``timeout`` milliseconds; ``(descriptor, events)`` pairs."""


def new_poller() -> Poller:
    return select.poll() if hasattr(select, "poll") else SelectPoller()


class SelectPoller:
    """``select.poll``'s interface over ``select.select``."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}

    def register(self, fd: int, eventmask: int, /) -> None:
        self._events[fd] = eventmask

    modify = register

    def unregister(self, fd: int, /) -> None:
        del self._events[fd]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        reading = [fd for fd, events in self._events.items() if events & READABLE]
        writing = [fd for fd, events in self._events.items() if events & WRITABLE]
        readable, writable, _ = select.select(reading, writing, [], None if timeout is None else timeout / 1000)
        found = dict.fromkeys(readable, READABLE)
        for fd in writable:
            found[fd] = found.get(fd, 0) | WRITABLE
        return list(found.items())
