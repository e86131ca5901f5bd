"""Plain functions and generators on worker threads, as fast as credit and the caller's reading allow."""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias

from zerorpc.errors import Cancelled
from zerorpc.scope import CURRENT
from zerorpc.service.coroutines import AHEAD_ITEMS, AHEAD_OCTETS, VALUES
from zerorpc.service.forks import NO_LOOP, end_child
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Method

__all__ = ["ThreadJob", "is_for_the_loop"]

# A job, what comes of it, and whether that is the last: packed, or something that the loop has to go on with
Posted: TypeAlias = "tuple[Any, Any, bool]"

_END: Any = object()


class Crew(Protocol):
    """The threads that a job belongs to, and the way back to the loop."""

    stale: bool  # this is a forked child

    def post(self, item: Posted, /) -> None: ...

    def park(self, by: int, note: Callable[[int], None], /) -> None: ...


class ThreadJob:
    """A plain function or generator on a worker thread. A generator stays on one thread all its life.

    With ``items``, the method has been called already and returned these.
    """

    __slots__ = ("_ahead", "_allowed", "_condition", "_crew", "_items", "_made", "_sent", "invocation")

    def __init__(self, invocation: Invocation, crew: Crew, items: Iterator[object] | None = None) -> None:
        self.invocation: Invocation = invocation
        self._crew = crew
        self._items = items
        self._condition: threading.Condition | None = None  # made when a stream begins
        self._made = 0  # items posted, counted by the worker
        self._sent = 0  # items sent, counted by the loop
        self._allowed = 1  # items that may have been posted: the first one needs no credit
        self._ahead = 1  # of these, how many may be on their way to the loop

    # In the worker

    def run(self) -> None:
        invocation = self.invocation
        data: bytes | None = None
        if not invocation.closed:
            try:
                value = self._of_the_program(self._call) if self._items is None else self._items
                if is_for_the_loop(value, invocation.method):
                    self._crew.post((self, (value, contextvars.copy_context()), False))
                    return
                data = self._answer(value)
            except BaseException as error:
                if not (invocation.closed and isinstance(error, Cancelled)):  # or else it has ended as it was asked to
                    data = invocation.error(error)
        if self._crew.stale:  # a hook has forked
            end_child()
        self._crew.post((self, data, True))

    def _call(self) -> object:
        invocation = self.invocation
        CURRENT.set(invocation)
        method = invocation.begin()
        return method.functor(*invocation.args, **(invocation.kwargs or {}))

    def _of_the_program(self, act: Callable[..., Any], *args: object) -> Any:
        """Call something of the program's. A process that it forks ends with it."""
        try:
            value = act(*args)
        except BaseException as error:
            if self._crew.stale:
                end_child(error)
            raise
        if self._crew.stale:
            end_child(RuntimeError(NO_LOOP) if is_for_the_loop(value, self.invocation.method) else None)
        return value

    def _answer(self, value: Any) -> bytes | None:
        """The last event; None if the caller is gone."""
        method = self.invocation.method
        assert method is not None
        if method.streams:
            return self._stream(value)
        if type(value) not in VALUES and isinstance(value, Iterator):
            if not method.unary:
                return self._stream(value)
            value = self._of_the_program(list, value)
        return self.invocation.result(value)

    def _stream(self, items: Iterable[object]) -> bytes | None:
        """Post the items as far as credit goes; the last event, or None if the caller is gone."""
        invocation, crew, of_the_program = self.invocation, self._crew, self._of_the_program
        self._condition = threading.Condition()
        invocation.begin_stream()
        iterator = of_the_program(iter, items)
        try:
            while (item := of_the_program(next, iterator, _END)) is not _END:
                crew.post((self, invocation.item(item), False))
                self._made += 1
                if self._made >= self._allowed and not self._wait_for_credit():
                    return None
                if invocation.closed:
                    return None
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                of_the_program(close)
        return invocation.done()

    def _wait_for_credit(self) -> bool:
        """Block until another item may be made; False when the caller is gone."""
        condition = self._condition
        assert condition is not None
        self._crew.park(1, self.invocation.park)
        with condition:
            condition.wait_for(lambda: self._made < self._allowed or self.invocation.closed)
        self._crew.park(-1, self.invocation.park)
        return not self.invocation.closed

    # On the loop

    def sent_one(self, octets: int) -> None:
        """An item went out: the credit that is left counts from there."""
        self._sent += 1
        self._ahead = min(AHEAD_ITEMS, AHEAD_OCTETS // max(octets, 1) + 1)
        self.wake()

    def wake(self) -> None:
        """Credit came, the peer reads again, or the caller went."""
        if self.invocation.closed:
            self.invocation.cancel_calls()
        condition = self._condition
        if condition is None:
            return
        allowed = self._sent + min(self.invocation.room, self._ahead)
        more = allowed - self._allowed
        if self.invocation.closed or more > self._ahead // 2 or (more > 0 and self._sent >= self._allowed):
            with condition:
                self._allowed = max(allowed, self._allowed)
                condition.notify()


def is_for_the_loop(value: object, method: Method | None) -> bool:
    """Whether what a plain function has returned, as decorators do it, is to be awaited or iterated over there."""
    if type(value) in VALUES:
        return False
    if inspect.isawaitable(value) or isinstance(value, AsyncIterator):
        return True
    return method is not None and method.streams and isinstance(value, AsyncIterable)
