"""Requests of a server with ``log_calls``: when one has ended, the log has a line about it."""

from __future__ import annotations

from time import monotonic

from msgspec import field

from zerorpc.doors.call_log import GONE, OK, log_call
from zerorpc.doors.hooked_invocation import HookedInvocation
from zerorpc.doors.keyed_channel import KeyedChannel
from zerorpc.protocol.events import ERR, decode
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure

__all__ = ["LoggedInvocation"]


class _Timed(HookedInvocation, eq=False, kw_only=True):
    began: float = field(default_factory=monotonic)  # when it came, by ``time.monotonic()``
    outcome: str = ""  # how it ended; empty until that is known


@quick_to_change
class LoggedInvocation(_Timed, eq=False):
    """A request that is logged. Its outcome is noted where that is packed, and logged when it goes out."""

    def result(self, value: object) -> bytes:
        data = super().result(value)
        self.outcome: str = OK
        return data

    def done(self) -> bytes:
        data = super().done()
        self.outcome = OK
        return data

    def failure(self, failure: Failure) -> bytes:
        self.outcome = failure.name if failure.refused is None else failure.refused.__name__
        return super().failure(failure)

    def failure_in_short(self, name: str) -> bytes:
        self.outcome = name
        return super().failure_in_short(name)

    def answer(self, data: bytes, flush: bool = True) -> None:
        gone = self.closed
        super().answer(data, flush)
        if not isinstance(self.channel, KeyedChannel):  # that is the run for a key: the calls with it are answered next
            self._log(GONE if gone else self.outcome or _outcome_of(data))

    def gone(self) -> None:
        self._log(GONE)

    def _log(self, outcome: str) -> None:
        log_call(self.peer, self.identity, self.name, self.began, outcome)


def _outcome_of(data: bytes) -> str:
    """Of an answer that was packed for another call with the same key."""
    event = decode(data)
    if event.name != ERR:
        return OK
    return str(event.args[0]) if isinstance(event.args, list) and event.args else ERR  # type: ignore[union-attr]
