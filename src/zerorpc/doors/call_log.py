"""The line that a server with ``log_calls`` writes for each call."""

from __future__ import annotations

from time import monotonic

from zerorpc.logs import Logger

__all__ = ["GONE", "OK", "caller_text", "log_call"]

logger: Logger = Logger("zerorpc.calls")

OK = "ok"
GONE = "gone"  # the caller is: it gave up, or its connection was lost


def log_call(where: str | None, identity: str | None, method: str, began: float, outcome: str) -> None:
    """A call has ended that came at ``began``, by ``time.monotonic()``, from ``where``."""
    seconds = monotonic() - began
    caller = caller_text(where, identity)
    facts = {"caller": caller, "method": method, "seconds": round(seconds, 6), "outcome": outcome}
    logger.info("%s %s %.3f ms %s", caller, method, seconds * 1000, outcome, extra=facts)


def caller_text(where: str | None, identity: str | None) -> str:
    return where or "?" if identity is None else f"{identity} at {where or '?'}"
