"""The asyncio shell: a hub whose links live on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zerorpc.errors import Closed, LostRemote
from zerorpc.logs import Logger
from zerorpc.runtime import forks
from zerorpc.runtime.cpython import report_no_pending
from zerorpc.runtime.loops import running_loop
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import Address, address_text, is_literal, resolve
from zerorpc.transport.hub import Hub
from zerorpc.transport.inproc import connect_inproc
from zerorpc.transport.link import C, Owner, T
from zerorpc.transport.lookups import look_up
from zerorpc.transport.proxied import caller_behind
from zerorpc.transport.sockets import CONNECT_TIMEOUT, Listener, open_socket, tune
from zerorpc.zmtp.memory import keep_memory_for

__all__ = ["AioHub"]

logger: Logger = Logger("zerorpc.transport")

_LINGER = 5.0  # s that peers get to take what is buffered when we close,
_STALLED = 1.0  # s, unless they take nothing at all for so long: on a busy machine a reader waits for its turn
_LINGER_TICK = 0.01
_READ_SIZE = 256 * 1024  # octets that plain asyncio makes room for at each read, however few come
_ACCEPT_PAUSE = 0.1  # s without accepting when that fails, mostly since the process has no descriptors left

Item = TypeVar("Item", Listener, Dialer)


class AioHub(Hub):
    """A hub on an event loop. ``bind`` and ``connect`` may come before the loop, and from any thread.

    With ``proxied``, what connects is a proxy, which first says for whom.
    """

    lock: threading.RLock
    listeners: dict[str, Listener]
    sockets: weakref.WeakSet[Listener | socket.socket]

    def __init__(self, owner: Owner[AioLink, C, T], resolve_hook: Callable[[object], object]) -> None:
        super().__init__(resolve_hook)
        self.owner: Owner[AioLink, Any, Any] = owner
        self.loop: asyncio.AbstractEventLoop | None = None
        self.links: set[AioLink] = set()
        self._tasks: dict[Dialer, asyncio.Task[None]] = {}
        self._accepting: set[asyncio.Task[bool]] = set()
        self.proxied = False
        self._sealed = False
        self.leaving: bool = False  # about to close: it is bound and connected to nothing new
        forks.watch(self)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work on a loop; called in its thread. Safe to call twice; RuntimeError for another loop."""
        if self.loop is not None and self.loop is not loop:
            raise RuntimeError("this socket belongs to another event loop")
        keep_memory_for(_READ_SIZE)  # else asyncio maps and unmaps it at each read: measured, 51 us a call, not 33
        with self.lock:
            self.loop = loop
            for listener in self.listeners.values():
                self._watch(listener)
            for dialer in self.dialers.values():
                self._dial(dialer)

    def start_listener(self, listener: Listener) -> None:
        self._on_loop(self._watch, listener)

    def stop_listener(self, listener: Listener) -> None:
        self._on_loop(self._unwatch, listener, otherwise=listener.close)

    def start_dialer(self, dialer: Dialer) -> None:
        self._on_loop(self._dial, dialer)

    def stop_dialer(self, dialer: Dialer) -> None:
        self._on_loop(self._hang_up, dialer)

    def _on_loop(self, act: Callable[[Item], None], item: Item, otherwise: Callable[[], None] | None = None) -> None:
        """Run ``act(item)`` on the loop: now when we are there, soon from another thread, later if there is none."""
        if self.loop is None or self.loop.is_closed():
            if otherwise is not None:
                otherwise()
        elif running_loop() is self.loop:
            act(item)
        else:
            self.loop.call_soon_threadsafe(act, item)

    # Listening

    def _watch(self, listener: Listener) -> None:
        assert self.loop is not None
        if not self.closed and listener.fileno() >= 0:  # below 0 after ``leave_listening``
            self.loop.add_reader(listener.fileno(), self._accept, listener)

    def _unwatch(self, listener: Listener) -> None:
        assert self.loop is not None
        if listener.fileno() >= 0:
            self.loop.remove_reader(listener.fileno())
        listener.close()

    def _accept(self, listener: Listener) -> None:
        """Take all connections that wait. Out of descriptors, say, the others keep waiting and we look again later."""
        assert self.loop is not None
        for _ in range(128):
            try:
                self.adopt(listener.accept(), direct=listener.endpoint.startswith("inproc:"))
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except Exception as error:
                if not isinstance(error, OSError):
                    logger.error("accepting at %s failed; it will be tried again", listener.endpoint, raised=error)
                if listener.fileno() >= 0:
                    self.loop.remove_reader(listener.fileno())
                    self.loop.call_later(_ACCEPT_PAUSE, self._accept_again, listener)
                return

    def _accept_again(self, listener: Listener) -> None:
        if self.listeners.get(listener.endpoint) is listener:  # it may have been unbound, and even bound anew
            self._watch(listener)

    def adopt(self, sock: socket.socket, direct: bool = False) -> asyncio.Task[bool]:
        """Make a link of an accepted socket; the result tells whether there is one. On the loop.

        ``direct``: from this very process, so that no proxy stands in between.
        """
        assert self.loop is not None
        self.sockets.add(sock)
        task = self.loop.create_task(self._adopt(sock, self.proxied and not direct))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return task

    async def _adopt(self, sock: socket.socket, proxied: bool) -> bool:
        assert self.loop is not None
        try:
            name = address_text(sock.getpeername())
            if proxied:
                name = await caller_behind(name, sock, self.loop)
            await self._make_link(sock, None, name)
        except asyncio.CancelledError:
            sock.close()
            raise
        except BaseException as error:  # a program's own new_msgid, say; SystemExit would end the loop
            sock.close()
            if not issubclass(type(error), OSError):
                logger.error("a connection couldn't be taken", raised=error)
            return False
        return True

    async def _make_link(self, sock: socket.socket, dialer: Dialer | None, name: str) -> AioLink:
        assert self.loop is not None
        tune(sock)
        sock.setblocking(False)
        link = AioLink(self.loop, self, self.owner.make_peer(), dialer, name)
        try:
            await self.loop.connect_accepted_socket(lambda: link, sock)
        except BaseException:
            sock.close()
            raise
        if self.closed or (dialer is not None and dialer.closed):
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

    def _expand(self, endpoint: object, resolve: bool) -> list[object]:
        if os.getpid() != forks.pid:
            forks.catch_up()
        if self._sealed and not self.closed:
            raise RuntimeError("with several processes, endpoints can't be changed once run() has begun")
        return super()._expand(endpoint, resolve)

    def _check_open(self) -> None:
        super()._check_open()
        if self.leaving:
            raise Closed("this socket is closing")

    # Connecting

    def _dial(self, dialer: Dialer) -> None:
        assert self.loop is not None
        if not (self.closed or dialer.closed or dialer in self._tasks):
            self._tasks[dialer] = self.loop.create_task(self._stay_connected(dialer))

    async def _stay_connected(self, dialer: Dialer) -> None:
        assert self.loop is not None
        while not dialer.closed:
            why: object
            began, took = self.loop.time(), 0.0
            try:
                sock = await self._connect_socket(dialer)
                link = await self._make_link(sock, dialer, dialer.endpoint.text)
            except Exception as error:
                why = error
                took = self.loop.time() - began
                if not issubclass(type(error), OSError):
                    logger.error("connecting to %s failed; it will be tried again", dialer.endpoint.text, raised=error)
            else:
                assert link.over is not None
                why = await asyncio.shield(link.over)
            if not dialer.closed:
                await asyncio.sleep(dialer.failed(why, took))

    async def _connect_socket(self, dialer: Dialer) -> socket.socket:
        """A connected socket; every address of the name is tried. Raises OSError, the last one's."""
        assert self.loop is not None
        endpoint = dialer.endpoint
        if endpoint.scheme == "inproc":
            sock = connect_inproc(endpoint.path)
            self.sockets.add(sock)
            return sock
        if is_literal(endpoint):
            addresses = resolve(endpoint)
        else:
            addresses = await look_up(endpoint)
        for index, address in enumerate(addresses):
            try:
                return await self._connect_address(address)
            except OSError:
                if index == len(addresses) - 1:
                    raise
        raise OSError(f"{endpoint.text} has no address")

    async def _connect_address(self, address: Address) -> socket.socket:
        assert self.loop is not None
        sock = open_socket(address)
        self.sockets.add(sock)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):  # wait_for() may swallow a cancellation, before Python 3.12
                await self.loop.sock_connect(sock, address[1])
        except TimeoutError:
            sock.close()
            raise TimeoutError(f"no answer within {CONNECT_TIMEOUT:g} s") from None
        except BaseException:
            sock.close()
            raise
        return sock

    def _hang_up(self, dialer: Dialer) -> None:
        """Stop dialing, close the link that it made."""
        task = self._tasks.pop(dialer, None)
        for link in list(self.links):
            if link.dialer is dialer:
                link.abort(LostRemote("disconnected here"))
        if task is not None:
            task.cancel()

    # The end

    def stop_accepting(self) -> None:
        """Close the listeners, for good; connections live on. On the loop."""
        with self.lock:
            self.leaving = True
            for listener in self._taken_listeners():
                self._unwatch(listener)

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
        tasks: list[asyncio.Task[bool] | asyncio.Task[None]] = [*self._tasks.values(), *self._accepting]
        self._tasks.clear()
        for dialer in self.dialers.values():
            dialer.closed = True
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
        for task in (*self._tasks.values(), *self._accepting):
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
        self.sockets = weakref.WeakSet()
        self._parents = (self.loop, self.links, self._tasks, self._accepting)  # kept, so that nothing gets finalized
        self.loop = None
        self.links = set()
        self._tasks = {}
        self._accepting = set()
        self.close_listeners()

    def __repr__(self) -> str:
        return f"<AioHub bound={list(self.listeners)} connected={list(self.dialers)} links={len(self.links)}>"
