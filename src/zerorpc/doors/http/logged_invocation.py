"""Requests by HTTP of a server with ``log_calls``: when one has ended, the log has a line about it."""

from __future__ import annotations

from time import monotonic

from msgspec import field

from zerorpc.doors.call_log import GONE, OK, log_call
from zerorpc.doors.http.invocation import HttpInvocation
from zerorpc.doors.http.json_values import decode
from zerorpc.protocol.structs import quick_to_change

__all__ = ["LoggedHttpInvocation"]


class _Timed(HttpInvocation, eq=False, kw_only=True):
    began: float = field(default_factory=monotonic)  # when it came, by ``time.monotonic()``


@quick_to_change
class LoggedHttpInvocation(_Timed, eq=False):
    """A request that is logged when it is answered."""

    def answer(self, data: bytes, flush: bool = True) -> None:
        gone = self.closed
        super().answer(data, flush)
        self._log(GONE if gone else OK if self.problem is None else str(decode(self.problem.body)["title"]))

    def gone(self) -> None:
        super().gone()
        self._log(GONE)

    def _log(self, outcome: str) -> None:
        log_call(self.peer, self.identity, self.name, self.began, outcome)
