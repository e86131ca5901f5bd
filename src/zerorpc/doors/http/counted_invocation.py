"""Requests by HTTP of a server with ``metrics``: when one has ended, it is counted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import field

from zerorpc.doors.http.invocation import HttpInvocation
from zerorpc.doors.http.json_values import decode
from zerorpc.doors.http.logged_invocation import LoggedHttpInvocation
from zerorpc.errors import SERVER_ERRORS
from zerorpc.observe.counts import GONE, OK, Tally, outcome_of
from zerorpc.protocol.structs import quick_to_change

__all__ = ["kind_of"]


class _Counts(HttpInvocation, eq=False):
    """What is different of both kinds. No field is its own, or it could not stand beside them."""

    if TYPE_CHECKING:
        tally: Tally
        came: float

    def begin_stream(self) -> None:
        super().begin_stream()
        self.tally.streams.add(self)

    def send_item(self, data: bytes) -> None:
        super().send_item(data)
        self.tally.sent += len(data)

    def answer(self, data: bytes, flush: bool = True) -> None:
        gone = self.closed
        super().answer(data, flush)
        self._end(GONE if gone else self._outcome, len(data))

    @property
    def _outcome(self) -> int:
        if self.problem is None:
            return OK
        if self.refused is None and self.key is not None:  # it may be the answer to another call with the same key
            return outcome_of(SERVER_ERRORS.get(str(decode(self.problem.body)["title"])))
        return outcome_of(self.refused)

    def gone(self) -> None:
        super().gone()
        self._end(GONE, 0)

    def _end(self, outcome: int, sent: int) -> None:
        self.tally.streams.discard(self)
        self.tally.received += self.size
        self.tally.sent += sent
        self.tally.end(self.method, outcome, monotonic() - self.came)


class _Plain(HttpInvocation, eq=False, kw_only=True):
    tally: Tally
    came: float = field(default_factory=monotonic)


class _Logged(LoggedHttpInvocation, eq=False, kw_only=True):
    tally: Tally
    came: float = field(default_factory=monotonic)


@quick_to_change
class _Counted(_Counts, _Plain, eq=False):
    """A request of an HTTP client that is counted."""


@quick_to_change
class _CountedAndLogged(_Counts, _Logged, eq=False):
    """The same of a server that logs its calls too."""


def kind_of(logged: bool, tally: Tally | None) -> Callable[..., HttpInvocation]:
    """What makes the invocations of a server whose calls are logged, counted, both or neither."""
    if tally is None:
        return LoggedHttpInvocation if logged else HttpInvocation
    return functools.partial(_CountedAndLogged if logged else _Counted, tally=tally)
