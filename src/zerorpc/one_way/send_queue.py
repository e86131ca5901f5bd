"""What a Pusher or Publisher has to send, and to whom it goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from zerorpc.logs import Logger
from zerorpc.transport.aio_link import AioLink
from zerorpc.zmtp import SocketType

__all__ = ["QUEUED_MAX", "OursOnly", "SendQueue"]

logger: Logger = Logger("zerorpc.transport")

QUEUED_MAX = 1000  # messages that wait: libzmq's default high-water mark
_LARGE = 64 * 1024  # octets of a message that is written at once, so that it shows whether the peer keeps up


class OursOnly(bytes):
    """A packed event that an older peer can't take, or only as ``for_older``."""

    needs: tuple[str, ...]
    for_older: bytes | None


class SendQueue:
    """Messages that wait, and the links that take them.

    Blocking code and the loop share no lock: a finalizer or a signal handler may push at any moment, in the middle of
    another push too. What they share are deques, each of whose operations is one step.
    """

    def __init__(self, socket_type: SocketType) -> None:
        self._socket_type = socket_type
        self.links: deque[AioLink] = deque()
        self._waiting: deque[bytes] = deque()
        self._room: deque[Callable[[], object]] = deque()  # to be called when there is some
        self._emptied: asyncio.Event | None = None  # while somebody waits for it

    # From any thread

    @property
    def is_full(self) -> bool:
        """Whether to wait with the next message."""
        return len(self._waiting) >= QUEUED_MAX

    def append(self, data: bytes) -> None:
        """Queue a packed event. It is sent by the first ``drain`` that finds a peer which takes it."""
        self._waiting.append(data)

    def when_room(self, act: Callable[[], object]) -> None:
        """Have ``act()`` called once, on the loop, when it is full no more.

        Look at ``is_full`` again afterwards: there may have been room before this call.
        """
        self._room.append(act)

    # On the loop

    def add(self, link: AioLink) -> None:
        """One more that takes messages."""
        self.links.append(link)
        self.drain()

    def remove(self, link: AioLink) -> None:
        """Safe to call for one that was never added."""
        with contextlib.suppress(ValueError):
            self.links.remove(link)

    def drain(self) -> None:
        """Send what waits, as far as peers take it."""
        used = set()
        while self._waiting:
            data = self._waiting[0]
            links = self._choose(self._able(data))
            if links is None:
                break
            self._waiting.popleft()
            for link in links:
                if link.peer.send(_for(link, data)):
                    used.add(link)
                    if len(data) >= _LARGE:
                        link.flush()
        for link in used:
            link.flush()
        if not self.is_full:
            self.tell_room()
        if self._emptied is not None and not self._waiting:
            self._emptied.set()

    def _able(self, data: bytes) -> list[AioLink]:
        """Those that understand a message."""
        if type(data) is not OursOnly or data.for_older is not None:
            return list(self.links)
        able = [link for link in self.links if link.peer.level >= 1]
        if len(able) < len(self.links) and (self._socket_type is SocketType.PUB or not able):
            name = next(link.name for link in self.links if link.peer.level < 1)
            logger.error(
                "an event is not sent to %s, a peer of an older protocol: it has %s", name, ", ".join(data.needs)
            )
        return able

    def _choose(self, able: list[AioLink]) -> list[AioLink] | None:
        """Where the next message goes: to everybody who keeps up, or to the next in turn. None: it waits."""
        if self._socket_type is SocketType.PUB:
            return [link for link in able if link.peer.writable]
        for _ in range(len(self.links)):
            self.links.rotate(-1)
            if self.links[-1].peer.writable and self.links[-1] in able:
                return [self.links[-1]]
        return None if able or not self.links else []

    def tell_room(self) -> None:
        """Call all who wait for room: there is some, or there never will be."""
        while self._room:
            self._room.popleft()()

    async def until_empty(self, longest: float) -> None:
        """Until no message waits any more, or ``longest`` seconds are over."""
        if self._waiting:
            self._emptied = self._emptied or asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self._emptied.wait()
            self._emptied = None

    def __repr__(self) -> str:
        return f"<SendQueue {self._socket_type.value} waiting={len(self._waiting)} links={len(self.links)}>"


def _for(link: AioLink, data: bytes) -> bytes:
    older = data.for_older if type(data) is OursOnly and link.peer.level < 1 else None
    return data if older is None else older
