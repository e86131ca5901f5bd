"""What the running code belongs to: the call that it answers, and the time that is left for what it does.

A ``Scope`` travels as a contextvar does: into the tasks that the code starts and into ``asyncio.to_thread``, but not
into threads that it starts itself. Every call that is made inside heeds it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from types import TracebackType
from typing import Protocol

from zerorpc.number_checks import seconds

__all__ = ["CURRENT", "Cancellable", "Scope", "Served", "current_scope", "deadline", "enter_scope"]


class Cancellable(Protocol):
    """A call that ends with the one that it was made for."""

    def cancel(self) -> object:
        """Give it up. From any thread; safe when it is over."""


class Served(Protocol):
    """A call as it is answered, wherever: what ``current_call()`` shows."""

    name: str

    @property
    def peer(self) -> str | None: ...

    @property
    def identity(self) -> str | None: ...

    def admits(self, name: str, /) -> bool: ...

    @property
    def metadata(self) -> Mapping[str, str | bytes]: ...

    @property
    def deadline(self) -> float: ...

    @property
    def cancelled(self) -> bool: ...

    @property
    def attempt(self) -> int: ...

    @property
    def reply_metadata(self) -> dict[str, str | bytes]: ...

    @property
    def end_metadata(self) -> dict[str, str | bytes]: ...

    def report(self, done: float, total: float | None, text: str, /) -> None: ...


class Scope(Protocol):
    """What bounds the calls that are made inside."""

    @property
    def deadline(self) -> float:
        """When they have to be over, by ``time.monotonic()``; infinite if there is no limit."""

    @property
    def answers(self) -> Served | None:
        """The call that is answered here; None if there is none."""

    @property
    def within(self) -> object:
        """The id of the call whose function this is, lent to it; None elsewhere."""

    def adopt(self, call: Cancellable, /) -> None:
        """Have a call end with the one that is answered here. Raises Cancelled if that has ended already."""


CURRENT: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("zerorpc", default=None)

# For where a call costs: since CPython 3.12 an attribute of an imported name is looked up anew each time, for 300
# instructions.
current_scope: Callable[[], Scope | None] = CURRENT.get
enter_scope: Callable[[Scope], object] = CURRENT.set


class deadline:  # noqa: N801 - a context manager, like asyncio.timeout
    """``with zerorpc.deadline(5):`` all calls made inside are over within that many seconds, taken together.

    A call that is not over by then raises TimeoutExpired, one that is begun later does so at once; streams end, too.
    Code that makes no calls isn't stopped. Inside another one, or in a method that has a deadline of its own, the
    earlier counts. ``timeout`` in seconds, None for no limit of its own: TypeError or ValueError for what is none. The
    time begins with ``with``. For blocking code and coroutines alike; each ``with`` needs an object of its own.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = seconds("timeout", timeout)
        self._token: contextvars.Token[Scope | None] | None = None
        self._outer: Scope | None = None
        self._until = inf

    def __enter__(self) -> deadline:
        if self._token is not None:
            raise RuntimeError("a deadline is for one `with`: make another")
        if self._timeout is not None:
            self._until = monotonic() + self._timeout
        self._outer = CURRENT.get()
        self._token = CURRENT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        CURRENT.reset(self._token)

    def remaining(self) -> float | None:
        """Seconds that are left, at least 0; None for no limit."""
        until = self.deadline
        return None if until == inf else max(until - monotonic(), 0.0)

    # As a scope

    @property
    def deadline(self) -> float:
        """When it is over, by ``time.monotonic()``; infinite for never."""
        return self._until if self._outer is None else min(self._until, self._outer.deadline)

    @property
    def answers(self) -> Served | None:
        """For the library: the call that is answered here."""
        return None if self._outer is None else self._outer.answers

    @property
    def within(self) -> object:
        """For the library: the id of the call whose function this is."""
        return None if self._outer is None else self._outer.within

    def adopt(self, call: Cancellable) -> None:
        """For the library: have a call end with the one that is answered here."""
        if self._outer is not None:
            self._outer.adopt(call)
