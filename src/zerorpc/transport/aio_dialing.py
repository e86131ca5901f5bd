"""Staying connected on an event loop: each endpoint has a task that connects, waits for the end and connects again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from typing import Any, Protocol

from zerorpc.errors import LostRemote
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.dialer import Dialer, log_unexpected
from zerorpc.transport.endpoints import Address, resolve
from zerorpc.transport.inproc import connect_inproc
from zerorpc.transport.link import Owner
from zerorpc.transport.lookups import look_up
from zerorpc.transport.names import Change, Name, some
from zerorpc.transport.security import Security
from zerorpc.transport.sockets import CONNECT_TIMEOUT, Listener, open_socket

__all__ = ["AioDialing"]


_RETIRED_TICK = 1.0  # s between looks whether the connection to an address that is gone may be closed


class Dials(Protocol):
    """What dialing needs of its hub."""

    closed: bool
    links: set[AioLink]
    sockets: weakref.WeakSet[Listener | socket.socket]
    owner: Owner[AioLink, Any, Any]

    async def make_link(
        self, sock: socket.socket, dialer: Dialer | None, name: str, security: Security, /
    ) -> AioLink: ...


class AioDialing:
    """The dialers of a hub, each with the task that works for it. All of it on the loop."""

    def __init__(self, hub: Dials, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self.tasks: dict[Dialer, asyncio.Task[None]] = {}
        self._failing: dict[Name, asyncio.Event] = {}  # set when a name is to be looked up earlier than planned
        self._retired: dict[AioLink, str] = {}  # to be closed when what runs there has ended, and why
        self._retiring: asyncio.TimerHandle | None = None  # while there are some

    def begin(self, dialer: Dialer) -> None:
        """Connect it, and stay connected. Safe to call twice."""
        if self._hub.closed or not dialer.wanted or dialer in self.tasks:
            return
        if isinstance(dialer, Name):
            self.tasks[dialer] = self._loop.create_task(self._follow(dialer))
            for each in dialer.dialers.values():  # known before a fork
                self.begin(each)
        else:
            self.tasks[dialer] = self._loop.create_task(self._stay_connected(dialer))

    def end(self, dialer: Dialer) -> None:
        """Connect it no more, and end its connections. ``dialer.closed`` is set already."""
        for link in list(self._hub.links):
            if link.dialer is not None and dialer in (link.dialer, link.dialer.name):
                link.abort(LostRemote("disconnected here"))
        for each in [each for each in self.tasks if dialer in (each, each.name)]:
            self.tasks.pop(each).cancel()

    # A name: looked up again and again

    async def _follow(self, name: Name) -> None:
        failing = self._failing[name] = asyncio.Event()
        try:
            while name.wanted:
                name.look_up_begins(self._loop.time())
                try:
                    addresses = some(name, await look_up(name.endpoint))
                except Exception as error:
                    log_unexpected(name, error)
                    name.not_found(error, self._loop.time())
                else:
                    self._change(name.found(addresses, self._loop.time()))
                await self._until_due(name, failing)
        finally:
            del self._failing[name]

    async def _until_due(self, name: Name, failing: asyncio.Event) -> None:
        while (left := name.look_up_at - self._loop.time()) > 0:
            failing.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await failing.wait()

    def _change(self, change: Change) -> None:
        for dialer in change.retire:
            task = self.tasks.pop(dialer, None)
            if task is not None:
                task.cancel()
            self._retire(dialer)
        for dialer in change.begin:
            self.begin(dialer)

    def _retire(self, dialer: Dialer) -> None:
        """Nothing new on its connections; they are closed when what runs there has ended."""
        for link in list(self._hub.links):
            if link.dialer is dialer:
                self._hub.owner.peer_retires(link)
                self._retired[link] = f"{link.name} is not one of its name's addresses any more"
        if self._retired and self._retiring is None:
            self._close_retired()

    def close_when_idle(self, link: AioLink, why: str) -> None:
        """Nothing new begins on it: it is closed when what runs there has ended, and its peer hasn't done so."""
        self._retired[link] = why
        if self._retiring is None:
            self._retiring = self._loop.call_later(_RETIRED_TICK, self._close_retired)

    def _close_retired(self) -> None:
        for link, why in self._retired.items():
            if not link.closed and self._hub.owner.is_idle(link):
                link.close(LostRemote(why))
        self._retired = {link: why for link, why in self._retired.items() if not link.closed}
        wait = bool(self._retired) and not self._hub.closed
        self._retiring = self._loop.call_later(_RETIRED_TICK, self._close_retired) if wait else None

    # An address

    async def _stay_connected(self, dialer: Dialer) -> None:
        await asyncio.sleep(dialer.due - self._loop.time())
        while dialer.wanted:
            why: object
            began, took = self._loop.time(), 0.0
            try:
                sock = await self._connect(dialer)
                link = await self._hub.make_link(sock, dialer, dialer.endpoint.text, dialer.security)
            except Exception as error:
                why = error
                took = self._loop.time() - began
                log_unexpected(dialer, error)
            else:
                assert link.over is not None
                why = await asyncio.shield(link.over)
            delay = dialer.failed(why, took)
            self._tell_name(dialer, delay)
            if dialer.wanted:
                await asyncio.sleep(delay)

    def _tell_name(self, dialer: Dialer, delay: float) -> None:
        """An address failed: others may be tried instead, and the name may be looked up earlier."""
        name = dialer.name
        if isinstance(name, Name):
            self._change(name.address_failed(dialer, delay, self._loop.time()))
            if name in self._failing:
                self._failing[name].set()

    async def _connect(self, dialer: Dialer) -> socket.socket:
        """A connected socket. Raises OSError."""
        endpoint = dialer.endpoint
        if endpoint.scheme == "inproc":
            sock = connect_inproc(endpoint.path)
            self._hub.sockets.add(sock)
            return sock
        return await self._connect_to(resolve(endpoint)[0])

    async def _connect_to(self, address: Address) -> socket.socket:
        sock = open_socket(address)
        self._hub.sockets.add(sock)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):  # wait_for() may swallow a cancellation, before Python 3.12
                await self._loop.sock_connect(sock, address[1])
        except TimeoutError:
            sock.close()
            raise TimeoutError(f"no answer within {CONNECT_TIMEOUT:g} s") from None
        except BaseException:
            sock.close()
            raise
        return sock
