"""The model: how each call ended, and whether its caller may see that.

A call ends with its own answer, or with an error for which there is a reason: one that the call itself brings along
(``may``), or one that something else has given, such as a server that was stopped meanwhile (``Reason``). It ends in
time, and it is run once at most. The first end that is wrong ends the run.
"""

from __future__ import annotations

import faulthandler
import itertools
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Collection, Iterable
from typing import Any

from zerorpc import RemoteError, SerializationError, ZeroRPCError

SLACK = 8.0  # s past its deadline until a call counts as hung; this machine may be busy with other things
NOTICED = 2.0  # s after which everybody knows that a server or a connection is gone
KEPT = 25  # operations of each thread that are shown

INTERRUPTED = "was interrupted"  # what a LostRemote says when somebody's exception cut the work on a connection short


class Interrupted(Exception):
    """What the signal handler of the main thread raises, as Ctrl-C raises KeyboardInterrupt."""


class Reason:
    """Something that ends calls: from when to when, and of which client."""

    def __init__(self, what: str, errors: Collection[str], client: Any = None, text: str = "") -> None:
        self.what = what
        self.errors = errors
        self.client = client  # None: all
        self.text = text  # that the error's message has
        self.begun = time.monotonic()
        self.ended = float("inf")

    def end(self) -> None:
        self.ended = time.monotonic()

    def excuses(self, call: Call, name: str, text: str) -> bool:
        overlaps = self.begun <= time.monotonic() and self.ended + NOTICED >= call.begun
        return name in self.errors and self.client in (None, call.client) and overlaps and self.text in text


class Call:
    """One call under way."""

    def __init__(self, who: str, what: str, call_id: int, client: Any, timeout: float, may: Collection[str]) -> None:
        self.who, self.what, self.call_id = who, what, call_id
        self.client, self.timeout, self.may = client, timeout, may
        self.begun = time.monotonic()

    @property
    def is_slow(self) -> bool:
        return time.monotonic() > self.begun + self.timeout / 2 + 2.0

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.begun + self.timeout + SLACK

    def __str__(self) -> str:
        return f"{self.who}: {self.what} (call {self.call_id}, {time.monotonic() - self.begun:.3f} s)"


class Book:
    """All calls. Safe from any thread, from signal handlers and ``__del__``: each step is one of a built-in type."""

    def __init__(self) -> None:
        self.over = threading.Event()  # the run: its time has passed, or something was wrong
        self.wrong: list[str] = []
        self.open: dict[int, Call] = {}
        self.reasons: list[Reason] = []
        self.ends: deque[tuple[int, str]] = deque()
        self._begun = time.monotonic()
        self._history: dict[str, deque[str]] = {}
        self._keys = itertools.count()
        self._shown = False

    def note(self, who: str, what: str) -> None:
        """Into the thread's history."""
        past = self._history.setdefault(who, deque(maxlen=KEPT))
        past.append(f"{time.monotonic() - self._begun:8.3f}  {what}")

    def reason(self, what: str, *errors: str, client: Any = None, text: str = "") -> Reason:
        reason = Reason(what, errors, client, text)
        self.reasons.append(reason)
        return reason

    def begin(self, call: Call) -> int:
        key = next(self._keys)
        self.open[key] = call
        self.note(call.who, f"{call.what} (call {call.call_id})")
        return key

    def end(self, key: int, result: Any) -> None:
        """A call has ended: with a value, or with an exception."""
        call = self.open.pop(key)
        name, text = named(result) if isinstance(result, BaseException) else ("", "")
        self.note(call.who, f"... call {call.call_id}: {name or 'its answer'}")
        self.ends.append((call.call_id, name))
        if call.is_late:
            self.complain(f"{call} ended too late, with {result!r}")
        if not name:
            if result != call.call_id:
                self.complain(f"{call} got another's answer: {result!r}")
        elif not self._is_right(call, name, text):
            told = "".join(traceback.format_exception(result)) if isinstance(result, BaseException) else ""
            self.complain(f"{call} ended with {result!r}, for which there is no reason\n{told}")

    def _is_right(self, call: Call, name: str, text: str) -> bool:
        if name == "TimeoutExpired" and time.monotonic() - call.begun < call.timeout * 0.95:
            return False
        return name in call.may or any(reason.excuses(call, name, text) for reason in self.reasons)

    def complain(self, what: str) -> None:
        self.wrong.append(what)
        self.over.set()

    def look(self) -> bool:
        """Whether a call hangs; returns whether the first one takes long just now."""
        slow = False
        for call in list(self.open.values()):
            if call.is_late:
                self.complain(f"{call} hangs")
            elif call.is_slow and not self._shown:
                self._shown = slow = True
                print(f"{call} takes long:", file=sys.stderr, flush=True)
                faulthandler.dump_traceback(all_threads=True)
        now = time.monotonic()
        self.reasons = [reason for reason in self.reasons if reason.ended + 60.0 > now]
        return slow

    def check_runs(self, runs: Iterable[int]) -> None:
        """Compare with what the servers have run."""
        run = Counter(runs)
        if twice := [call_id for call_id, times in run.items() if times > 1]:
            self.complain(f"ran more than once: {twice[:5]}")
        failed = {call_id for call_id, name in self.ends if name}  # perhaps after it had begun well
        answered = {call_id for call_id, name in self.ends if not name} - failed
        if never := sorted(answered - run.keys()):
            self.complain(f"answered, and never run: {never[:5]}")

    def counts(self) -> dict[str, int]:
        """How often calls ended how."""
        return dict(Counter(name or "answered" for _, name in self.ends))

    def told(self) -> str:
        """What was wrong, and what everybody did last."""
        lines = [*self.wrong, "", "under way:", *map(str, self.open.values())]
        for who, past in sorted(self._history.items()):
            lines += ["", f"{who}, last:", *past]
        return "\n".join(lines)


def named(error: BaseException) -> tuple[str, str]:
    """An error's name, of a RemoteError the name that it carries; and its text."""
    if isinstance(error, SerializationError) and str(error).endswith(Interrupted.__name__):
        return Interrupted.__name__, ""  # it came while arguments were packed, and seems to be an error of theirs
    if isinstance(error, RemoteError):
        return error.name, error.msg
    is_refusal = isinstance(error, RuntimeError) and not isinstance(error, (ZeroRPCError, RecursionError))
    return "RuntimeError" if is_refusal else type(error).__name__, str(error)
