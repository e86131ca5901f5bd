"""A thread that looks after something now and then, and at once when it is nudged."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from zerorpc.logs import Logger

__all__ = ["Keeper"]

logger: Logger = Logger("zerorpc.transport")


class Keeper(threading.Thread):
    """Calls ``look_in`` every ``interval`` seconds until that returns True. It survives whatever is raised there."""

    def __init__(self, look_in: Callable[[], bool], interval: float) -> None:
        super().__init__(name="zerorpc-keeper", daemon=True)
        self._look_in = look_in
        self._interval = interval
        self._nudged = threading.Lock()
        self._nudged.acquire()

    def nudge(self) -> None:
        """Have it look in at once. Safe anywhere: in a signal handler and in a finalizer too."""
        if self._nudged.locked():
            with contextlib.suppress(RuntimeError):  # by another thread just now
                self._nudged.release()

    def run(self) -> None:
        told, over = False, False
        while not over:
            self._nudged.acquire(timeout=self._interval)
            try:
                over = self._look_in()
                told = False
            except BaseException as error:
                if not told:
                    logger.error("the keeper of a client failed, and goes on", raised=error)
                told = True
