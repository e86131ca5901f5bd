"""The sockets of a blocking hub, and what one turn of its leader does with them: plan, poll, act."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable
from threading import get_ident
from time import monotonic
from typing import Protocol

from zerorpc.logs import Logger
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.transport.background import Background
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.leading import WITHIN_MS, Leading
from zerorpc.transport.link import Owner
from zerorpc.transport.poller import READABLE, WRITABLE, Poller, new_poller
from zerorpc.transport.security import Security
from zerorpc.transport.sockets import Listener
from zerorpc.transport.waking import Bell
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["BlockingOwner", "Polling"]

logger: Logger = Logger("zerorpc.transport")

_QUIET = 0.002  # s since a link was read, after which a call looks first: a look costs 1.3 µs
_POLL_LONGEST = 1.0  # s after which a leader looks up even if nothing is due
_POLL_LONGEST_MS = 1000


class BlockingOwner(Owner[BlockingLink, ClientChannel, ClientChannel], Protocol):
    """Who a blocking hub works for: besides what happened, it is asked what is due. With the lock held."""

    def make_peer(self, mechanism: NewMechanism = Null, /) -> ClientPeer: ...

    @property
    def next_wake(self) -> float | None:
        """When ``sweep`` wants to be called next, for what belongs to no link."""

    def sweep(self, now: float) -> None: ...


class Polling:
    """Links, listeners and the bell, by their descriptors. All but ``poll`` with the lock held.

    ``accepted`` is called with each socket that comes to a listener, and the listener's security. ``background`` has
    the calls for whose sake the keeper leads when nobody else does.
    """

    def __init__(
        self, owner: BlockingOwner, accepted: Callable[[socket.socket, Security], object], background: Background
    ) -> None:
        self._owner = owner
        self._background = background
        self._accepted = accepted
        self.leading: Leading = Leading(self)
        self.closed = False  # whether nothing is to be polled when nobody leads any more
        self.set_up()

    def set_up(self) -> None:
        """In a forked child as well: what is polled is the parent's."""
        self.links: dict[int, BlockingLink] = {}
        self.listeners: dict[int, Listener] = {}
        self._resting: list[Listener] = []  # out of descriptors: not accepting for now
        self._poller = new_poller()
        self._poll_until: float | None = None  # when the leader looks up by itself
        self._bell: Bell | None = None

    # A turn

    def plan(self, now: float) -> int:
        """For how many milliseconds the leader may poll; ``wake_by`` tells of what is due earlier."""
        wake: float | None = self._owner.next_wake
        for link in self.links.values():
            due = link.peer.next_wake
            if due is not None and (wake is None or due < wake):
                wake = due
        self._poll_until = wake
        if wake is None or wake - now >= _POLL_LONGEST:
            return _POLL_LONGEST_MS
        return max(0, math.ceil((wake - now) * 1000))

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        """What happens to the sockets within ``timeout`` milliseconds. By the leader, without the lock."""
        try:
            return self._poller.poll(timeout)
        except RuntimeError as error:
            if "concurrent poll" not in str(error):  # a signal handler's
                raise
            # In use: by a call that a signal interrupted, or a leader that was taken for interrupted.
            return self._spare_poller().poll(min(timeout, WITHIN_MS))

    def _spare_poller(self) -> Poller:
        """Another that polls the same."""
        spare = new_poller()
        with self.leading.lock:
            for link in self.links.values():
                spare.register(link.fileno, READABLE | WRITABLE if link.watched else READABLE)
            for fileno, listener in self.listeners.items():
                if listener not in self._resting:
                    spare.register(fileno, READABLE)
            if self._bell is not None:
                spare.register(self._bell.fileno(), READABLE)
        return spare

    def act(self, events: list[tuple[int, int]], now: float) -> None:
        """Read and write what is ready, do what is due. A link whose turn is interrupted (Ctrl-C) can't be trusted."""
        link: BlockingLink | None = None
        try:
            for fileno, event in events:
                link = self.links.get(fileno)
                if link is not None and event == READABLE:
                    link.read(now)
                else:
                    self._handle(fileno, event, now)
            if self._poll_until is not None and now >= self._poll_until:
                for link in list(self.links.values()):
                    link.sweep(now)
                self._owner.sweep(now)
        except BaseException:
            if link is not None:
                link.peer.writable = False  # first: it gets no further calls
                link.closed = True
                link.finish()
            raise

    def _handle(self, fileno: int, event: int, now: float) -> None:
        link = self.links.get(fileno)
        if link is not None:
            if event & WRITABLE:
                link.write()
            if event & ~WRITABLE and not link.closed:
                link.read(now)
        elif fileno in self.listeners:
            self._accept(self.listeners[fileno])
        elif self._bell is not None and fileno == self._bell.fileno():
            self._bell.hush()

    def _accept(self, listener: Listener) -> None:
        """Take all connections that wait. Out of descriptors, look again when the keeper comes by."""
        try:
            while True:
                self._accepted(listener.accept(), listener.security)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except Exception as error:
            if not isinstance(error, OSError):
                logger.error("accepting at %s failed; it will be tried again", listener.endpoint, raised=error)
            self._poller.modify(listener.fileno(), 0)
            self._resting.append(listener)

    def look(self, now: float) -> None:
        """Before a call: read what has been quiet, since nobody may have noticed its end."""
        leader = self.leading.leader
        if leader is not None and leader != get_ident():
            return  # the leader notices, and what another thread read it would wait for in vain
        for link in self.links.values():
            if now - link.peer.last_received > _QUIET:
                quiet = [(fileno, READABLE) for fileno in self.links]
                self.act(quiet, now)
                return

    # What is polled

    def add(self, link: BlockingLink) -> None:
        """Take a link in; its peer has something to say."""
        self._poller.register(link.fileno, READABLE)
        link.peer.opened(monotonic())
        link.flush()
        self.ring()

    def watch(self, link: BlockingLink, for_writing: bool) -> None:
        """Whether to be told when the link's socket takes more."""
        self._poller.modify(link.fileno, READABLE | WRITABLE if for_writing else READABLE)
        if for_writing:
            self.ring()

    def forget(self, link: BlockingLink) -> None:
        """The link is over, its socket not closed yet. Safe to call twice."""
        if self.links.get(link.fileno) is link:
            with contextlib.suppress(KeyError):
                self._poller.unregister(link.fileno)

    def add_listener(self, listener: Listener) -> None:
        self.listeners[listener.fileno()] = listener
        self._poller.register(listener.fileno(), READABLE)
        self.ring()

    def remove_listener(self, listener: Listener) -> None:
        if self.listeners.pop(listener.fileno(), None) is not None:
            self._poller.unregister(listener.fileno())
            self.ring()  # poll() keeps what it polls open, and so the address taken, until it returns

    def accept_again(self) -> None:
        """Accept where descriptors had run out."""
        for listener in self._resting:
            if listener.fileno() in self.listeners:
                self._poller.modify(listener.fileno(), READABLE)
                self.ring()
        self._resting.clear()

    # The bell

    def hang_bell(self) -> None:
        """Be able to ring: needed once there is something to poll."""
        if self._bell is None:
            self._bell = Bell()
            self._poller.register(self._bell.fileno(), READABLE)

    def wake_by(self, due: float | None) -> None:
        """Something is due at a time that the leader may not know of."""
        if due is not None and (self._poll_until is None or due < self._poll_until):
            self.ring()

    def ring(self) -> None:
        """Make the leader look at what it polls: something was added."""
        if self.leading.leader is not None and self._bell is not None:
            self._bell.ring()

    def ring_anyway(self) -> None:
        """The same for whoever may not wait for the lock."""
        bell = self._bell
        if bell is not None:
            bell.ring()

    def rest(self) -> None:
        """Nobody leads."""
        if self.closed:
            self.close_bell()
        elif self._background.open:
            self._background.wake()

    def close_bell(self) -> None:
        self._bell = None  # who is just ringing it, without the lock, has it yet: the last one closes it

    def renew_poller(self) -> None:
        """Since the fork gevent may have put its own in place of the system's."""
        self._poller = new_poller()
