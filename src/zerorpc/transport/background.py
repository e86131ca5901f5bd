"""Calls that no thread waits for: a hub's keeper leads while there are any, and gives each its outcome.

A reply is read by whichever thread leads, with the lock held, perhaps in a signal handler: it only says which call has
one. What the program has given, hooks and callbacks, runs on a thread for each kind (``SideThread``): it may take long
there, and wait for other calls.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from typing import Protocol

from zerorpc.runtime.side_thread import SideThread, SideThreads
from zerorpc.transport.leading import InUse, Leading
from zerorpc.transport.waking import Gate

__all__ = ["Background", "BackgroundCall"]


class BackgroundCall(Protocol):
    """One of them. It is its channel's waiter as long as there is no reply."""

    hooked: bool  # whether ``finish`` calls hooks of the program's

    @property
    def answered(self) -> bool:
        """Whether there is a reply, or an end, perhaps."""

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more. Without the lock."""

    def claim(self, cancelled: bool) -> bool:
        """Whether it is over: of one that a server has refused another may be asked. With the lock held."""

    def finish(self) -> None:
        """Give it its outcome. Without the lock, and once."""

    def forked(self) -> None:
        """This is a forked child, and the call is its parent's. Takes no lock."""


class WakesKeeper(Protocol):
    """The hub."""

    leading: Leading

    def wake_keeper(self) -> None:
        """Have the keeper look in at once."""

    @property
    def in_keeper(self) -> bool:
        """Whether this is the keeper's thread."""

    def check_may_wait(self) -> None:
        """Raises InUse in a thread that connects."""


class Background:
    """The calls of one hub that no thread waits for."""

    def __init__(self, hub: WakesKeeper) -> None:
        self._hub = hub
        self._set_up()

    def _set_up(self) -> None:
        self.open: dict[BackgroundCall, None] = {}  # in the order in which they were made
        self._ended: deque[BackgroundCall] = deque()  # those of them that are answered, and so are to be finished
        self._finishing: dict[BackgroundCall, None] = {}
        self._hooks = SideThread("zerorpc-hooks")
        self.callbacks: SideThread = SideThread("zerorpc-callbacks")
        self.functions: SideThreads = SideThreads("zerorpc-functions", self._start_thread)

    def _start_thread(self, thread: threading.Thread) -> None:
        self._hub.leading.start_thread(thread)

    def add(self, call: BackgroundCall) -> None:
        """Look after a call that has begun. With the lock held."""
        self.open[call] = None
        if call.answered:  # it failed at once
            self.tell(call)
        elif self._hub.leading.leader is None:
            self._hub.wake_keeper()

    def tell(self, call: BackgroundCall) -> None:
        """There is a reply, or an end. With the lock held."""
        self._ended.append(call)
        if not self._hub.in_keeper:  # which looks at them next
            self._hub.wake_keeper()

    def wake(self) -> None:
        """Nobody leads any more. With the lock held."""
        self._hub.wake_keeper()

    @property
    def waits(self) -> bool:
        """Whether some wait for a reply, and there is nothing else to do."""
        return bool(self.open) and not self._ended

    def look(self) -> None:
        """Find what an interrupt has kept from being told. With the lock held."""
        self._ended.extend(call for call in self.open if call.answered)

    def finish(self) -> None:
        """Give what has ended its outcome. By the keeper, without the lock."""
        for _ in range(len(self._ended)):  # not those that end meanwhile: the keeper has more to do
            call = self._ended.popleft()
            cancelled = call.cancelled
            with self._hub.leading.lock:
                if call not in self.open or not call.claim(cancelled):
                    continue
                self._finishing[call] = None  # first: a fork has to find it
                del self.open[call]
            if call.hooked:
                self._hooks.post(functools.partial(self._finish, call))
            else:
                self._finish(call)

    def _finish(self, call: BackgroundCall) -> None:
        try:
            call.finish()
        finally:
            self._finishing.pop(call, None)

    def wait_for(self, call: BackgroundCall, gate: Gate, timeout: float | None) -> None:
        """Wait at most ``timeout`` seconds until a call has its outcome, when ``gate`` opens.

        Raises InUse where that would keep it from coming: in the thread that gives it.
        """
        leading = self._hub.leading
        leading.check_idle()
        self._hub.check_may_wait()
        if self._hub.in_keeper or (call.hooked and self._hooks.is_current):
            raise InUse(
                "a finalizer (__del__), a hook or a callback waits for an async_=True call in the thread that has to "
                "finish it: have it set a flag and wait later, or in another thread"
            )
        leading.wait_for(gate, timeout)

    def forked(self) -> None:
        """In a forked child. Takes no lock, and drops nothing whose finalizer may."""
        calls = [*self.open, *self._finishing]
        self._set_up()
        for call in calls:
            call.forked()

    def __repr__(self) -> str:
        return f"<Background open={len(self.open)} ended={len(self._ended)} finishing={len(self._finishing)}>"
