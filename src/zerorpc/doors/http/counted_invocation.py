"""The same for a server with ``metrics``: when a request has ended, it is counted."""

from __future__ import annotations

from time import monotonic

from msgspec import field

from zerorpc.doors.http.invocation import HttpInvocation
from zerorpc.doors.http.json_values import decode
from zerorpc.errors import SERVER_ERRORS
from zerorpc.observe.counts import GONE, OK, Tally, outcome_of
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure

__all__ = ["CountedHttpInvocation"]


class _Counted(HttpInvocation, eq=False, kw_only=True):
    tally: Tally
    came: float = field(default_factory=monotonic)
    outcome_number: int = OK


@quick_to_change
class CountedHttpInvocation(_Counted, eq=False):
    """A request of an HTTP client that is counted."""

    def begin_stream(self) -> None:
        super().begin_stream()
        self.tally.streams.add(self)

    def send_item(self, data: bytes) -> None:
        super().send_item(data)
        self.tally.sent += len(data)

    def failure(self, failure: Failure) -> bytes:
        self.outcome_number: int = outcome_of(failure.refused)
        return super().failure(failure)

    def failure_in_short(self, name: str) -> bytes:
        self.outcome_number = outcome_of(self.refused)
        return super().failure_in_short(name)

    def answer(self, data: bytes, flush: bool = True) -> None:
        outcome = GONE if self.closed else self.outcome_number
        if outcome == OK and self.problem is not None:  # of another call with the same key
            outcome = outcome_of(SERVER_ERRORS.get(decode(self.problem.body)["title"]))
        super().answer(data, flush)
        self._end(outcome, len(data))

    def gone(self) -> None:
        super().gone()
        self._end(GONE, 0)

    def _end(self, outcome: int, sent: int) -> None:
        self.tally.streams.discard(self)
        self.tally.received += self.size
        self.tally.sent += sent
        self.tally.end(self.method, outcome, monotonic() - self.came)
