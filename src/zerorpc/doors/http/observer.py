"""What is noted of calls by HTTP: a line in the log, counts, both, or neither."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from zerorpc.doors.call_log import GONE as GONE_LOGGED
from zerorpc.doors.call_log import OK as OK_LOGGED
from zerorpc.doors.call_log import log_call
from zerorpc.doors.failed_calls import note_failure
from zerorpc.errors import SERVER_ERRORS
from zerorpc.observe.counts import GONE, OK, Tally, outcome_of
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation

__all__ = ["Ended", "Observer", "observer"]


class Ended(Protocol):
    """A call that has ended. ``failed`` is the name of its error, "" for none."""

    @property
    def name(self) -> str: ...
    @property
    def method(self) -> object: ...
    @property
    def size(self) -> int: ...
    @property
    def came(self) -> float: ...
    @property
    def failed(self) -> str: ...
    @property
    def refused(self) -> type[BaseException] | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def peer(self) -> str | None: ...
    @property
    def identity(self) -> str | None: ...


class Observer:
    """Is told of each call of one server, whatever speaks HTTP there. On its loop; ``streams`` from any thread."""

    def __init__(self, logged: bool, tally: Tally | None) -> None:
        self._logged = logged
        self._tally = tally

    def streams(self, call: object) -> None:
        if self._tally is not None:
            self._tally.streams.add(call)

    def failed(self, invocation: Invocation, failure: Failure) -> None:
        """Before it has ended; in any thread."""
        if self._tally is not None:
            note_failure(self._tally, invocation, failure)

    def sent(self, octets: int) -> None:
        if self._tally is not None:
            self._tally.sent += octets

    def ended(self, call: Ended, gone: bool, octets: int) -> None:
        """``gone``: its caller waited no longer. ``octets`` are those of its last part."""
        if self._logged:
            how = GONE_LOGGED if gone else call.failed or OK_LOGGED
            log_call(call.peer, call.identity, call.name, call.came, how)
        if self._tally is None:
            return
        tally = self._tally
        tally.streams.discard(call)
        tally.received += call.size
        tally.sent += octets
        outcome = GONE if gone else _outcome(call) if call.failed else OK
        tally.end(call.method, outcome, monotonic() - call.came)


def _outcome(call: Ended) -> int:
    refused = call.refused
    if refused is None and call.key is not None:  # what was kept for it says no more than the name
        refused = SERVER_ERRORS.get(call.failed)
    return outcome_of(refused)


def observer(logged: bool, tally: Tally | None) -> Observer | None:
    """For a server whose calls are logged, or counted by ``tally``; None if nothing is noted of them."""
    return Observer(logged, tally) if logged or tally is not None else None
