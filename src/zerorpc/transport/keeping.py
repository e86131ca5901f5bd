"""What a blocking hub's keeper does while nobody waits, and what is left to it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from threading import get_ident
from time import monotonic

from zerorpc.transport.background import Background
from zerorpc.transport.hub import Hub
from zerorpc.transport.keeper import Keeper
from zerorpc.transport.leading import Leading
from zerorpc.transport.polling import Polling

__all__ = ["KeptHub"]


class KeptHub(Hub):
    """The part of a blocking hub that its keeper drives. ``lock`` guards all state."""

    lock: threading.RLock
    background: Background
    polling: Polling
    leading: Leading
    on_look: Callable[[], None] | None = None  # the keeper calls it each time it looks in, without the lock
    _keeper: Keeper | None
    _keeper_interval: float
    _look_in_by: float
    _deferred: deque[Callable[[], None]]  # what the keeper shall do

    def mend(self) -> None:
        """Finish what an interrupt may have left half done. With the lock held."""
        raise NotImplementedError

    def _look_in(self) -> bool:
        """Heartbeats, answers to PING, workers that connect, and what is left to the keeper; whether that is all."""
        with self.lock:
            while self._deferred:
                self._deferred.popleft()()
            over, now = self.closed, monotonic()
            due = now >= self._look_in_by  # else it was woken: a background call has begun, or ended
            if due or over:
                self._look_in_by = now + self._keeper_interval
                self.background.look()
            if due and not over:
                self.polling.accept_again()
                self.mend()
        look = self.on_look  # another thread may take it back
        if look is not None and due and not over:
            look()
        self.background.finish()
        if not over and (due or self.background.open):
            self.leading.keep(self._goes_on, int(self._keeper_interval * 1000))
            self.background.finish()
        return over

    def _goes_on(self) -> bool:
        """Whether the keeper leads on: background calls wait, and it has nothing else to do."""
        return self.background.waits and not self._deferred and not self.closed and monotonic() < self._look_in_by

    def wake_keeper(self) -> None:
        """Have the keeper look in at once, if it leads too. Safe anywhere."""
        keeper = self._keeper
        if keeper is not None:
            keeper.nudge()
            if self.leading.leader == keeper.ident != get_ident():
                self.polling.ring_anyway()

    @property
    def in_keeper(self) -> bool:
        """Whether this is the keeper's thread."""
        return self._keeper is not None and self._keeper.ident == get_ident()

    def settle(self, act: Callable[[], None], wait: bool) -> None:
        """Do something with the lock held, for a signal handler or a finalizer, perhaps: if this thread is in the
        middle of something, or another is and this one may not ``wait`` for it, the keeper does it in a moment.
        """
        if not self.leading.holds_lock():
            try:
                if wait:
                    with self.lock:  # no interrupt comes between the end of the block and the release
                        act()
                    return
                if self.lock.acquire(False):
                    act()
                    return
            except BaseException:  # RecursionError, Ctrl-C
                self._deferred.append(act)
                raise
            finally:  # an interrupt may come before we know that we have it
                if self.leading.holds_lock():
                    self.lock.release()
        self._deferred.append(act)
        self.wake_keeper()
