"""Servers that are restarted one after the other, as for a new version, while calls go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from tests.faults.processes.stage import Caller, ServerProgram, Stage, case
from tests.service.running import eventually

CALLERS = 10  # at once, each with one call after the other
ROUNDS = 3  # in each of which both servers are restarted
BETWEEN = 20 * CALLERS  # calls that end between two restarts, at least
METHODS = ("quick", "aquick", "awork", "work")  # on threads and on the loop, at once and after a while


class Load:
    """Calls one after the other, until it is told to end."""

    def __init__(self, stage: Stage, caller: Caller) -> None:
        self._stage = stage
        self._caller = caller
        self._ended = threading.Event()
        self._done: list[threading.Thread] = []

    def begin(self) -> None:
        self._done = [threading.Thread(target=self._go_on, args=(n,), daemon=True) for n in range(CALLERS)]
        for thread in self._done:
            thread.start()

    def _go_on(self, turn: int) -> None:
        while not self._ended.is_set():
            self._caller.call(METHODS[turn % len(METHODS)], *self._stage.ids(1))
            turn += 1

    def more(self) -> None:
        """Until a number of further calls has ended."""
        enough = len(self._stage.outcomes.ends) + BETWEEN
        eventually(lambda: len(self._stage.outcomes.ends) >= enough, "calls go on")

    def end(self) -> None:
        self._ended.set()
        for thread in self._done:
            thread.join()


def _restarted(stage: Stage, server: ServerProgram, start: Callable[..., ServerProgram]) -> ServerProgram:
    os.killpg(server.process.pid, signal.SIGTERM)
    assert server.process.wait(10) == 0, server.stderr()
    return start(bind=server.endpoint)


@case("rolling restart of two servers under load", seconds=40)
def rolling_restart(stage: Stage) -> dict[str, Any]:
    """Nothing may be run twice, and no call has a retry: those that a server refuses go to the other at once."""
    servers = [stage.server(), stage.server()]
    load = Load(stage, stage.caller(*(server.endpoint for server in servers)))
    load.begin()
    load.more()
    for _ in range(ROUNDS):
        for n, server in enumerate(servers):
            servers[n] = again = _restarted(stage, server, stage.server)
            look = stage.caller(again.endpoint, kind="Client")
            eventually(lambda: look("state")["links"] == 2, "the client is there again")  # noqa: B023
            load.more()
            stage.end(look)
    load.end()
    tally = stage.check()
    assert tally.answered == tally.asked == len(stage.runs)
    return tally.figures
