"""The asyncio shell: a hub whose links live on an event loop, where it accepts (``aio_accepting``) and dials."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from zerorpc.errors import Closed, LostRemote
from zerorpc.logs import Logger, Sparing
from zerorpc.runtime import forks
from zerorpc.runtime.cpython import report_no_pending
from zerorpc.runtime.loops import running_loop
from zerorpc.transport.admission import Admission
from zerorpc.transport.aio_accepting import AioAccepting
from zerorpc.transport.aio_dialing import AioDialing
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.hub import Hub
from zerorpc.transport.link import C, Owner, T
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.transport.sockets import Listener, tune
from zerorpc.zmtp.memory import keep_memory_for

__all__ = ["AioHub"]

logger: Logger = Logger("zerorpc.transport")

_LINGER = 5.0  # s that peers get to take what is buffered when we close,
_STALLED = 2.0  # s, unless they take nothing at all for so long: on a busy machine a reader waits for its turn
_LINGER_TICK = 0.01
_READ_SIZE = 256 * 1024  # octets that plain asyncio makes room for at each read, however few come


class AioHub(Hub):
    """A hub on an event loop. ``bind`` and ``connect`` may come before the loop, and from any thread.

    With ``proxied``, what connects is a proxy, which first says for whom.
    """

    lock: threading.RLock
    listeners: dict[str, Listener]
    sockets: weakref.WeakSet[Listener | socket.socket]

    def __init__(
        self,
        owner: Owner[AioLink, C, T],
        resolve_hook: Callable[[object], object],
        security: Security = UNSECURED,
    ) -> None:
        super().__init__(resolve_hook, security)
        self.owner: Owner[AioLink, Any, Any] = owner
        self.loop: asyncio.AbstractEventLoop | None = None
        self.accepting: AioAccepting  # both of them from when there is a loop
        self.dialing: AioDialing
        self.links: set[AioLink] = set()
        self.proxied = False
        self.refused: Sparing = Sparing()
        self.admission: Admission | None = None  # the owner's: decides about those who connect
        self._sealed = False
        self.leaving: bool = False  # about to close: it is bound and connected to nothing new
        forks.watch(self)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work on a loop; called in its thread. Safe to call twice; RuntimeError for another loop."""
        if self.loop is not None and self.loop is not loop:
            raise RuntimeError("this socket belongs to another event loop")
        keep_memory_for(_READ_SIZE)  # else asyncio maps and unmaps it at each read: measured, 51 us a call, not 33
        with self.lock:
            if self.loop is None:
                self.accepting, self.dialing = AioAccepting(self, loop), AioDialing(self, loop)
                self.loop = loop
            for listener in self.listeners.values():
                self.accepting.watch(listener)
            for dialer in self.dialers.values():
                self.dialing.begin(dialer)

    def start_listener(self, listener: Listener) -> None:
        self._on_loop(lambda: self.accepting.watch(listener))

    def stop_listener(self, listener: Listener) -> None:
        self._on_loop(lambda: self.accepting.end(listener), otherwise=listener.close)

    def start_dialer(self, dialer: Dialer) -> None:
        self._on_loop(lambda: self.dialing.begin(dialer))

    def stop_dialer(self, dialer: Dialer) -> None:
        self._on_loop(lambda: self.dialing.end(dialer))

    def _on_loop(self, act: Callable[[], None], otherwise: Callable[[], None] | None = None) -> None:
        """Run ``act()`` on the loop: now when we are there, soon from another thread, later if there is none."""
        if self.loop is None or self.loop.is_closed():
            if otherwise is not None:
                otherwise()
        elif running_loop() is self.loop:
            act()
        else:
            self.loop.call_soon_threadsafe(act)

    # Links

    def adopt(self, sock: socket.socket, listener: int) -> asyncio.Task[bool]:
        """Make a link of a connection that another process has accepted, at the listener of ours with this number; the
        result tells whether there is one. On the loop.
        """
        return self.accepting.adopt(sock, list(self.listeners.values())[listener].security)

    async def make_link(self, sock: socket.socket, dialer: Dialer | None, name: str, security: Security) -> AioLink:
        """Make one of a socket that ``dialer`` connected, or that came from ``name``. Closes it if that fails."""
        assert self.loop is not None
        try:
            tune(sock)
            sock.setblocking(False)
            link: AioLink
            protocol: asyncio.Protocol
            if security.tls is None:
                link = protocol = AioLink(self.loop, self, self.owner.make_peer(security.mechanism), dialer, name)
            else:
                from zerorpc.transport.aio_tls import AioTls, TlsAioLink

                link = TlsAioLink(self.loop, self, self.owner.make_peer(security.mechanism), dialer, name)
                protocol = AioTls(self.loop, link, security.tls.new_connection())
            await self.loop.connect_accepted_socket(lambda: protocol, sock)
        except BaseException:
            sock.close()
            raise
        if self.closed or not (dialer is None or dialer.wanted):
            link.abort(LostRemote("this socket was closed"))
        return link

    # Several processes

    def seal(self) -> None:
        """From now on its endpoints stay as they are: other processes have, or will have, the same."""
        self._sealed = True

    def leave_listening(self) -> None:
        """In a forked child whose parent accepts for it: the endpoints keep their names only."""
        for listener in self.listeners.values():
            listener.close()

    def check_changeable(self) -> None:
        """Raises RuntimeError where its endpoints have to stay as they are."""
        if os.getpid() != forks.pid:
            forks.catch_up()
        if self._sealed and not self.closed:
            raise RuntimeError("with several processes, endpoints can't be changed once run() has begun")

    def _expand(self, endpoint: object, resolve: bool) -> list[object]:
        self.check_changeable()
        return super()._expand(endpoint, resolve)

    def _check_open(self) -> None:
        super()._check_open()
        if self.leaving:
            raise Closed("this socket is closing")

    # The end

    def stop_accepting(self) -> None:
        """Close the listeners, for good; connections live on. On the loop."""
        with self.lock:
            self.leaving = True
            for listener in self._taken_listeners():
                self.accepting.end(listener)

    def _taken_listeners(self) -> Iterable[Listener]:
        """All of them, taken out."""
        with self.lock:
            taken, self.listeners = self.listeners, {}
        return taken.values()

    async def aclose(self, reason: Exception) -> None:
        """Close everything, sending what is buffered first as far as peers take it at once. On the loop.

        Cancelled, it closes the rest at once.
        """
        tasks = self._begin_close(reason)
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.until_sent(_LINGER, gone=True)
        finally:
            for link in list(self.links):
                link.abort(reason)
        await asyncio.sleep(0)

    def close_soon(self, reason: Exception) -> None:
        """``aclose`` in the background. On the loop."""
        assert self.loop is not None
        self.closed: bool = True
        self._closing = self.loop.create_task(self.aclose(reason))

    def _begin_close(self, reason: Exception) -> list[asyncio.Task[bool] | asyncio.Task[None]]:
        """Close all that ends by itself from now on; the tasks that were working for it."""
        self.closed = True
        self.stop_accepting()
        if self.admission is not None:
            self.admission.close()
        tasks: list[asyncio.Task[bool] | asyncio.Task[None]] = [*self.dialing.tasks.values(), *self.accepting.tasks]
        self.dialing.tasks.clear()
        for dialer in self.dialers.values():
            dialer.close()
        for task in tasks:
            task.cancel()
        for link in list(self.links):
            link.flush()
            link.close(reason)
        return tasks

    async def until_sent(self, longest: float, gone: bool = False) -> None:
        """Wait while links get rid of what they have to send; until they are ``gone``, if they are closing."""
        assert self.loop is not None
        deadline = self.loop.time() + longest
        before, since = -1, 0.0
        while self.links and (now := self.loop.time()) < deadline:
            unsent = sum(link.unsent for link in list(self.links))
            if not (unsent or gone):
                return
            if unsent != before:
                before, since = unsent, now
            elif now - since >= _STALLED:
                return
            await asyncio.sleep(_LINGER_TICK)

    def close_unattached(self) -> None:
        """Close a hub that never saw a loop."""
        with self.lock:
            self.closed = True
            self.close_listeners()

    def close_listeners(self) -> None:
        """``stop_accepting`` where there is no loop."""
        for listener in self._taken_listeners():
            listener.close()

    def drop(self, reason: Exception) -> None:
        """Close it when nobody uses it any more. From ``__del__``, so in any thread, at any moment."""
        self.closed = True  # nothing new begins
        loop = self.loop
        try:
            if loop is None:
                self.close_unattached()
            else:
                loop.call_soon_threadsafe(self.close_soon, reason)
        except RuntimeError:  # the loop is closed: nothing ends by itself any more
            self._close_sockets()

    def _close_sockets(self) -> None:
        """What is left when the loop was closed first: descriptors, and tasks that were never to end."""
        for task in (*self.dialing.tasks.values(), *self.accepting.tasks):
            report_no_pending(task)  # of no use: we know, and do tell
        for sock in (*self._taken_listeners(), *self.sockets):
            sock.close()

    # Fork

    def forked(self) -> None:
        """Whatever this child's copy of a loop may still do, the parent's peers don't hear of it."""
        self.lock = threading.RLock()  # the parent's may be held by a thread that doesn't exist here
        if self.loop is not None:
            self.stale: bool = self.stale or not self.closed
            with contextlib.suppress(Exception):  # one that can't let go keeps no other from being the parent's
                self.lead_nowhere()
        self.owner.forked()

    def disown(self) -> None:
        """In a forked child: let go of what is the parent's, its loop above all, without a word to its peers."""
        self.stale = False
        self._forget_attempts()
        self.sockets = weakref.WeakSet()
        if self.loop is not None:
            # Kept, so that nothing gets finalized.
            self._parents = (self.loop, self.links, self.accepting, self.dialing)
        self.loop = None
        self.links = set()
        self.close_listeners()

    def __repr__(self) -> str:
        return f"<AioHub bound={list(self.listeners)} connected={list(self.dialers)} links={len(self.links)}>"
