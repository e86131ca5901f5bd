"""What is noted of a call that failed, for who looks at the server."""

from __future__ import annotations

import time

from zerorpc.doors.call_log import caller_text
from zerorpc.errors import WorkerDied
from zerorpc.observe.counts import Tally
from zerorpc.observe.failures import Failed
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation
from zerorpc.shown import block, line

__all__ = ["note_failure"]

_MESSAGE_MAX = 1000  # characters
_TRACEBACK_MAX = 20_000


def note_failure(tally: Tally, invocation: Invocation, failure: Failure) -> None:
    """If somebody wants to know. What the server refused is no failure of a method. In any thread."""
    failures = tally.failures
    if failures is None or failure.refused not in (None, WorkerDied):
        return
    name, message = failure.name if failure.refused is None else "WorkerDied", line(failure.message, _MESSAGE_MAX)
    trace, caller = block(failure.text, _TRACEBACK_MAX), caller_text(invocation.peer, invocation.identity)
    failures.append(Failed(invocation.name, name, message, trace, time.time(), caller))
