"""Whether an event loop turns, and what keeps it from it.

A timer of the loop notes the time again and again. A thread looks at what it noted, and when that is too old, it
reads the stack of the loop's thread: what runs there is what blocks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
import traceback
from collections import deque
from time import monotonic
from types import FrameType

from zerorpc.logs import Logger
from zerorpc.runtime import threads
from zerorpc.runtime.cpython import frame_of_thread
from zerorpc.service.coroutines import invocation_in
from zerorpc.service.invocation import Invocation

__all__ = ["Blocked", "LoopWatch"]

logger: Logger = Logger("zerorpc.server")

_TICK = 0.02  # s from one time that the loop notes to the next; a tick takes some microseconds
_LOOK = 0.02  # s from one look of the thread to the next
_BLOCKED = 0.05  # s that a tick may be late: asyncio's debug mode tells of callbacks that take 0.1
_WINDOW = 2.5  # s; ``lag`` is the worst of one to two of these
_KEPT = 20
_FRAMES_MAX = 40  # of a stack, the innermost
_OF_THE_LOOP = ("asyncio.", "selectors", "uvloop")  # modules whose frames say nothing of what blocks it


class Blocked:
    """One time that the loop didn't turn: the ``method`` that ran, None if it was none; ``when`` it began, in seconds
    since the epoch; and the ``stack``, from the method on.
    """

    __slots__ = ("method", "seconds", "stack", "when")

    def __init__(self, method: str | None, seconds: float, when: float) -> None:
        self.method: str | None = method
        self.seconds: float = seconds
        self.when: float = when
        self.stack: str = ""

    def __repr__(self) -> str:
        return f"<Blocked by {self.method} for {self.seconds:.3g} s>"


class LoopWatch:
    """Watches one loop, from ``start`` to ``close``, which are called there; ``look`` is the thread's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.blocked: deque[Blocked] = deque(maxlen=_KEPT)  # the oldest first
        self._loop = loop
        self._lock = threading.Lock()  # of what follows
        self._due = 0.0  # when the next tick ought to come
        self._stall: Blocked | None = None  # the one that lasts
        self._lags = [0.0, 0.0]  # the worst of the last window, and of this one
        self._window_ends = 0.0
        self._ident = 0
        self._resting: FrameType | None = None  # what drives the loop: above it is what runs there
        self._timer: asyncio.Handle | None = None
        self._over = threading.Event()

    @property
    def lag(self) -> float:
        """How late a tick came at worst, of those in the last seconds."""
        return max(self._lags)

    # On the loop

    def start(self) -> None:
        self._ident = threading.get_ident()
        self._due = monotonic()
        self._timer = self._loop.call_soon(self._tick)
        thread = threading.Thread(target=self._watch, name="zerorpc-loop-watch", daemon=True)
        with contextlib.suppress(RuntimeError, MemoryError):  # no room for a thread: then nobody looks
            threads.start(thread)

    def _tick(self) -> None:
        now = monotonic()
        late = max(0.0, now - self._due)
        if self._resting is None:
            self._resting = _without_loop(inspect.currentframe())
        with self._lock:
            if self._stall is not None:
                self._stall.seconds = late
                self._stall = None
            self._due = now + _TICK
        if now >= self._window_ends:
            self._lags, self._window_ends = [self._lags[1], 0.0], now + _WINDOW
        self._lags[1] = max(self._lags[1], late)
        self._timer = self._loop.call_later(_TICK, self._tick)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._resting = None
        self._over.set()

    # In the thread

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            try:
                self.look(monotonic())
            except Exception as error:  # it has to live on
                logger.error("what looks whether the event loop turns failed, and goes on", raised=error)

    def look(self, now: float) -> None:
        due, stall = self._due, self._stall
        late = now - due
        if late < _BLOCKED:
            return
        frames: list[tuple[FrameType, int]] = []
        if stall is None:
            frames = self._frames()
            if not frames:  # it rests: the machine is busy, or another thread keeps the interpreter
                return
            stall = Blocked(_method(frames), late, time.time() - late)
        with self._lock:
            if self._due != due:  # it turned meanwhile: what was read may have been something else
                return
            is_new, self._stall = self._stall is None, stall
            stall.seconds = late
        if is_new:
            stall.stack = _text(frames)
            self.blocked.append(stall)

    def _frames(self) -> list[tuple[FrameType, int]]:
        """What runs on the loop just now, the innermost first, each with its line; nothing if it rests."""
        frame = frame_of_thread(self._ident)
        found: list[tuple[FrameType, int]] = []
        while frame is not None and frame is not self._resting:
            found.append((frame, frame.f_lineno))
            frame = frame.f_back
        return found if any(not _is_of_loop(each) for each, _ in found) else []

    def __repr__(self) -> str:
        return f"<LoopWatch lag={self.lag:.3g} {list(self.blocked)}>"


def _is_of_loop(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__")
    return isinstance(module, str) and module.startswith(_OF_THE_LOOP)


def _without_loop(frame: FrameType | None) -> FrameType | None:
    """The first frame below one of a callback that isn't the loop's own."""
    below = None if frame is None else frame.f_back
    while below is not None and _is_of_loop(below):
        below = below.f_back
    return below


def _method(frames: list[tuple[FrameType, int]]) -> str | None:
    """The name of the method that runs; cuts off what is below it, and ours."""
    for place, (frame, _) in enumerate(frames):
        invocation = invocation_in(frame)
        if invocation is not None:
            del frames[place:]
            while len(frames) > 1 and frames[-1][0].f_globals.get("__name__") in Invocation.modules:
                frames.pop()
            return invocation.name
    while _is_of_loop(frames[-1][0]):
        frames.pop()
    return None


def _text(frames: list[tuple[FrameType, int]]) -> str:
    """As a traceback has it, the innermost last."""
    return "".join(traceback.StackSummary.extract(iter(reversed(frames[:_FRAMES_MAX]))).format())
