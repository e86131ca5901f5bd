"""The server that conversations are played against: ``python -m tests.fuzz.server CERTIFICATE KEY``.

It prints its endpoints (in clear, by CURVE, inside of TLS), and serves what the conformance kit's programs do. It tells
what it takes when nobody calls it, and of what it complains: each exception that nobody expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zerorpc
from tests import conformance
from tests.attacks.server import resident
from tests.fuzz.security import SERVER_KEYS

sys.path.insert(0, str(Path(conformance.__file__).parent / "programs"))

from our_server import RUNS, Ours

from service import STATES

HEARTBEAT = 5.0
LONGEST = 0.05  # s that a method waits: what comes may ask for years
KEYS = 100  # of calls that are repeated: all that it may keep would look like a leak
METHODS_ERROR = "%.200s raised %s"  # how the log tells that a method raised
OURS = str(Path(zerorpc.__file__).parent)
# What our own steps around a method may raise, and the end of an argument that streams.
USUAL = (zerorpc.ZeroRPCError, TypeError, ValueError, StopIteration, StopAsyncIteration)


class Service(Ours):
    """The kit's service, in which nothing takes long."""

    server: zerorpc.Server

    def __init__(self) -> None:
        self._complaints: list[str] = []

    async def plain(self, value: Any) -> Any:
        return value

    async def slow(self, seconds: float, token: Any) -> Any:
        return await super().slow(min(seconds, LONGEST), token)

    async def slow_order(self, seconds: float, token: Any) -> Any:
        return await super().slow_order(min(seconds, LONGEST), token)

    def late_count(self, seconds: float, stop: int) -> Iterator[int]:
        time.sleep(min(max(seconds, 0.0), LONGEST))
        yield from range(stop)

    # For those who play conversations

    def complain(self, text: str) -> None:
        if len(self._complaints) < 20:
            self._complaints.append(text[-4000:])

    async def complaints(self) -> list[str]:
        """Since the last time."""
        told, self._complaints = self._complaints, []
        return told

    async def at_rest(self) -> dict[str, float]:
        """What is still there; everything that methods have kept is thrown away first."""
        STATES.clear()
        RUNS.clear()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what malloc keeps for later is no leak
        return {
            "resident": resident(),
            "connections": len(self.server._core.hub.links),
            "threads": threading.active_count(),
            "tasks": len(asyncio.all_tasks()),
        }


class Complaints(logging.Handler):
    """Errors in the log but those that methods raise, since that is what some are for."""

    def __init__(self, service: Service) -> None:
        super().__init__(logging.ERROR)
        self._service = service

    def emit(self, record: logging.LogRecord) -> None:
        if not (record.msg.startswith(METHODS_ERROR) and self._is_methods(record)):
            self._service.complain(logging.Formatter("%(name)s: %(message)s").format(record))

    def _is_methods(self, record: logging.LogRecord) -> bool:
        """Whether a method is to blame for an error, and not one of our steps around it."""
        kind, trace = (record.exc_info[0], record.exc_info[2]) if record.exc_info else (None, None)
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if kind is None or trace is None or issubclass(kind, USUAL):
            return True
        if kind is NameError and str(record.args).startswith("('_zerorpc_"):
            return True  # they are asked about a method that there isn't
        return not trace.tb_frame.f_code.co_filename.startswith(OURS)


def main() -> None:
    service = Service()
    logging.getLogger().addHandler(Complaints(service))
    sys.unraisablehook = lambda told: service.complain(f"ignored in {told.object!r}: {told.exc_value!r}")
    threading.excepthook = lambda told: service.complain(f"thread {told.thread} ended with {told.exc_value!r}")
    server = service.server = zerorpc.Server(
        service, heartbeat=HEARTBEAT, grace=0.1, answers=zerorpc.Answers(keys=KEYS)
    )
    endpoints = {
        "clear": server.bind("tcp://127.0.0.1:0")[0],
        "curve": server.bind("tcp://127.0.0.1:0", curve=zerorpc.Curve(SERVER_KEYS[1]))[0],
        "tls": server.bind("tls+tcp://127.0.0.1:0", tls=zerorpc.Tls(*sys.argv[1:3]))[0],
    }
    print(json.dumps(endpoints), flush=True)
    server.run()


if __name__ == "__main__":
    main()
