"""What code that runs for a call belongs to: how long its caller waits, and the calls that it makes for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Any

from msgspec import Struct

from zerorpc.errors import RemoteError
from zerorpc.protocol.call_header import Metadata
from zerorpc.scope import Cancellable
from zerorpc.service.extras import Extras

__all__ = ["CallScope"]

_ONE_AT_A_TIME = threading.Lock()  # a method may make calls in several threads. One for all: it is held so shortly


class _Progress(Struct, eq=False, kw_only=True):
    over: bool = False  # its task on the loop is finished with it
    ran: bool | None = True  # what an error says of the method: that it ran, or not; None: that isn't known
    refused: type[RemoteError] | None = None  # what the server itself says, in place of the method
    finished: bool = False  # nothing of it runs any more
    kwargs: dict[str, Any] | None = None
    extras: Extras | None = None  # made when the method asks for one of them


class CallScope(_Progress, eq=False):
    """The part of an invocation that is a scope, and what ``current_call()`` tells of it. In any thread."""

    @property
    def closed(self) -> bool:
        """Whether the caller is gone, or gave up: what still works for it should stop."""
        raise NotImplementedError

    @property
    def until(self) -> float:
        """When it waits no longer, by ``time.monotonic()``: for the first reply, then for the end of a stream."""
        return inf

    @property
    def deadline(self) -> float:
        """When the caller waits no longer; a task that outlives the method is not bound by that."""
        return inf if self.finished else self.until

    @property
    def cancelled(self) -> bool:
        return not self.finished and self.closed

    @property
    def reply_metadata(self) -> Metadata:
        return self._extras().reply_metadata

    @property
    def end_metadata(self) -> Metadata:
        return self._extras().end_metadata

    def report(self, done: float, total: float | None, text: str) -> None:
        if self.extras is not None and self.extras.report is not None:
            self.extras.report(done, total, text)

    def report_to(self, report: Callable[[float, float | None, str], None]) -> None:
        """The caller wants to hear of progress."""
        self._extras().report = report

    def adopt(self, call: Cancellable) -> None:
        """Cancel a call that the method makes when this one is."""
        calls = self._extras().calls
        with _ONE_AT_A_TIME:
            calls.add(call)

    def cancel_calls(self) -> None:
        """``cancelled`` has become true: end the calls that the method makes."""
        if self.extras is not None:
            with _ONE_AT_A_TIME:
                calls = list(self.extras.calls)
            for call in calls:
                call.cancel()

    def _extras(self) -> Extras:
        with _ONE_AT_A_TIME:
            if self.extras is None:
                self.extras: Extras | None = Extras()
            return self.extras
