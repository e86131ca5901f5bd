"""Runs conversations with one implementation, many at a time: most of them only wait."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.conformance.driver.cases import Case
from tests.conformance.driver.conversation import PATIENCE, Conversation, DeviationError
from tests.conformance.driver.programs import ClientProgram, Implementation, ServerProgram

TOGETHER = 12  # threads; those that wait in vain for five seconds are the most. More would starve each other

PATIENCE_KNOWN = 1.5  # seconds for what is known not to come; if it came after all, it would come at once
LATE_KNOWN = 3.0  # seconds by which what is known to break a silence may come late, from a program that stood still


class Stage:
    """Where an implementation is put to the test. Begin with the cases; `close` ends its programs."""

    def __init__(self, implementation: Implementation) -> None:
        self._implementation = implementation
        self._pool = ThreadPoolExecutor(TOGETHER, f"conformance of {implementation.name}")
        self._lock = threading.Lock()
        self._servers: dict[float, ServerProgram] = {}
        self._client: ClientProgram | None = None

    def begin(self, cases: Iterable[Case]) -> dict[str, Future[str | None]]:
        """Starts all of them, those that take time first; each one's result is how it deviates, None if it doesn't."""
        ordered = sorted(cases, key=lambda case: not case.takes_time)
        return {case.name: self._pool.submit(self._hold, case) for case in ordered}

    def _hold(self, case: Case) -> str | None:
        try:
            if case.role == "client":
                self._conversation(case, client=self._running_client()).run()
            elif case.alone:
                self._hold_alone(case)
            else:
                self._conversation(case, server=self._running_server(case.heartbeat)).run()
        except DeviationError as deviation:
            return self._hold_again(case, str(deviation))
        return None

    def _hold_again(self, case: Case, deviation: str) -> str | None:
        """An old implementation under load may miss a wake-up, and then it waits for ever, with all that it has begun:
        it gets another chance, with a program of its own. Ours gets none.
        """
        name = self._implementation.name
        if name.startswith("zerorpc") or name in case.deviations:
            return deviation
        try:
            self._hold_alone(case)
        except DeviationError as again:
            return str(again)
        return None

    def _hold_alone(self, case: Case) -> None:
        client = ClientProgram(self._implementation) if case.role == "client" else None
        server = ServerProgram(self._implementation, case.heartbeat) if client is None else None
        try:
            self._conversation(case, server=server, client=client).run()
        finally:
            for program in filter(None, (client, server)):
                program.end()

    def _conversation(
        self, case: Case, server: ServerProgram | None = None, client: ClientProgram | None = None
    ) -> Conversation:
        known = self._implementation.name in case.deviations
        patience, late = (PATIENCE_KNOWN, LATE_KNOWN) if known else (PATIENCE, 0.0)
        return Conversation(case, server=server, client=client, patience=patience, late=late)

    def _running_server(self, heartbeat: float) -> ServerProgram:
        with self._lock:
            server = self._servers.get(heartbeat)
            if server is None or not server.runs:
                if server is not None:
                    server.end()
                server = self._servers[heartbeat] = ServerProgram(self._implementation, heartbeat)
            return server

    def _running_client(self) -> ClientProgram:
        with self._lock:
            if self._client is None or not self._client.runs:
                if self._client is not None:
                    self._client.end()
                self._client = ClientProgram(self._implementation)
            return self._client

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for program in (*self._servers.values(), self._client):
            if program is not None:
                program.end()
