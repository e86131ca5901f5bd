"""What ``zerorpc.every`` of an AsyncClient gives: the outcomes, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from zerorpc.client.async_call import Call, LoopCaller
from zerorpc.client.every import CONNECTING, Asked, Gathering, Outcome, Peer
from zerorpc.not_picklable import NotPicklable
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.client_peer import ClientPeer, late
from zerorpc.transport.hub import Hub

__all__ = ["AsyncReplies"]

_GLANCE = 0.01  # s between looks whether endpoints are connected that are just being connected


class EveryCaller(LoopCaller, Protocol):
    """The core of an AsyncClient."""

    time: Callable[[], float]

    @property
    def hub(self) -> Hub: ...

    def attach(self) -> None:
        """Belong to the running loop from now on. Raises what a call raises outside of the client's loop."""

    def attend(self, channel: ClientChannel) -> None: ...

    def live(self) -> list[tuple[ClientPeer, str]]:
        """The servers that take calls now, and where they are."""

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float, /) -> None:
        """Send a request to this peer."""


class AsyncReplies(NotPicklable):
    """The outcomes of the calls, as an async iterator and context manager, for use on the client's event loop only.

    Cancelling the wait for an outcome is safe: none is lost, and iteration can go on. Two tasks can't iterate at the
    same time.
    """

    def __init__(self, core: EveryCaller, asked: Asked) -> None:
        self._core = core
        self._asked = asked
        self._gathering = Gathering()
        self._begun = False
        self._read = False  # by a task

    def __aiter__(self) -> AsyncReplies:
        return self

    async def __anext__(self) -> tuple[Peer, Outcome]:
        """The next server and what became of its call. StopAsyncIteration after the last, and when it was closed.

        Raises RuntimeError while another task waits for an outcome; that task still gets it.
        """
        if self._read:
            raise RuntimeError("these outcomes are being read by another task")
        self._read = True
        try:
            if not self._begun:
                await self._begin()
            gathering = self._gathering
            while not gathering.ended and gathering.under_way:
                gathering.waiter = future = self._core.loop.create_future()
                try:
                    await future
                finally:
                    gathering.waiter = None
            try:
                return gathering.take()
            except IndexError:
                raise StopAsyncIteration from None
        finally:
            self._read = False

    async def _begin(self) -> None:
        """Call whoever is there, once there is somebody and nobody else is about to be there."""
        core = self._core
        core.attach()
        now = core.time()
        call = Call(core, *self._asked, now)
        while not self._is_known(now, call.channel.deadline):
            await asyncio.sleep(_GLANCE)
            if self._begun:  # closed meanwhile
                return
        core.attach()  # or it is closed
        live = core.live()
        if not live:
            call.channel.fail(late(call.channel, f": no server was reached ({core.hub.describe()})"))
            call.outcome()
        self._begun = True
        calls = [call, *(Call(core, *self._asked, now) for _ in live[1:])]
        for (peer, address), each in zip(live, calls, strict=True):
            self._asked.attend(core, each)
            self._gathering.add(each, address)
            core.start_at(peer, each.channel, now)

    def _is_known(self, began: float, deadline: float) -> bool:
        """Who is to be asked."""
        core = self._core
        now = core.time()
        found = bool(core.live()) and (now >= began + CONNECTING or not core.hub.connecting)
        return found or core.hub.closed or now >= deadline

    def close(self) -> None:
        """Give up the calls that still run. Safe to call twice."""
        self._begun = True
        for request in self._gathering.close():
            self._core.abandon(request.channel)

    async def aclose(self) -> None:
        """``close``, under the name that ``contextlib.aclosing`` wants."""
        self.close()

    async def __aenter__(self) -> AsyncReplies:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_gathering" not in self.__dict__:  # an interrupt left half of one
            return
        for request in self._gathering.close():
            self._core.drop(request.channel)
