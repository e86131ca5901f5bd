"""Plain functions and generators on worker threads, as fast as credit and the caller's reading allow."""

from __future__ import annotations

import contextvars
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from zerorpc.service.coroutines import AHEAD_ITEMS, AHEAD_OCTETS, VALUES
from zerorpc.service.execution import Execution, Outlet
from zerorpc.service.forks import NO_LOOP, end_child
from zerorpc.service.methods import Method

__all__ = ["ThreadJob", "is_for_the_loop"]


class ThreadJob:
    """A plain function or generator on a worker thread. A generator stays on one thread all its life.

    With ``items``, the method has been called already and returned these.
    """

    __slots__ = ("_ahead", "_allowed", "_condition", "_items", "_made", "_park", "_post", "_sent", "execution", "link")

    def __init__(
        self,
        link: Outlet,
        execution: Execution,
        post: Callable[[Any], None],
        park: Callable[[int], None],
        items: Iterator[Any] | None = None,
    ) -> None:
        self.link: Outlet = link
        self.execution: Execution = execution
        self._post = post
        self._park = park
        self._items = items
        self._condition: threading.Condition | None = None  # made when a stream begins
        self._made = 0  # items posted, counted by the worker
        self._sent = 0  # items sent, counted by the loop
        self._allowed = 1  # items that may have been posted: the first one needs no credit
        self._ahead = 1  # of these, how many may be on their way to the loop

    # In the worker

    def run(self) -> None:
        data: bytes | None
        try:
            if self.execution.channel.closed:
                data = None
            else:
                value = self._call() if self._items is None else self._items
                if is_for_the_loop(value, self.execution.method):
                    if self.link.hub.stale:
                        end_child(RuntimeError(NO_LOOP))
                    self._post((self, (value, contextvars.copy_context()), False))
                    return
                data = self._answer(value)
        except BaseException as error:
            if self.link.hub.stale:
                end_child(error)
            data = self.execution.error(error)
        if self.link.hub.stale:
            end_child()
        self._post((self, data, True))

    def _call(self) -> Any:
        method = self.execution.begin()
        return method.functor(*self.execution.channel.args)

    def _answer(self, value: Any) -> bytes | None:
        """The last event; None if the caller is gone."""
        method = self.execution.method
        assert method is not None
        if method.streams:
            return self._stream(value)
        if type(value) not in VALUES and isinstance(value, Iterator):
            if not method.unary:
                return self._stream(value)
            value = list(value)
        return self.execution.result(value)

    def _stream(self, items: Iterable[Any]) -> bytes | None:
        """Post the items as far as credit goes; the last event, or None if the caller is gone."""
        execution, channel = self.execution, self.execution.channel
        self._condition = threading.Condition()
        execution.begin_stream()
        iterator = iter(items)
        try:
            for item in iterator:
                if self.link.hub.stale:
                    end_child()
                self._post((self, execution.item(item), False))
                self._made += 1
                if self._made >= self._allowed and not self._wait_for_credit():
                    return None
                if channel.closed:
                    return None
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        return execution.done()

    def _wait_for_credit(self) -> bool:
        """Block until another item may be made; False when the caller is gone."""
        condition = self._condition
        assert condition is not None
        self._park(1)
        with condition:
            condition.wait_for(lambda: self._made < self._allowed or self.execution.channel.closed)
        self._park(-1)
        return not self.execution.channel.closed

    # On the loop

    def sent_one(self, octets: int) -> None:
        """An item went out: the credit that is left counts from there."""
        self._sent += 1
        self._ahead = min(AHEAD_ITEMS, AHEAD_OCTETS // octets + 1)
        self.wake()

    def wake(self) -> None:
        """Credit came, the peer reads again, or the caller went."""
        channel = self.execution.channel
        condition = self._condition
        if condition is None:
            return
        allowed = self._sent + (min(channel.room, self._ahead) if channel.peer.writable else 0)
        more = allowed - self._allowed
        if channel.closed or more > self._ahead // 2 or (more > 0 and self._sent >= self._allowed):
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
