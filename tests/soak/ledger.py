"""What became of each call under load: how it should end, how it did, and whether it did so in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SLACK = 2.0  # s past a deadline until a call counts as hung: this machine is kept busy on purpose
STREAM = 60.0  # s for what has no deadline, a stream read slowly to its end
KEPT = 20  # of what went wrong, in full

# What calls end with, by kind; "ok" for a result that was checked.
ENDS = {
    "failing": "ValueError",
    "unknown": "NameError",
    "late": "TimeoutExpired",
    "late on a thread": "TimeoutExpired",
    "cancelled": "CancelledError",
    "closed": "LostRemote",  # the client was closed under the call
}


class Ledger:
    """Counts of one load process."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.calls: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.hung: list[str] = []
        self.open: dict[object, tuple[str, float]] = {}  # kind, and the time at which it has to be over
        self.latest = 0.0  # s past its deadline that a call ended, at most

    @contextmanager
    def entry(self, kind: str, allowed: float) -> Iterator[None]:
        """One call, which has to end as its kind does, within ``allowed`` seconds."""
        key, end = object(), time.monotonic() + allowed
        self.open[key] = (kind, end)
        try:
            yield
        except BaseException as error:
            remote = any(kind.__name__ == "RemoteError" for kind in type(error).__mro__)  # of 0.6 too
            name = getattr(error, "name", "") if remote else ""
            self._close(key, name or type(error).__name__, repr(error))
        else:
            self._close(key, "ok", "a result")

    def _close(self, key: object, how: str, what: str) -> None:
        kind, end = self.open.pop(key)
        self.calls[kind] += 1
        past = time.monotonic() - end
        self.latest = max(self.latest, past)
        if past > SLACK:
            self._keep(self.hung, f"{kind}: {past:.1f} s past its deadline")
        if how != ENDS.get(kind, "ok"):
            self._keep(self.wrong, f"{kind}, after {time.monotonic() - self._start:.0f} s: {what}")

    def end(self) -> None:
        """Whatever is still open now will never end."""
        for kind, _ in self.open.values():
            self.hang(f"{kind}: never ended")

    def hang(self, what: str) -> None:
        """Something that should have ended has not."""
        self._keep(self.hung, what)

    def _keep(self, where: list[str], what: str) -> None:
        if len(where) < KEPT:
            where.append(what)

    def as_dict(self) -> dict[str, Any]:
        calls = dict(sorted(self.calls.items()))
        return {"calls": calls, "wrong": self.wrong, "hung": self.hung, "latest": round(self.latest, 3)}


def total(ledgers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Several processes' ledgers as one."""
    calls: Counter[str] = Counter()
    for ledger in ledgers:
        calls.update(ledger["calls"])
    return {
        "calls": dict(sorted(calls.items())),
        "wrong": [wrong for ledger in ledgers for wrong in ledger["wrong"]],
        "hung": [hung for ledger in ledgers for hung in ledger["hung"]],
        "latest": max((ledger["latest"] for ledger in ledgers), default=0.0),
    }
