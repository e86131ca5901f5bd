"""Accepting on an event loop: what listens, and the connections that have just come."""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Protocol

from zerorpc.logs import Logger
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import address_text
from zerorpc.transport.proxied import caller_behind
from zerorpc.transport.security import Security
from zerorpc.transport.sockets import Listener

__all__ = ["AioAccepting"]

logger: Logger = Logger("zerorpc.transport")

_BATCH = 128  # connections accepted before anything else has its turn
_PAUSE = 0.1  # s without accepting when that fails, mostly since the process has no descriptors left


class Accepts(Protocol):
    """What accepting needs of its hub."""

    closed: bool
    proxied: bool  # what connects is a proxy, which first says for whom
    listeners: dict[str, Listener]
    sockets: weakref.WeakSet[Listener | socket.socket]

    async def make_link(
        self, sock: socket.socket, dialer: Dialer | None, name: str, security: Security, /
    ) -> AioLink: ...


class AioAccepting:
    """The listeners of a hub, and the connections that are no links yet. All of it on the loop."""

    def __init__(self, hub: Accepts, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self.tasks: set[asyncio.Task[bool]] = set()  # one for each connection that is to become a link

    def watch(self, listener: Listener) -> None:
        """Accept what connects, from now on."""
        if not self._hub.closed and listener.fileno() >= 0:  # below 0 once it is closed
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def end(self, listener: Listener) -> None:
        """Accept no more, and close it."""
        if listener.fileno() >= 0:
            self._loop.remove_reader(listener.fileno())
        listener.close()

    def _accept(self, listener: Listener) -> None:
        """Take the connections that wait. Out of descriptors, it stops for a moment; the rest stay in the backlog."""
        for _ in range(_BATCH):
            try:
                self.adopt(listener.accept(), listener.security, listener.endpoint.startswith("inproc:"))
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except Exception as error:
                if not isinstance(error, OSError):
                    logger.error("accepting at %s failed; it will be tried again", listener.endpoint, raised=error)
                if listener.fileno() >= 0:
                    self._loop.remove_reader(listener.fileno())
                    self._loop.call_later(_PAUSE, self._accept_again, listener)
                return

    def _accept_again(self, listener: Listener) -> None:
        if self._hub.listeners.get(listener.endpoint) is listener:  # it may have been unbound, and even bound anew
            self.watch(listener)

    def adopt(self, sock: socket.socket, security: Security, direct: bool = False) -> asyncio.Task[bool]:
        """Make a link of an accepted socket; the result tells whether there is one.

        ``direct``: from this very process, so that no proxy stands in between.
        """
        self._hub.sockets.add(sock)
        task = self._loop.create_task(self._adopt(sock, security, self._hub.proxied and not direct))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _adopt(self, sock: socket.socket, security: Security, proxied: bool) -> bool:
        try:
            name = address_text(sock.getpeername())
            if proxied:
                name = await caller_behind(name, sock, self._loop)
            if security.tls is not None:
                name = name.replace("tcp://", "tls+tcp://", 1)
            await self._hub.make_link(sock, None, name, security)
        except asyncio.CancelledError:
            sock.close()
            raise
        except BaseException as error:  # a program's own new_msgid, say; SystemExit would end the loop
            sock.close()
            if not issubclass(type(error), OSError):
                logger.error("a connection couldn't be taken", raised=error)
            return False
        return True
