"""What one call goes by, apart from its arguments: its own options, the client's, and what bounds the running code."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import NamedTuple

from zerorpc.calls.finding import KEYWORDS, REFERENCES
from zerorpc.calls.retry import Attempts
from zerorpc.client.call_options import UNCHANGED, CallOptions, Target
from zerorpc.errors import TimeoutExpired
from zerorpc.protocol.channel import Terms
from zerorpc.scope import Scope
from zerorpc.settings import Retry

__all__ = ["Agreed"]

_USUAL = CallOptions()


class Agreed(NamedTuple):
    """Made only for a call that has something of all this."""

    timeout: float | None  # s to the first reply, counted from now
    slots: int
    left: float  # s to the end of the whole call
    item_timeout: float | None
    needs: tuple[str, ...]  # what only a server of ours can do
    said: dict[str, object]  # to a server of ours (protocol.call_header.CallHeader)
    retry: Retry | None
    hedge: float | bool
    on: Target | None  # what it is a call of

    @classmethod
    def of(
        cls,
        method: str,
        timeout: float | None,
        options: CallOptions | None,
        kwargs: dict[str, object],
        scope: Scope | None,
    ) -> Agreed:
        """``timeout`` is the client's. Raises TimeoutExpired if no time is left for any call."""
        own = options or _USUAL
        needs: tuple[str, ...] = ()
        said: dict[str, object] = {}
        if kwargs:
            needs, said["kwargs"] = (KEYWORDS,), kwargs
        if own.metadata:
            needs, said["metadata"] = (*needs, "metadata"), own.metadata
        if own.key is not None:
            needs, said["key"] = (*needs, "idempotency keys"), own.key
        if own.on is not None:
            needs, said["ref"] = (*needs, REFERENCES), own.on.number
        if own.words:
            said["words"] = True
        if own.progress is not None:
            said["progress"] = True
        if own.spelt:
            said["options"] = own.spelt
        if own.timeout is not UNCHANGED:
            timeout = own.timeout
        left = inf if own.deadline is None else own.deadline
        if scope is not None and not own.detached:
            left = min(left, scope.deadline - monotonic())
            if scope.within is not None:
                said["within"] = scope.within
        if left != inf:
            said["deadline"] = left
            timeout = left if timeout is None else min(timeout, left)
            if left <= 0:
                raise _too_late(method, own.deadline)
        retry = None if own.retry is UNCHANGED else own.retry
        hedge = False if own.key is not None else own.hedge  # one key runs once
        return cls(timeout, own.slots, left, own.item_timeout, needs, said, retry, hedge, own.on)

    def terms(self, now: float) -> Terms:
        """What the channel has to keep to."""
        attempts = None
        if self.retry is not None or self.hedge:
            attempts = _attempts(self.retry or _NO_RETRY, "key" in self.said, self.hedge)
        limit = None if self.left == inf else self.left
        peer, hold = (None, None) if self.on is None else (self.on.peer, self.on.hold)
        return Terms(self.needs, None, now + self.left, limit, self.item_timeout, attempts, peer, hold)


_NO_RETRY = Retry(attempts=1)  # whose budget is that of hedges, too


def _attempts(retry: Retry, keyed: bool, hedge: float | bool) -> Attempts:
    from random import random  # few need it, and what it brings along takes 2 ms

    return Attempts(retry, random, keyed, hedge)


def _too_late(method: str, deadline: float | None) -> TimeoutExpired:
    error = TimeoutExpired(max(deadline or 0.0, 0.0), f"calling remote method {method}: no time was left to begin it")
    error.method, error.ran = method, False
    return error
