"""The programs of the peers that need no venv of their own, for real, but briefly: that they work, not how fast."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cases, driver, memory, roster, scaling, startup, venvs
from benchmarks.__main__ import as_json, main
from benchmarks.driver import ONE, TWO, Options
from benchmarks.peers.harness import Task, Ticks
from benchmarks.programs import Failure, Pair, Program
from benchmarks.report import markdown

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks pin processes and read /proc: Linux"),
    pytest.mark.timeout(120),  # many programs, one after the other: 3 s, but on a machine that others use too, 30
]

HERE = Path(sys.executable)
PATIENCE = 20.0  # s; a loaded machine is slow
BRIEF = {"seconds": 0.02, "warm_up": 0.005}
NEEDS_NO_VENV = [peer for peer in roster.PEERS if peer.venv == venvs.OURS]


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


@pytest.fixture(params=[peer.key for peer in NEEDS_NO_VENV])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with Pair(HERE, roster.BY_KEY[request.param], cores()) as pair:
        yield pair


def small(task: dict[str, Any]) -> dict[str, Any]:
    """A case's task, made so small that it takes no time."""
    limits = {"callers": 20, "connections": 8, "active": 4, "count": 5, "size": 100_000, "rate": 500}
    return {name: min(value, limits.get(name, value)) if name in limits else value for name, value in task.items()}


def measured(pair: Pair, task: dict[str, Any]) -> dict[str, Any]:
    """Briefly; on a machine that is too slow to do a call in that time, for a second."""
    answer = pair.measure({**task, **BRIEF}, PATIENCE)
    return answer if answer.get("calls") != 0 else pair.measure({**task, **BRIEF, "seconds": 1.0}, PATIENCE)


def test_a_peer_does_every_case_or_says_why_not(pair: Pair) -> None:
    done = {}
    for case in cases.CASES:
        if case.only and pair.peer.key not in case.only:
            continue
        answer = measured(pair, small(case.task))
        if "cannot" in answer:
            assert answer["cannot"]
            continue
        done[case.key] = answer
        assert answer["calls"] > 0, case
        assert answer["seconds"] > 0, case
        assert answer["client_cpu"] > 0, case
        assert answer["server_cpu"] >= 0, case  # of so little work it may not show
        if case.unit == "latency":
            assert sum(answer["histogram"].values()) == answer["calls"] in (int(500 * BRIEF["seconds"]), 500)
    assert any(answer["server_cpu"] > 0 for answer in done.values())
    assert {"alone", "payload-1k", "rate-1k", "connect"} <= done.keys()
    assert {"flight-100", "threads-32"} & done.keys()
    if pair.peer.ours:
        assert {"stream", "stream-plain"} <= done.keys()


def test_only_coroutines_and_greenlets_are_asked_for_many_connections() -> None:
    with Pair(HERE, roster.BY_KEY["blocking"], cores()) as pair:
        assert "cannot" in pair.measure({"measure": "flight", "connections": 2, **BRIEF}, PATIENCE)


def test_a_failing_measurement_is_told_and_the_next_one_works() -> None:
    with Pair(HERE, roster.BY_KEY["async"], cores()) as pair:
        with pytest.raises(Failure, match="KeyError: 'no such thing'"):
            pair.measure({"measure": "no such thing"}, PATIENCE)
        assert measured(pair, {"measure": "alone"})["calls"] > 0


def test_a_program_that_ends_is_a_failure_with_its_last_words() -> None:
    with Program(HERE, roster.BY_KEY["async"], cores(), "client", "no such flavour", "nowhere") as program:
        with pytest.raises(Failure, match="exit code 1: KeyError: 'no such flavour'"):
            program.ask({"measure": "alone"}, PATIENCE)


def test_a_program_that_says_nothing_is_a_failure() -> None:
    with Program(HERE, roster.BY_KEY["async"], cores(), "server", "async") as program:
        program.read(PATIENCE)
        with pytest.raises(Failure, match="no answer in 0 s"):
            program.read(0.01)


def test_memory_of_connections_and_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CONNECTIONS", 50)
    monkeypatch.setattr(memory, "CALLS", 200)
    monkeypatch.setattr(memory, "TAKERS", ("async", "raw-uvloop"))
    found = memory.measure({"async": HERE, "raw-uvloop": HERE}, cores()[0], idle=0.01)
    assert "failed" not in found["async"]
    assert found["async"]["connection"].keys() == {"python", "rss", "idle_us_per_second"}
    assert found["async"]["connection"]["python"] > 1000
    assert found["async"]["call"]["python"] > 500
    assert found["raw-uvloop"]["call"] == {}


def test_server_processes_are_loaded_with_recorded_octets() -> None:
    found = scaling.measure({"async": HERE}, cores(), rounds=1, seconds=0.05)
    assert found.keys() == {"1", "2"}, found
    assert all(costs["per_second"] > 0 for costs in found.values())
    assert all(costs["server_us_per_call"] > costs["client_us_per_call"] for costs in found.values())


def test_start_up_is_measured_in_turns() -> None:
    commands = {"good": [sys.executable, "-c", "pass"], "other": [sys.executable, "-c", "pass"]}
    taken = startup.in_turns(commands, cores()[0], times=2)
    assert [len(times) for times in taken.values()] == [2, 2]
    with pytest.raises(Failure, match="exit code 1: ZeroDivisionError"):
        startup.in_turns({"bad": [sys.executable, "-c", "1 / 0"]}, cores()[0], times=1)


def test_a_run_ends_with_tables(capsys: pytest.CaptureFixture[str]) -> None:
    peers = (roster.BY_KEY["async"], roster.BY_KEY["raw-uvloop"])
    chosen = (cases.BY_KEY["alone"], cases.BY_KEY["threads-32"])
    options = Options(2, 0.02, cores()[0], (ONE, TWO), peers, chosen, quick=True)
    pythons, missing = driver.pythons_of(peers, make=False)
    report = driver.new_report(options, missing)
    saved = []
    driver.run_cases(options, pythons, report, lambda: saved.append(1))
    result = report["measured"][ONE]
    assert len(saved) == 4
    assert report["measured"][TWO].keys() == result.keys()
    assert [len(result["alone"][key]["rounds"]) for key in ("async", "raw-uvloop")] == [2, 2]
    assert result["threads-32"]["async"]["cannot"]
    assert report["peers"]["async"]["versions"]["zerorpc"]
    assert "| **zerorpc, AsyncClient** |" in markdown(report)
    assert json.loads(as_json(report)) == report
    assert "[two cores, round 2 of 2]" in capsys.readouterr().out


def test_the_program_measures_what_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--quick", "--only", "raw-socket", "--cases", "alone", "--rounds", "1", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *few])
    main()
    assert "| *floor: blocking sockets* |" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--only", "corba"], ["--cases", "alone,together"], ["--modes", "three"]])
def test_the_program_says_what_there_is_to_choose_from(monkeypatch: pytest.MonkeyPatch, wrong: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *wrong])
    with pytest.raises(SystemExit, match=r"^no (peer corba|case together|mode three): there are "):
        main()


def test_rounds_begin_with_another_peer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measure(pair: Pair, task: object, patience: float) -> dict[str, Any]:
        asked.append(pair.peer.key)
        if pair.peer.key == "old":
            raise Failure("it is made up")
        return {"calls": 1, "seconds": 1.0, "client_cpu": 0.5, "server_cpu": 0.5}

    monkeypatch.setattr(Pair, "measure", measure)
    peers = tuple(roster.BY_KEY[key] for key in ("async", "blocking", "old"))
    options = Options(4, 1.0, cores()[0], (ONE,), peers, (cases.BY_KEY["alone"],))
    report = driver.new_report(options, {})
    driver.run_cases(options, dict.fromkeys(("async", "blocking", "old"), HERE), report, lambda: None)
    by_round = ["async", "blocking", "old", "blocking", "old", "async"]
    assert asked == [*by_round, "async", "blocking", "async", "blocking"]  # who failed twice isn't asked again
    assert report["measured"][ONE]["alone"]["old"]["failures"] == ["it is made up"] * 2


def test_a_peer_without_a_venv_is_missing_and_not_silently(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(venvs, "exists", lambda venv: venv == venvs.OURS)
    monkeypatch.setattr(driver, "exists", venvs.exists)
    peers = (roster.BY_KEY["async"], roster.BY_KEY["fastapi"])
    pythons, missing = driver.pythons_of(peers, make=False)
    assert pythons.keys() == {"async"}
    assert missing.keys() == {"fastapi"}
    assert "FastAPI, aiohttp client is left out" in capsys.readouterr().out


def test_ticks_say_when_they_were_due() -> None:
    ticks = Ticks(1000)
    os.set_blocking(ticks.descriptor, True)
    count = ticks.read()
    assert count >= 1
    assert ticks.due(1) - ticks.due(0) == pytest.approx(0.001)
    ticks.close()


# The tables that it all is made from


def test_every_case_asks_for_what_clients_know() -> None:
    known = {field.name for field in fields(Task)}
    for case in cases.CASES:
        assert case.task.keys() <= known, case
        assert case.group in cases.GROUPS, case
        assert set(case.only) <= roster.BY_KEY.keys(), case
    assert len(cases.BY_KEY) == len(cases.CASES)


def test_every_peer_has_a_program_and_a_venv() -> None:
    programs = Path(driver.__file__).parent / "peers"
    for peer in roster.PEERS:
        assert (programs / f"{peer.program}.py").is_file(), peer
        assert peer.venv in {venvs.OURS, venvs.OLD, *venvs.PACKAGES}, peer
    assert len(roster.BY_KEY) == len(roster.PEERS)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "it said nothing"),
        ("Collecting x\nERROR: No matching distribution found for x\n", "ERROR: No matching distribution found for x"),
        ("KjException: it broke. stack: 7f20ce68f064 7f20ce685880", "KjException: it broke."),
        ("Error: see https://some.host/simple/x for more", "Error: see <address> for more"),
        ('  File "/home/me/x.py"\nOSError: [Errno 2] /home/me/x.py\nnotice: bye', "OSError: [Errno 2] x.py"),
    ],
)
def test_a_reason_names_nothing_of_this_machine(said: str, words: str) -> None:
    assert venvs.last_words(said) == words
