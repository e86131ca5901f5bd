"""Requests of a server with ``metrics``: when one has ended, it is counted.

It may cost a call half a microsecond at most (docs/performance.md has what it does), so that nothing here is done for
looks: what became of a call is noted only where it failed, and counted where it goes out.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from msgspec import field

from zerorpc.doors.failed_calls import note_failure
from zerorpc.doors.hooked_invocation import HookedInvocation
from zerorpc.doors.keyed_channel import KeyedChannel
from zerorpc.doors.logged_invocation import LoggedInvocation
from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.errors import SERVER_ERRORS
from zerorpc.observe.counts import GONE, OK, RAISED, Tally, outcome_of
from zerorpc.protocol.events import ERR, ERROR_KEY, decode, decode_header
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure

__all__ = ["CountedHookedInvocation", "CountedInvocation", "CountedLoggedInvocation"]


class _Counts(RpcInvocation, eq=False):
    """What is different of each kind. No field is its own, or it could not stand beside them."""

    _send = RpcInvocation.answer  # super() takes a tenth of a microsecond

    if TYPE_CHECKING:
        came: float
        outcome_number: int

    @property
    def _tally(self) -> Tally:
        tally: Tally = self.link.owner.tally  # type: ignore[attr-defined] # the RpcDoor's
        return tally

    def begin_stream(self) -> None:
        super().begin_stream()
        self._tally.streams.add(self)

    def send_item(self, data: bytes) -> None:
        super().send_item(data)
        self._tally.sent += len(data)

    def done(self) -> bytes:
        self._tally.streams.discard(self)
        return super().done()

    def failure(self, failure: Failure) -> bytes:
        tally = self._tally
        tally.streams.discard(self)
        note_failure(tally, self, failure)
        self.outcome_number = outcome_of(failure.refused)
        return super().failure(failure)

    def failure_in_short(self, name: str) -> bytes:
        self._tally.streams.discard(self)
        self.outcome_number = outcome_of(self.refused)
        return super().failure_in_short(name)

    def answer(self, data: bytes, flush: bool = True) -> None:
        channel = self.channel
        outcome = GONE if channel.closed else self.outcome_number
        self._send(data, flush)
        tally: Tally = self.link.owner.tally  # type: ignore[attr-defined] # without the call
        if channel.call is not None and channel.call.key is not None:
            if isinstance(channel, KeyedChannel):  # that is the run for a key: the calls with it are answered next
                return
            outcome = _outcome_in(data) if outcome == OK else outcome
        tally.received += len(channel.data)
        tally.sent += len(data)
        tally.end(self.method, outcome, monotonic() - self.came)

    def gone(self) -> None:
        super().gone()
        tally = self._tally
        tally.streams.discard(self)
        if not isinstance(self.channel, KeyedChannel):
            tally.received += len(self.channel.data)
            tally.end(self.method, GONE, monotonic() - self.came)


class _Plain(RpcInvocation, eq=False, kw_only=True):
    came: float = field(default_factory=monotonic)
    outcome_number: int = OK


class _Hooked(HookedInvocation, eq=False, kw_only=True):
    came: float = field(default_factory=monotonic)
    outcome_number: int = OK


class _Logged(LoggedInvocation, eq=False, kw_only=True):
    came: float = field(default_factory=monotonic)
    outcome_number: int = OK


@quick_to_change
class CountedInvocation(_Counts, _Plain, eq=False):
    """A request that is counted."""


@quick_to_change
class CountedHookedInvocation(_Counts, _Hooked, eq=False):
    """The same for a server whose context has hooks."""


@quick_to_change
class CountedLoggedInvocation(_Counts, _Logged, eq=False):
    """The same for a server that logs its calls too."""

    _send = LoggedInvocation.answer


def _outcome_in(data: bytes) -> int:
    """Of an answer that was packed for another call with the same key."""
    event = decode(data)
    if event.name != ERR:
        return OK
    refused = decode_header(data).get(ERROR_KEY)
    return outcome_of(SERVER_ERRORS.get(str(refused))) if refused is not None else RAISED
