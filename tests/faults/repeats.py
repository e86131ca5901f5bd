"""Calls that may be made again, in one mix for all faults: an id tells of which kind its call is.

A quarter each: of an idempotent method; the same, hedged; of a method that may not run twice; and the same with an
idempotency key. All of them have ``retry=``, so that only the method's mark and the key decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import zerorpc

__all__ = ["HEDGE", "RETRY", "hedged", "keyed", "make", "plain", "repeatable", "under_way"]

# All of a mix may be lost at once, which the usual budget is there to prevent: 20% of the calls.
RETRY = zerorpc.Retry(backoff=0.01, share=1.0, per_second=1000)
HEDGE = 0.1  # s


def repeatable(call_id: int) -> bool:
    """Whether its method may run twice."""
    return _kind(call_id) < 2


def hedged(call_id: int) -> bool:
    return _kind(call_id) == 1


def plain(call_id: int) -> bool:
    """Of a method that may not run twice, and without a key."""
    return _kind(call_id) == 2


def keyed(call_id: int) -> bool:
    return _kind(call_id) == 3


def _kind(call_id: int) -> int:
    """Two servers get calls in turn; and each is to have some of every kind."""
    return (call_id + call_id // 4) % 4


def make(client: Any, call_id: int, hold: str = "hold", **options: Any) -> Any:
    """The call with this id: of ``hold`` or ``hold_idempotent``, which have to begin by entering it into the ledger."""
    if hedged(call_id):
        options["hedge"] = HEDGE
    if keyed(call_id):
        options["key"] = f"key of {call_id}"
    method = f"{hold}_idempotent" if repeatable(call_id) else hold
    return zerorpc.options(client, retry=RETRY, **options)(method, call_id)


def under_way(ids: Iterable[int], runs: Iterable[int]) -> bool:
    """Whether all of these run; those that are hedged on both servers."""
    run = Counter(runs)
    return all(run[call_id] >= (2 if hedged(call_id) else 1) for call_id in ids)
