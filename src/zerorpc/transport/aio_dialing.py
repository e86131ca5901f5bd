"""Staying connected on an event loop: each endpoint has a task that connects, waits for the end and connects again."""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Protocol

from zerorpc.errors import LostRemote
from zerorpc.logs import Logger
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import Address, is_literal, resolve
from zerorpc.transport.inproc import connect_inproc
from zerorpc.transport.lookups import look_up
from zerorpc.transport.sockets import CONNECT_TIMEOUT, Listener, open_socket

__all__ = ["AioDialing"]

logger: Logger = Logger("zerorpc.transport")


class Dials(Protocol):
    """What dialing needs of its hub."""

    closed: bool
    links: set[AioLink]
    sockets: weakref.WeakSet[Listener | socket.socket]

    async def make_link(self, sock: socket.socket, dialer: Dialer | None, name: str, /) -> AioLink: ...


class AioDialing:
    """The dialers of a hub, each with the task that works for it. All of it on the loop."""

    def __init__(self, hub: Dials, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self.tasks: dict[Dialer, asyncio.Task[None]] = {}

    def begin(self, dialer: Dialer) -> None:
        """Connect it, and stay connected. Safe to call twice."""
        if not (self._hub.closed or dialer.closed or dialer in self.tasks):
            self.tasks[dialer] = self._loop.create_task(self._stay_connected(dialer))

    def end(self, dialer: Dialer) -> None:
        """Connect it no more, and end its connection. ``dialer.closed`` is set already."""
        task = self.tasks.pop(dialer, None)
        for link in list(self._hub.links):
            if link.dialer is dialer:
                link.abort(LostRemote("disconnected here"))
        if task is not None:
            task.cancel()

    async def _stay_connected(self, dialer: Dialer) -> None:
        while not dialer.closed:
            why: object
            began, took = self._loop.time(), 0.0
            try:
                sock = await self._connect(dialer)
                link = await self._hub.make_link(sock, dialer, dialer.endpoint.text)
            except Exception as error:
                why = error
                took = self._loop.time() - began
                if not issubclass(type(error), OSError):
                    logger.error("connecting to %s failed; it will be tried again", dialer.endpoint.text, raised=error)
            else:
                assert link.over is not None
                why = await asyncio.shield(link.over)
            if not dialer.closed:
                await asyncio.sleep(dialer.failed(why, took))

    async def _connect(self, dialer: Dialer) -> socket.socket:
        """A connected socket; every address of the name is tried. Raises OSError, the last one's."""
        endpoint = dialer.endpoint
        if endpoint.scheme == "inproc":
            sock = connect_inproc(endpoint.path)
            self._hub.sockets.add(sock)
            return sock
        if is_literal(endpoint):
            addresses = resolve(endpoint)
        else:
            addresses = await look_up(endpoint)
        for index, address in enumerate(addresses):
            try:
                return await self._connect_to(address)
            except OSError:
                if index == len(addresses) - 1:
                    raise
        raise OSError(f"{endpoint.text} has no address")

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
