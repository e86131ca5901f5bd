"""Whether the server behind a gateway can be reached."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.errors import HandshakeFailed, LostRemote
from zerorpc.logs import Logger
from zerorpc.shown import message_of

__all__ = ["Reach"]

logger: Logger = Logger("zerorpc.server")

_SILENCE_MAX = 5.0  # s that calls wait for who has accepted a connection, and says nothing
_LOOK = 0.02  # s between looks whether it can be reached, while that isn't known: only a success is told


class Reach:
    """Of the servers that a client connects to. ``changed`` is called when there is another connection. On the loop of
    ``begin``.

    A client waits for a server as long as a call may take. Callers of a gateway are told at once: they may know of
    another gateway, and a call that waits would take a place here.
    """

    def __init__(self, client: AsyncClient, changed: Callable[[], None]) -> None:
        self._core = client._core
        self._changed = changed
        self._news = asyncio.Event()  # there is a connection
        self._was_connected = False
        self._is_lost = False  # as the log has it
        self._without_since = monotonic()  # a connection
        self.where: str = ", ".join([*self._core.hub.dialers, *self._core.hub.listeners])

    @property
    def connections(self) -> frozenset[object]:
        return frozenset(self._core.calls.peers)

    @property
    def is_old(self) -> bool:
        """Whether only servers of an older protocol are there."""
        return all(peer.level < 1 for peer in self._core.calls.peers)

    def begin(self) -> None:
        """Connect."""
        self._core._peers.changed = self._have_news
        self._without_since = monotonic()
        self._core.attach()

    def end(self) -> None:
        """Tell nobody any more."""
        self._core._peers.changed = None

    def _have_news(self) -> None:
        before, self._was_connected = self._was_connected, bool(self._core.calls.peers)
        if not self._was_connected:
            if before:
                self._without_since = monotonic()
                self._log("the connection is lost")
            return
        self._news.set()
        if self._is_lost:
            self._is_lost = False
            logger.info("reached again: %s", self.where)
        self._changed()

    def _log(self, why: str) -> None:
        """Once, until it changes."""
        if not self._is_lost:
            self._is_lost = True
            logger.warning("calls can't be forwarded to %s: %s", self.where, why)

    def why_not(self) -> str:
        """Why it isn't connected; "" if it is."""
        return "" if self._core.calls.peers else f"no server was reached ({self._core.hub.describe()})"

    async def connected(self) -> None:
        """Until there is a connection. Raises LostRemote or HandshakeFailed as soon as the attempt has failed."""
        core = self._core
        while not core.calls.peers:
            is_late = monotonic() >= self._without_since + _SILENCE_MAX
            if is_late or (not core.hub.connecting and not core.hub.listeners):
                raise self._lost()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._news.wait()

    def _lost(self) -> LostRemote | HandshakeFailed:
        why, refusal = self.why_not(), self._core.hub.refusal
        self._log(why)
        error = LostRemote(why) if refusal is None else HandshakeFailed(message_of(refusal))
        error.ran, error.endpoint = False, self.where
        return error

    def __repr__(self) -> str:
        return f"<Reach {self.where} {'connected' if self._core.calls.peers else 'not connected'}>"
