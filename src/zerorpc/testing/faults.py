"""What goes wrong on a link: a test says it, a proxy (``proxy``) and connections in memory (``memory``) heed it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Literal, Protocol, TypeAlias

from zerorpc.number_checks import FOREVER, above_zero, not_negative

__all__ = ["BOTH", "Direction", "Faults", "Faulty", "Way"]

Way: TypeAlias = Literal["both", "to_server", "to_client"]
BOTH: Way = "both"


class Direction:
    """What is wrong with one direction of a link."""

    def __init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        self.delay: float = 0.0  # s that all takes longer
        self.rate: float | None = None  # octets a second, None: as many as come
        self.swallows: bool = False

    def __repr__(self) -> str:
        slow = "" if self.rate is None else f" {self.rate:g} octets/s"
        return f"<Direction delay={self.delay:g}{slow}{' swallows' if self.swallows else ''}>"


class Faulty(Protocol):
    """A connection, or what makes some."""

    def cut(self) -> None:
        """End what is connected. In any thread."""

    def changed(self) -> None:
        """The faults are others now. In any thread."""

    def healed(self) -> None:
        """There are none any more: what was swallowed has broken its connection. In any thread."""


class Faults:
    """What goes wrong on a link, from when a test says so until it says ``heal()``.

    Of a ``proxy``, which is one itself; or given to ``client`` and ``async_client`` for their connection in memory:

    ::

        faults = zerorpc.testing.Faults()
        clock = zerorpc.testing.Clock()
        with zerorpc.testing.client(Cooler(), faults=faults, clock=clock) as cooler:
            faults.half_open()
            later = cooler.add_man("hi", async_=True)
            clock.advance(11)  # two heartbeats
            with pytest.raises(zerorpc.LostRemote):
                later.get()

    Each fault is of both directions, or only ``"to_server"`` or ``"to_client"``; several may be there at once. All
    methods are safe from any thread and in coroutines. When they return, it is so.
    """

    def __init__(self) -> None:
        self.to_server: Direction = Direction()
        self.to_client: Direction = Direction()
        self.refused: bool = False  # nobody can connect
        self._lock = threading.Lock()
        self._links: weakref.WeakSet[Faulty] = weakref.WeakSet()

    def delay(self, seconds: float, way: Way = BOTH) -> None:
        """Everything takes so many seconds longer, in each direction: a call the double. 0 for none.

        Raises TypeError or ValueError for what is no number from 0.
        """
        seconds = not_negative("delay", seconds)
        for direction in self._directions(way):
            direction.delay = seconds
        self._tell()

    def slow(self, octets_per_second: float, way: Way = BOTH) -> None:
        """No more than so many octets a second get through: a slow reader for who writes, a thin line for who reads.

        Raises TypeError or ValueError for what is no number above 0.
        """
        rate = above_zero("octets_per_second", octets_per_second, "heal()")
        for direction in self._directions(way):
            direction.rate = FOREVER if rate is None else rate
        self._tell()

    def half_open(self, way: Way = BOTH) -> None:
        """What is sent is taken and thrown away, ends of connections too; nobody is told. New connections come about.

        It is what a cable without a plug does, or a firewall that has forgotten a connection.
        """
        for direction in self._directions(way):
            direction.swallows = True
        self._tell()

    def lose(self) -> None:
        """Cut all connections, now. The client connects again, as it does over a network."""
        for link in list(self._links):
            link.cut()

    def refuse(self) -> None:
        """Cut all connections, and let none come about any more."""
        self.refused = True
        self.lose()

    def heal(self) -> None:
        """Nothing is wrong any more. A connection of which something was thrown away is cut: it can't go on."""
        for direction in self._directions(BOTH):
            direction.heal()
        self.refused = False
        for link in list(self._links):
            link.healed()

    def attach(self, link: Faulty) -> None:
        """It heeds these faults from now on, as long as it is referred to."""
        with self._lock:
            self._links.add(link)

    def _directions(self, way: Way) -> Iterable[Direction]:
        ways = {
            "both": (self.to_server, self.to_client),
            "to_server": (self.to_server,),
            "to_client": (self.to_client,),
        }
        if way not in ways:
            raise ValueError(f'a direction is "both", "to_server" or "to_client", not {way!r}')
        return ways[way]

    def _tell(self) -> None:
        for link in list(self._links):
            link.changed()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to_server={self.to_server!r} to_client={self.to_client!r}>"
