"""The blocking shell: plain sockets, driven in the threads that wait for something (``leading``, ``polling``).

When nobody waits, a keeper thread looks in now and then, so that heartbeats go on. It also does what an interrupt has
left half done, what a finalizer could not do at once, and what calls need that no thread waits for (``background``).
"""

from __future__ import annotations

import socket
import threading
import weakref
from collections import deque
from collections.abc import Callable
from os import getpid

from zerorpc.errors import LostRemote
from zerorpc.logs import Logger
from zerorpc.runtime import forks
from zerorpc.transport.background import Background, BackgroundCall
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.dialer import LEAVING, Dialer
from zerorpc.transport.dialing import BlockingDialing, Dial
from zerorpc.transport.keeper import Keeper
from zerorpc.transport.keeping import KeptHub
from zerorpc.transport.leading import Leading
from zerorpc.transport.polling import BlockingOwner, Polling
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.transport.sockets import Listener, tune

__all__ = ["BlockingHub"]

logger: Logger = Logger("zerorpc.transport")

_KEEPER_LONGEST = 1.0  # s between the keeper's looks
_KEEPER_SHORTEST = 0.02


class BlockingHub(KeptHub):
    """A hub that lives in its callers' threads. Its methods are safe from any thread, and after a fork.

    ``lock`` guards all state, the peers' too; the owner is called with it held.
    """

    lock: threading.RLock
    listeners: dict[str, Listener]
    sockets: weakref.WeakSet[Listener | socket.socket]

    def __init__(
        self,
        owner: BlockingOwner,
        resolve_hook: Callable[[object], object],
        heartbeat: float | None,
        security: Security = UNSECURED,
    ) -> None:
        super().__init__(resolve_hook, security)
        self.owner: BlockingOwner = owner
        self._keeper_interval = min(max((heartbeat or 2.0) / 2, _KEEPER_SHORTEST), _KEEPER_LONGEST)
        self._inherited: list[Listener | socket.socket] = []  # the parent's, to be closed at the first use in a child
        self._look_in_by = 0.0
        self.background: Background = Background(self)
        self.polling: Polling = Polling(owner, self._accepted, self.background)
        self.leading: Leading = self.polling.leading
        self._set_up()
        forks.watch(self)

    def _set_up(self) -> None:
        """State that is new after a fork, too."""
        self.links: dict[int, BlockingLink] = self.polling.links
        self.lock = self.leading.lock
        self._deferred: deque[Callable[[], None]] = deque()  # what the keeper shall do
        self._keeper: Keeper | None = None
        self.dialing: BlockingDialing = BlockingDialing(self)

    def mend(self) -> None:
        """Finish what an interrupt (Ctrl-C, an alarm) may have left half done in another thread. With the lock held."""
        self.leading.mend()
        for link in list(self.links.values()):
            if link.closed:
                link.finish()
            elif link.dialer is not None and link.dialer.closed:
                link.lose(LostRemote("disconnected here"))
            elif link.dialer is not None and link.dialer.retired:
                self._retire(link)
            elif link.leaving and self.owner.is_idle(link):
                link.lose(LostRemote(f"{link.name}: {LEAVING}"))
        self.dialing.begin_idle(self.dialers.values())

    def check_may_wait(self) -> None:
        """Raises InUse in a thread that connects: a call without a server would keep itself waiting there."""
        self.dialing.check_may_wait()

    def attend(self, call: BackgroundCall) -> None:
        """Look after a call that has begun, and that no thread waits for. With the lock held. Raises RuntimeError if
        there is no keeper, and no thread can be started.
        """
        self._ready_to_wait()
        self.background.add(call)

    # Endpoints

    def _expand(self, endpoint: object, resolve: bool) -> list[object]:
        if getpid() != forks.pid:
            forks.catch_up()
        self.leading.check_idle()
        if self.stale:
            with self.lock:
                self.revive()
        return super()._expand(endpoint, resolve)

    # Links

    def adopt(self, sock: socket.socket, security: Security = UNSECURED, dial: Dial | None = None) -> None:
        """Make a link of a socket that ``dial`` connected, or that came to a listener."""
        link: BlockingLink | None = None
        try:
            tune(sock)
            sock.setblocking(False)
            with self.lock:
                if self.closed or (dial is not None and not self.dialing.wants(dial)):
                    sock.close()
                    return
                dialer = None if dial is None else dial.dialer
                link = self._new_link(sock, dialer, security)
                self.links[link.fileno] = link
                if dial is not None:
                    self.dialing.ended(dial)
                self.polling.add(link)
        except BaseException:
            if link is not None and self.links.get(link.fileno) is link:
                link.peer.writable, link.closed = False, True  # the keeper does the rest
            else:
                sock.close()
            raise

    def _new_link(self, sock: socket.socket, dialer: Dialer | None, security: Security) -> BlockingLink:
        peer = self.owner.make_peer(security.mechanism)
        if security.tls is None:
            return BlockingLink(self, sock, peer, dialer)
        from zerorpc.transport.blocking_tls import TlsBlockingLink

        return TlsBlockingLink(self, sock, peer, dialer, security.tls.new_connection())

    # Listening

    def start_listener(self, listener: Listener) -> None:
        with self.lock:
            self._ready_to_wait()
            self.polling.add_listener(listener)

    def stop_listener(self, listener: Listener) -> None:
        with self.lock:
            self.polling.remove_listener(listener)
            listener.close()

    def _accepted(self, sock: socket.socket, security: Security) -> None:
        self.sockets.add(sock)
        self.adopt(sock, security)

    def _ready_to_wait(self) -> None:
        """What is only needed once something is bound or connected. With the lock held."""
        self.polling.hang_bell()
        if self._keeper is None:
            keeper = Keeper(self._look_in, self._keeper_interval)
            self.leading.start_thread(keeper)
            self._keeper = keeper

    # Connecting

    def start_dialer(self, dialer: Dialer) -> None:
        with self.lock:
            self._ready_to_wait()
            self.dialing.begin(dialer)

    def connect_again(self, dialer: Dialer, why: object) -> None:
        """The dialer's connection is over, or wants nothing new."""
        self.dialing.begin_again(dialer, why)

    def retire(self, dialer: Dialer) -> None:
        """Nothing new on its connection, which is closed when what runs there has ended. With the lock held."""
        for link in list(self.links.values()):
            if link.dialer is dialer:
                self._retire(link)

    def _retire(self, link: BlockingLink) -> None:
        self.owner.peer_retires(link)
        if self.owner.is_idle(link):
            link.lose(LostRemote(f"{link.name} is not one of its name's addresses any more"))
            self.polling.ring()

    def stop_dialer(self, dialer: Dialer) -> None:
        with self.lock:
            self.dialing.cancel(dialer)
            for link in list(self.links.values()):
                if link.dialer is not None and dialer in (link.dialer, link.dialer.name):
                    link.lose(LostRemote("disconnected here"))
            self.polling.ring()  # the leader may be the one whose call that was

    # The end

    def close(self, reason: Exception) -> None:
        """Close everything. Safe to call twice."""
        with self.lock:
            self.closed = self.polling.closed = True
            self._close_inherited()
            for dialer in self.dialers.values():
                dialer.close()
            self.dialing.cancel_all()
            for listener in self.listeners.values():
                listener.close()
            for link in list(self.links.values()):
                if link.closed:  # and not finished: an interrupt cut that short
                    link.finish()
                else:
                    link.flush()
                    link.lose(reason)
            self.listeners = {}
            self.polling.listeners.clear()  # the leader may have been told of one just now
            if self._keeper is not None:
                self._keeper.nudge()
            self.polling.ring()
            self.leading.promote()
            if self.leading.leader is None:
                self.polling.close_bell()

    # Fork

    def forked(self) -> None:
        """In a forked child: let go of what is the parent's, without a word to its peers. The lock is a new one: the
        thread that held the parent's may not exist here. A finalizer or signal handler that comes meanwhile is refused.
        """
        links = list(self.links.values())
        self.polling.close_bell()
        self.polling.set_up()
        self.leading.set_up()
        self._set_up()
        with self.lock:
            self.stale: bool = True  # until the first use: many children never use it
            error = LostRemote("the process was forked, and the call is the parent's")
            for link in links:
                link.closed = True
                link.peer.close(error)
            self._inherited += list(self.sockets)
            self.lead_nowhere()
            self.sockets = weakref.WeakSet()
            self.listeners = {}
            self._forget_attempts()
            self.owner.forked()
            self.background.forked()

    def revive(self) -> None:
        """In a forked child, at the first use: make connections of our own. With the lock held."""
        if not self.stale or self.closed:
            return
        self.leading.renew_lock()
        self.lock = self.leading.lock
        with self.lock:
            self._close_inherited()
            self.polling.renew_poller()
            self._ready_to_wait()  # out of descriptors, or of threads: the next use tries again
            self.stale = False
            self.dialing.begin_idle(self.dialers.values())

    def _close_inherited(self) -> None:
        for sock in self._inherited:
            sock.close()
        self._inherited.clear()

    def __repr__(self) -> str:
        return f"<BlockingHub bound={list(self.listeners)} connected={list(self.dialers)} links={len(self.links)}>"
