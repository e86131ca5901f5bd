"""What a case has at hand: servers in processes, callers of both kinds with hundreds of calls in flight, the ledger.

A case is a function that gets a ``Stage``, makes its fault, asserts what has to hold and returns the figures that it
measured. ``test_cases`` runs each as a test; ``python -m tests.faults.processes`` runs all and writes the figures.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import zerorpc
from tests.faults.ledger import Outcome, Outcomes, Tally, check, read_ledger
from tests.interop.programs import Program
from tests.service.running import TCP, eventually
from zerorpc.client.async_call import AsyncStream
from zerorpc.client.stream import Stream

__all__ = [
    "CASES",
    "HEARTBEAT",
    "IN_FLIGHT",
    "AsyncCaller",
    "Caller",
    "Case",
    "ServerProgram",
    "Stage",
    "case",
    "run_case",
]

HERE = Path(__file__).parent
IN_FLIGHT = 500
HEARTBEAT = 5.0  # s, the default: whoever knows before two of them are over doesn't know by silence
AT_ONCE = 8.0  # s within which callers have to know of a connection that closed; measured 0.01 to 0.4 on one core
PATIENCE = 30.0  # s until calls that have not ended count as hanging
TIMEOUT = 120.0  # s of each call: so late that none ends by it


Tap = Callable[[str, Any], None] | None


class Case(NamedTuple):
    """A fault, and the kind of caller that meets it."""

    name: str
    kind: str
    run: Callable[[Stage], dict[str, Any]]
    seconds: float  # it must not take longer
    slow: bool  # waits most of the time: begun first, beside the others

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})" if self.kind else self.name


CASES: list[Case] = []


def case(
    name: str, *, kinds: Iterable[str] = ("AsyncClient", "Client"), seconds: float = 20.0, slow: bool = False
) -> Callable[[Callable[[Stage], dict[str, Any]]], Callable[[Stage], dict[str, Any]]]:
    """Enter a function as a case for each kind of caller; no kind where there is nothing to choose."""

    def enter(run: Callable[[Stage], dict[str, Any]]) -> Callable[[Stage], dict[str, Any]]:
        CASES.extend(Case(name, kind, run, seconds, slow) for kind in kinds or ("",))
        return run

    return enter


class ServerProgram(Program):
    """service.py, which is ready."""

    def __init__(self, **options: Any) -> None:
        # Coverage takes memory at each new line, also when there is none.
        covered = not options.get("limits_memory", False)
        super().__init__(str(HERE / "service.py"), json.dumps(options), python=sys.executable, covered=covered)
        try:
            ready = self.next_line()
        except BaseException:
            self.stop()
            raise
        self.endpoint: str = ready["ready"][0]
        self.pid: int = ready["pid"]

    def stop(self) -> None:
        """And whatever is left of its group: children that a method has forked."""
        if self.process.poll() is None:
            super().stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        super().stop()


class Caller:
    """A blocking client and one thread for each of its calls."""

    prefix = ""  # of the methods that it calls: plain ones

    def __init__(self, outcomes: Outcomes, endpoints: list[str], tap: Tap = None, **options: Any) -> None:
        self.outcomes = outcomes
        self.client: Any = zerorpc.Client(**options)
        self.client._core.tap = tap
        for endpoint in endpoints:
            self.client.connect(endpoint)
        self._threads: list[threading.Thread] = []

    def start(self, method: str, ids: Iterable[int], *args: Any) -> None:
        """Begin a call for each id; returns when all are begun. Of a stream the outcome is its only item."""
        self.start_each(lambda client, call_id: client(method, call_id, *args), ids)

    def start_each(self, make: Callable[[Any, int], Any], ids: Iterable[int]) -> None:
        """The same with calls that ``make(client, id)`` makes."""

        def act(call_id: int) -> Any:
            result = make(self.client, call_id)
            return next(result) if isinstance(result, Stream) else result

        for call_id in ids:
            thread = threading.Thread(target=self.outcomes.call, args=(call_id, act), name=f"call {call_id}")
            thread.daemon = True  # one that hangs is the checker's business, and must not keep the process
            thread.start()
            self._threads.append(thread)

    def call(self, method: str, call_id: int) -> None:
        """One of the calls under test, from any thread, to its end."""
        self.outcomes.call(call_id, lambda call_id: self.client(method, call_id))

    def join(self, patience: float = PATIENCE) -> None:
        """Until all have ended. Those that haven't after so long the checker will find."""
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        """One call that is none of those under test."""
        return self.client(method, *args, **options)

    def close(self) -> None:
        self.client.close()
        self.join()


class AsyncCaller(Caller):
    """An AsyncClient on a loop in a thread of its own."""

    prefix = "a"

    def __init__(self, outcomes: Outcomes, endpoints: list[str], tap: Tap = None, **options: Any) -> None:
        self.outcomes = outcomes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="async caller", daemon=True)
        self._thread.start()
        self._futures: list[concurrent.futures.Future[None]] = []
        self.client = zerorpc.AsyncClient(**options)
        self.client._core.tap = tap
        for endpoint in endpoints:
            self.client.connect(endpoint)

    def start_each(self, make: Callable[[Any, int], Any], ids: Iterable[int]) -> None:
        begun = threading.Event()

        async def act(call_id: int) -> Any:
            result = await make(self.client, call_id)
            return await anext(result) if isinstance(result, AsyncStream) else result

        async def make_all() -> None:
            tasks = [asyncio.ensure_future(self.outcomes.acall(call_id, act)) for call_id in ids]
            await asyncio.sleep(0)
            begun.set()
            await asyncio.gather(*tasks)

        self._futures.append(asyncio.run_coroutine_threadsafe(make_all(), self._loop))
        assert begun.wait(PATIENCE)

    def call(self, method: str, call_id: int) -> None:
        act = self.outcomes.acall(call_id, lambda call_id: self.client(method, call_id))
        asyncio.run_coroutine_threadsafe(act, self._loop).result()

    def join(self, patience: float = PATIENCE) -> None:
        concurrent.futures.wait(self._futures, patience)

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        async def one() -> Any:
            return await self.client(method, *args, **options)

        return asyncio.run_coroutine_threadsafe(one(), self._loop).result(PATIENCE * 2)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.client.aclose(), self._loop).result(PATIENCE)
        self.join()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Stage:
    """One case's servers, callers and ledger; all ended with it."""

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self.outcomes = Outcomes()
        self._exits = contextlib.ExitStack()
        self.folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="zf-", dir="/tmp")))
        self.ledger = self.folder / "ledger"
        self._ids = itertools.count(1)
        self._ended: list[Caller] = []

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()

    def server(self, bind: str = TCP, heartbeat: float | None = HEARTBEAT, **options: Any) -> ServerProgram:
        server = ServerProgram(bind=bind, heartbeat=heartbeat, ledger=str(self.ledger), **options)
        self._exits.callback(server.stop)
        return server

    def caller(self, *endpoints: str, heartbeat: float | None = HEARTBEAT, kind: str = "", **options: Any) -> Caller:
        """One of this case's kind; its outcomes are the stage's."""
        options.setdefault("timeout", TIMEOUT)
        make = {"AsyncClient": AsyncCaller, "Client": Caller}[kind or self.kind]
        caller = make(self.outcomes, list(endpoints), heartbeat=heartbeat, **options)
        self._exits.callback(lambda: caller in self._ended or caller.close())
        return caller

    def end(self, caller: Caller) -> None:
        """Before the case ends."""
        caller.close()
        self._ended.append(caller)

    def program(self, *argv: str) -> Program:
        """Another program of this folder."""
        program = Program(str(HERE / argv[0]), *argv[1:], python=sys.executable)
        self._exits.callback(program.stop)
        return program

    def ids(self, number: int) -> list[int]:
        """Ids that no other call has."""
        return list(itertools.islice(self._ids, number))

    @property
    def runs(self) -> list[int]:
        """What was run so far, in order."""
        return read_ledger(self.ledger)

    def hold(self, caller: Caller, number: int = IN_FLIGHT) -> list[int]:
        """Put calls in flight: when this returns, their methods run, and wait to be released."""
        ids = self.ids(number)
        caller.start(f"{caller.prefix}hold", ids)
        self.wait_for(ids)
        return ids

    def wait_for(self, ids: Iterable[int]) -> None:
        """Until all of these have been run."""
        wanted = set(ids)
        eventually(lambda: wanted <= set(self.runs), f"{len(wanted)} calls run")

    def again(self, caller: Caller) -> float:
        """The same client calls once more, and is answered: how long that took, in seconds."""
        begun = time.monotonic()
        (call_id,) = self.ids(1)
        caller.start(f"{caller.prefix}quick", [call_id])
        self.answer_to(call_id)
        return time.monotonic() - begun

    def ended(self, call_id: int) -> bool:
        return any(end.call_id == call_id for end in self.outcomes.ends[:])

    def answer_to(self, call_id: int, patience: float = PATIENCE) -> Outcome:
        """Wait for the call's end, which has to be its result."""
        found: list[Outcome] = []
        deadline = time.monotonic() + patience
        while not found:
            assert time.monotonic() < deadline, f"call {call_id} doesn't end"
            time.sleep(0.002)
            found = [end for end in self.outcomes.ends[:] if end.call_id == call_id]
        assert not found[0].error, found[0]
        return found[0]

    @property
    def last_end(self) -> float:
        """The moment of the last end so far."""
        return max(end.at for end in self.outcomes.ends)

    def check(self, *allowed: str, repeatable: Callable[[int], bool] = lambda call_id: False) -> Tally:
        """Compare all outcomes with the ledger; ``allowed`` are the errors that may have come."""
        return check(self.outcomes, self.runs, allowed=allowed, repeatable=repeatable)


def run_case(case: Case) -> dict[str, Any]:
    """Its figures."""
    with Stage(case.kind) as stage:
        return case.run(stage)
