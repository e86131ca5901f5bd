"""One case on its scene: a server on one host, a client of one kind on another, and what both have seen."""

from __future__ import annotations

import itertools
import json
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance.driver.programs import Program
from tests.faults.ledger import DEFINITE, Outcome, Outcomes, check, read_ledger
from tests.faults.network.hosts import Cable, Host, Network, environment
from tests.faults.network.programs.client import IDS_OF_ONE
from tests.service.running import eventually

KINDS = ("async", "blocking")
HEARTBEAT = 1.0  # s, of both sides, where the case doesn't say otherwise
SLACK = 10.0  # s for busy cores
TIMEOUT = 5.0  # s, of each call
SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
PORT, OTHER_PORT = 4242, 4243  # the latter for servers that keep their answers together
ENDPOINT = f"tcp://{SERVER}:{PORT}"
REPORT_WITHIN = 60.0  # s

# Calls in the middle of which a fault comes: two on the loop, one on a thread, and a stream.
USUAL = (
    {"do": "work", "arg": 0.3, "timeout": TIMEOUT},
    {"do": "work", "arg": 0.4, "timeout": TIMEOUT},
    {"do": "plain", "arg": 0.1, "timeout": TIMEOUT},
    {"do": "ticks", "arg": 0.05, "timeout": TIMEOUT},
)

_numbers = itertools.count(1)
_starting = threading.Semaphore(2)  # programs at once: those of all 36 cases made a program beside them 25 times slower


class Server(Program):
    """The service on a host. ``stopped`` are the calls whose methods were ended early: when."""

    def __init__(self, host: Host, heartbeat: float, ledger: Path, port: int = PORT, *answers: Path) -> None:
        self.stopped: dict[int, float] = {}
        super().__init__(host.command("server", ledger, f"tcp://*:{port}", heartbeat, *answers), environment())
        self.wait_ready()

    def release(self) -> None:
        """What is held may end; something has to be."""
        self.write({"do": "release"})

    def take(self, fields: dict[str, Any]) -> None:
        self.stopped[fields["stopped"]] = fields["at"]

    def vanish(self) -> None:
        """End with no word. The host's cable has to be cut, or the system says it."""
        self._process.kill()
        self._process.wait(REPORT_WITHIN)


class Client(Program):
    """The callers on a host."""

    def __init__(self, host: Host, kind: str, heartbeat: float, plans: Iterable[dict[str, Any]]) -> None:
        self._reports: queue.Queue[dict[str, Any]] = queue.Queue()
        super().__init__(host.command("client", kind, ENDPOINT, heartbeat, json.dumps(list(plans))), environment())

    def take(self, fields: dict[str, Any]) -> None:
        self._reports.put(fields["report"])

    def go(self) -> float:
        """Let those begin that are to begin later."""
        self.write({"do": "go"})
        return time.monotonic()

    def finish(self) -> None:
        self.write({"do": "finish"})

    def report(self, within: float = REPORT_WITHIN) -> dict[str, Any]:
        try:
            return self._reports.get(timeout=within)
        except queue.Empty:
            self.end()
            raise AssertionError(f"the callers didn't come to an end: a call hangs; {self.stderr}") from None

    def vanish(self) -> None:
        """End with no word. The host's cable has to be cut, or the system says it."""
        self._process.kill()
        self._process.wait(REPORT_WITHIN)


class ManyCalls(Program):
    """Callers on a host that make all of their calls at once."""

    def __init__(self, host: Host, kind: str, endpoints: list[str], heartbeat: float, number: int) -> None:
        self._report: queue.Queue[str] = queue.Queue()
        super().__init__(host.command("at_once", kind, json.dumps(endpoints), heartbeat, number), environment())
        self.wait_ready()

    def take(self, fields: dict[str, Any]) -> None:
        self._report.put(fields["report"])

    def outcomes(self) -> Outcomes:
        """When all calls have ended."""
        return Outcomes.load(self._report.get(timeout=REPORT_WITHIN))


class Call(NamedTuple):
    """One call, as its caller saw it; all moments in time.monotonic()."""

    do: str
    timeout: float
    begun: float
    items: list[float]
    end: Outcome

    @property
    def ended(self) -> float:
        return self.end.at

    @property
    def answers(self) -> list[float]:
        """The moments at which something came from the server."""
        return self.items or ([] if self.end.error else [self.ended])


class Report:
    """What became of all calls."""

    def __init__(self, outcomes: Outcomes, calls: dict[str, dict[str, Any]], runs: list[int], promise: float) -> None:
        self.promise = promise
        self.outcomes = outcomes
        self.runs = runs
        ends = {end.call_id: end for end in outcomes.ends}
        self.calls = [
            Call(call["do"], call["timeout"], call["begun"], call["items"], ends[int(call_id)])
            for call_id, call in calls.items()
        ]

    def check(self, allowed: Iterable[str] = DEFINITE) -> dict[str, Any]:
        """No call hung, none was run twice, none ended with anything but an answer or one of the errors allowed."""
        tally = check(self.outcomes, self.runs, allowed=allowed)
        for call in self.calls:
            took = (call.items[0] if call.items else call.ended) - call.begun
            assert took <= call.timeout + SLACK, f"{call} took {took:.1f} s"
            silences = [after - before for before, after in itertools.pairwise([*call.items, call.ended])]
            longest = max(silences, default=0.0) if call.do == "ticks" else 0.0
            assert longest <= self.promise + SLACK, f"a stream was silent for {longest:.1f} s, and nobody noticed"
        return tally.figures

    def open_at(self, moment: float) -> list[Call]:
        return [call for call in self.calls if call.begun < moment < call.ended]

    def noticed(self, fault: float, answers_pass: bool = False) -> float:
        """Seconds from a fault until each call that it met had ended."""
        met = self.open_at(fault)
        answered = [call for call in met if not call.end.error and call.ended > fault + SLACK]  # it may have been there
        met = [call for call in met if call.end.error]
        assert answers_pass or not answered, f"answered through a cable that is cut: {answered}"
        assert len(met) >= 2, "the fault was meant to come in the middle of calls"
        return max(call.ended for call in met) - fault

    def first_answer(self, moment: float) -> float:
        """Seconds from then until something came from the server again."""
        answers = [at for call in self.calls for at in call.answers if at > moment]
        assert answers, "the client never worked again"
        return min(answers) - moment


class Scene:
    """Two hosts, a cable between them and a server that serves. ``promise`` is how soon a loss has to be noticed."""

    def __init__(self, network: Network, folder: Path, kind: str, heartbeat: float = HEARTBEAT) -> None:
        self.network = network
        self.kind = kind
        self.heartbeat = heartbeat
        self.promise = 2 * heartbeat
        self._ledger = folder / f"ledger-{next(_numbers)}"
        self._programs: list[Program] = []
        try:
            self.server_host, self.client_host = network.host(SERVER), network.host(CLIENT)
            self.cable: Cable = network.cable(self.server_host, self.client_host)
            self.server = self.serve(self.server_host)
        except BaseException:
            self.close()
            raise

    def serve(self, host: Host) -> Server:
        with _starting:
            server = Server(host, self.heartbeat, self._ledger)
        self._programs.append(server)
        return server

    def serve_two(self) -> tuple[Server, Server]:
        """Two more, of which one is on the client's own host. They keep their answers in one file."""
        answers = self._ledger.with_suffix(".answers")
        hosts = (self.server_host, self.client_host)
        one, other = (Server(host, self.heartbeat, self._ledger, OTHER_PORT, answers) for host in hosts)
        self._programs += [one, other]
        return one, other

    def call_two(self, number: int) -> ManyCalls:
        """Make so many calls of the two at once."""
        endpoints = [f"tcp://{address}:{OTHER_PORT}" for address in (SERVER, "127.0.0.1")]
        calls = ManyCalls(self.client_host, self.kind, endpoints, self.heartbeat, number)
        self._programs.append(calls)
        return calls

    @property
    def runs(self) -> list[int]:
        """What was run so far, in order."""
        return read_ledger(self._ledger)

    def call(self, plans: Iterable[dict[str, Any]] = USUAL) -> Client:
        """Start callers; returns when each has had an answer, and those that call once are under way."""
        plans = list(plans)
        with _starting:
            client = Client(self.client_host, self.kind, self.heartbeat, plans)
            self._programs.append(client)
            client.wait_ready()
        once = {number * IDS_OF_ONE for number, plan in enumerate(plans) if plan.get("once") and not plan.get("later")}
        eventually(lambda: once <= set(self.runs), "what is called once runs")
        return client

    def report_of(self, client: Client, within: float = REPORT_WITHIN) -> Report:
        """Let the callers come to their end, with an answer each."""
        client.finish()
        report = client.report(within)
        return Report(Outcomes.load(report["outcomes"]), report["calls"], read_ledger(self._ledger), self.promise)

    def close(self) -> None:
        for program in self._programs:
            program.end()


def wait(seconds: float, after: float | None = None) -> None:
    """Let a fault last: until so many seconds after a moment, or after now."""
    time.sleep(max(0.0, (time.monotonic() if after is None else after) + seconds - time.monotonic()))
