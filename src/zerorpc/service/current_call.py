"""``zerorpc.current_call()``: what a method can know of the call that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import SupportsFloat

from zerorpc.errors import Cancelled
from zerorpc.protocol.call_header import Metadata
from zerorpc.scope import CURRENT, Served
from zerorpc.shown import line

__all__ = ["CurrentCall", "current_call", "progress"]


class CurrentCall:
    """The call that a method answers. Safe from any thread; of use as long as the method runs."""

    __slots__ = ("_served",)

    def __init__(self, served: Served) -> None:
        self._served = served

    @property
    def method(self) -> str:
        """The name by which the method was called."""
        return self._served.name

    @property
    def peer(self) -> str | None:
        """Where the caller is, such as "tcp://203.0.113.9:40312"; None if that isn't known."""
        return self._served.peer

    @property
    def identity(self) -> str | None:
        """Who the caller is, as the server's ``authenticator`` has it; None if nobody was asked."""
        return self._served.identity

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """What the caller sent along with ``zerorpc.options(client, metadata=…)``; mostly empty. Not to be changed."""
        return self._served.metadata

    @property
    def attempt(self) -> int:
        """Which attempt of the call this is, from 1: above that, its caller repeats it (``zerorpc.Retry``)."""
        return self._served.attempt

    @property
    def reply_metadata(self) -> Metadata:
        """What goes back with the first reply: put texts or bytes there before it is sent. Old clients don't get it."""
        return self._served.reply_metadata

    @property
    def end_metadata(self) -> Metadata:
        """The same for the last reply: of a stream its end, of an error that; of other calls the only one there is."""
        return self._served.end_metadata

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the answer any more: the caller gave up, is gone, or its time is over."""
        return self._served.cancelled

    def remaining(self) -> float | None:
        """Seconds, at least 0, that the caller goes on waiting: for the first reply, and of a stream for its end.

        None if there is no limit, or none that is known: clients of zerorpc 0.6 don't say it.
        """
        until = self._served.deadline
        return None if until == inf else max(until - monotonic(), 0.0)

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled if ``cancelled``: for a plain function that works for long, and that nothing else stops."""
        if self.cancelled:
            raise Cancelled(f"the caller of {self.method} waits no longer")

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "wanted"
        who = self.peer if self.identity is None else f"{self.identity} at {self.peer}"
        return f"<CurrentCall {self.method} from {who} {state}>"


def current_call() -> CurrentCall:
    """The call that the running code answers, in a coroutine, on a thread of the server or in a worker process.

    Also in tasks that the method starts and in ``asyncio.to_thread``, but not in threads that it starts itself. Raises
    LookupError outside of a method.
    """
    scope = CURRENT.get()
    served = None if scope is None else scope.answers
    if served is None:
        raise LookupError("there is no current call: this code doesn't run in a method of a zerorpc server")
    return CurrentCall(served)


def progress(done: float, total: float | None = None, text: str = "") -> None:
    """Report how far the running method has come: its caller sees a bar on the command line, and a program what it has
    given as ``zerorpc.options(client, progress=…)``.

    ``done`` of ``total``, numbers of the method's own unit; None if it isn't known how much there is. Call it as often
    as you like: a caller who is slower gets the newest only. Nothing happens if the caller doesn't listen, outside of
    a method, and in a worker process. Safe from any thread that answers the call; never waits.

    Raises TypeError for what aren't numbers and a text.
    """
    done, total = _number("done", done), None if total is None else _number("total", total)
    if not isinstance(text, str):
        raise TypeError(f"text has to be a text, not a {type(text).__name__}")
    scope = CURRENT.get()
    if scope is not None and scope.answers is not None:
        scope.answers.report(done, total, line(text))


def _number(name: str, value: object) -> float:
    """Of any kind, such as one of NumPy's."""
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, SupportsFloat):
        raise TypeError(f"{name} has to be a number, not a {type(value).__name__}")
    return float(value)
