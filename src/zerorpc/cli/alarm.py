"""An alarm clock for an event loop, more exact than the loop's own timers, which count whole milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

LEAST = 100e-6  # seconds: an alarm costs 20 to 30 µs, and more of them would leave too little time for the rest


class Alarm:
    """Calls `ring` in the running loop when the time is up.

    A timer of the kernel's sends us SIGALRM (at 1,000 a second 0.04 ms late in the median, where uvloop's timers are
    0.26 ms late and asyncio's 0.55). Where there is no such signal, or this is not the main thread, it is the loop's
    timer after all.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._has_signal = False
        with contextlib.suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
            handler = signal.getsignal(signal.SIGALRM)
            self._loop.add_signal_handler(signal.SIGALRM, self._rang)
            self._before = handler, signal.setitimer(signal.ITIMER_REAL, 0)
            self._has_signal = True

    def set(self, seconds: float) -> None:
        """Ring once, so many seconds from now, and no other time that was set before."""
        if self._has_signal:
            signal.setitimer(signal.ITIMER_REAL, max(LEAST, seconds))
        else:
            self._cancel_timer()
            self._timer = self._loop.call_later(seconds, self._ring)

    def close(self) -> None:
        """Never ring again, and leave the signal as it was found."""
        self._cancel_timer()
        if self._has_signal:
            self._has_signal = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._loop.remove_signal_handler(signal.SIGALRM)
            handler, (delay, interval) = self._before
            signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
            signal.setitimer(signal.ITIMER_REAL, delay, interval)

    def _rang(self) -> None:
        if self._has_signal:
            self._ring()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
