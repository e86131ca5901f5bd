"""Who ran what, and how it ended: the handlers' list, the callers' outcomes, and the checker that compares them.

Whatever fault a test makes, three things have to hold: every call ended exactly once, as a result or as one of the
definite errors of ``zerorpc.errors``; no method was run twice for one call; and what a caller was told is true. A
handler enters the id of its call into a ``Ledger`` before it does anything else, a caller notes each end of a call in
``Outcomes``, and ``check`` finds every way in which the two lists can contradict each other.

Ids are integers. A handler of a plain call returns its id, so that an answer that reached another call shows.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from zerorpc import errors

__all__ = ["DEFINITE", "Ledger", "Outcome", "Outcomes", "Tally", "Violation", "check", "read_ledger"]

# What a call may end with, by name. The root itself says nothing, and so isn't definite.
DEFINITE = frozenset(errors.__all__) - {"ZeroRPCError"}

# Errors that promise that the method was not run: of the remote side by name, of our own by a word in their text.
_REFUSED = frozenset({"ServerOverloaded", "ServerStopping"})
_NEVER_SENT = "no server was reached"


# The handler's side


class Ledger:
    """A file in which handlers enter the ids of their calls; any number of threads and processes may share it.

    One ``write`` each with O_APPEND, which the kernel never mixes with another; and what is written stays, however
    the process ends.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fileno = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def enter(self, call_id: int) -> int:
        """The method runs for this call. Returns the id, which is what a plain handler answers."""
        line = b"%d\n" % call_id
        assert os.write(self._fileno, line) == len(line)
        return call_id

    def close(self) -> None:
        os.close(self._fileno)


def read_ledger(path: str | os.PathLike[str]) -> list[int]:
    """The ids in the order in which their methods were run."""
    text = Path(path).read_bytes()
    assert text.endswith(b"\n") or not text, f"{path} ends in the middle of an entry: {text[-20:]!r}"
    return [int(line) for line in text.split()]


# The caller's side


class Outcome(NamedTuple):
    """One end of one call, as plain values, so that it can come from another process.

    ``error`` is the name of the exception's class, empty for a result; ``remote`` the name of what the method
    raised, for a RemoteError of any kind; ``at`` the moment in ``time.monotonic()``, which all processes of a machine
    share; ``ran`` what the error says of the method.
    """

    call_id: int
    error: str = ""
    remote: str = ""
    text: str = ""
    answer: Any = None
    at: float = 0.0
    ran: bool | None = None

    @classmethod
    def of(cls, call_id: int, result: Any) -> Outcome:
        """What a call ended with: a value, or an exception."""
        at = time.monotonic()
        if not isinstance(result, BaseException):
            return cls(call_id, answer=result, at=at)
        ran = getattr(result, "ran", None)
        if isinstance(result, errors.RemoteError):
            return cls(call_id, "RemoteError", result.name, result.msg, at=at, ran=ran)
        return cls(call_id, type(result).__name__, "", str(result), at=at, ran=ran)


class Outcomes:
    """The calls that were made and the ends that they had. Threads may share it: each step is one ``append``."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.ends: list[Outcome] = []

    def call(self, call_id: int, method: Callable[[int], Any]) -> None:
        """Make a blocking call, ``method(call_id)``, and note its end."""
        self.asked.append(call_id)
        try:
            result = method(call_id)
        except BaseException as error:
            result = error
        self.ends.append(Outcome.of(call_id, result))

    async def acall(self, call_id: int, method: Callable[[int], Awaitable[Any]]) -> None:
        """The same for an awaitable one."""
        self.asked.append(call_id)
        try:
            result = await method(call_id)
        except BaseException as error:
            result = error
        self.ends.append(Outcome.of(call_id, result))
        if isinstance(result, asyncio.CancelledError):
            raise result

    def dump(self) -> str:
        """One line of JSON; ``load`` reads it."""
        return json.dumps([self.asked, self.ends])

    @classmethod
    def load(cls, line: str) -> Outcomes:
        outcomes = cls()
        outcomes.asked, ends = json.loads(line)
        outcomes.ends = [Outcome(*fields) for fields in ends]
        return outcomes

    def __iadd__(self, other: Outcomes) -> Outcomes:
        """Take in what another caller has seen."""
        self.asked += other.asked
        self.ends += other.ends
        return self


# The checker


class Violation(AssertionError):
    """What callers were told and what was run don't fit together; the message has a line for each kind."""


class Tally(NamedTuple):
    """The figures of a run in which nothing was wrong."""

    asked: int
    answered: int
    failed: dict[str, int]  # by error; of a RemoteError, by what it carries
    run: int
    last: float  # the moment of the last end

    @property
    def figures(self) -> dict[str, Any]:
        """For a file of figures."""
        return {"asked": self.asked, "answered": self.answered, "failed": self.failed, "run": self.run}


def check(
    outcomes: Outcomes,
    runs: Iterable[int],
    *,
    allowed: Iterable[str] = DEFINITE,
    answer: Callable[[int], Any] = int,
    repeatable: Callable[[int], bool] = lambda call_id: False,
) -> Tally:
    """Compare the callers' outcomes with the handlers' list. Raises Violation, which names all that is wrong.

    ``allowed`` are the errors that the fault may bring about, of a RemoteError the name that it carries will do;
    ``answer(id)`` is what the method returns for that call; ``repeatable(id)`` tells whether its method may run twice.
    """
    runs = list(runs)
    asked, run = Counter(outcomes.asked), Counter(runs)
    ends = Counter(end.call_id for end in outcomes.ends)
    results = [end for end in outcomes.ends if not end.error]
    failures = [end for end in outcomes.ends if end.error]
    allowed = frozenset(allowed)
    wrong: dict[str, list[Any]] = {
        "asked twice, so that nothing can be told": [i for i, n in asked.items() if n > 1],
        "never ended": [i for i in asked if i not in ends],
        "ended more than once": [i for i, n in ends.items() if n > 1],
        "ended without having been asked": [i for i in ends if i not in asked],
        "ran more than once": [i for i, n in run.items() if n > 1 and not repeatable(i)],
        "ran without having been asked": [i for i in run if i not in asked],
        "answered without having run": [end.call_id for end in results if end.call_id not in run],
        "got another's answer": [(e.call_id, e.answer) for e in results if e.answer != answer(e.call_id)],
        "ended with no definite error": [(e.call_id, e.error, e.text) for e in failures if e.error not in DEFINITE],
        "ended with an error that doesn't belong here": [
            (e.call_id, e.error, e.remote, e.text)
            for e in failures
            if e.error in DEFINITE and not allowed & {e.error, e.remote}
        ],
        "ran, though the error says it didn't": [
            (e.call_id, e.remote or e.text)
            for e in failures
            if e.call_id in run and (e.ran is False or e.remote in _REFUSED or (not e.remote and _NEVER_SENT in e.text))
        ],
        "didn't run, though the error says it did": [
            (e.call_id, e.remote or e.text) for e in failures if e.ran and e.call_id not in run
        ],
    }
    lines = [f"{what}: {len(ids)}, {ids[:5]}" for what, ids in wrong.items() if ids]
    if lines:
        raise Violation("\n".join(lines))
    last = max((end.at for end in outcomes.ends), default=0.0)
    return Tally(len(asked), len(results), dict(Counter(e.remote or e.error for e in failures)), len(runs), last)
