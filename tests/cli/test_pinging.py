"""``zerorpc ping`` and ``zerorpc health``."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import zerorpc
from tests.cli.test_calling import FakeClient, answers
from tests.service.running import eventually, on_thread, serving, unused_port
from zerorpc.cli import main, pinging
from zerorpc.cli.pinging import RoundTrips
from zerorpc.errors import HandshakeFailed, LostRemote, RemoteError, ServerStopping, UnknownMethod

__all__ = ["answers"]

TRIP = re.compile(r'answer from "cooler": seq=(\d) time=\d+\.\d{3} ms')


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])


@pytest.fixture(scope="module")
def cooler() -> Iterator[str]:
    with serving({"m": lambda: 1}, name="cooler") as server:
        yield server.endpoints[0]


def test_each_round_trip_has_a_line_and_a_summary_follows(cooler: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", cooler, "-c", "3", "-i", "0.01"]) == 0
    *trips, where, counts, times = capsys.readouterr().out.splitlines()
    assert [match[1] for match in map(TRIP.fullmatch, trips) if match] == ["1", "2", "3"]
    assert where == f"--- {cooler} ---"
    assert re.fullmatch(r"3 calls, 3 answered, 0% lost, \d+ ms", counts)
    shortest, mean, longest, deviation = map(float, re.findall(r"\d+\.\d{3}", times))
    assert times.startswith("round trip min/avg/max/mdev = ")
    assert shortest <= mean <= longest
    assert deviation <= longest


def test_nothing_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    assert main(["ping", "--timeout", "2", "-c", "2", "-i", "0", endpoint]) == 1
    *lost, where, counts = capsys.readouterr().out.splitlines()
    assert lost == [f"no answer: seq={n} nothing listens at {endpoint} (connection refused)" for n in (1, 2)]
    assert where == f"--- {endpoint} ---"
    assert counts.startswith("2 calls, 0 answered, 100% lost, ")


def test_one_of_several_is_lost(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    told = iter([["pong", "s"], ["pong", "s"], LostRemote("gone"), ["pong", ""], RemoteError("Odd", "x", None)])

    def answer() -> Any:
        value = next(told)
        if isinstance(value, Exception):
            raise value
        return value

    answers["_zerorpc_ping"] = answer
    assert main(["ping", "-c", "4", "-i", "0", "ipc://s"]) == 0
    first, second, third, fourth, _, counts, _ = capsys.readouterr().out.splitlines()
    assert first.startswith('answer from "s": seq=1 ')
    assert second == "no answer: seq=2 gone"
    assert third.startswith("answer from the service: seq=3 ")
    assert fourth.startswith("answer from a service that says Odd: seq=4 ")
    assert counts.startswith("4 calls, 3 answered, 25% lost")


@pytest.mark.parametrize(("before", "code"), [(2, 0), (0, 1)])
def test_ctrl_c_ends_it_with_the_summary(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str], before: int, code: int
) -> None:
    def answer() -> Any:
        if len(FakeClient.made.calls) > before + 1:
            raise KeyboardInterrupt
        return ["pong", "s"]

    answers["_zerorpc_ping"] = answer
    if not before:
        answers["_zerorpc_ping"] = KeyboardInterrupt()
    assert main(["ping", "-i", "0", "ipc://s"]) == code
    out = capsys.readouterr().out
    assert f"{before} calls, {before} answered, 0% lost" in out
    assert FakeClient.made.closed


def test_the_interval_is_from_one_begin_to_the_next(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        clock[0] += seconds

    def answer() -> list[str]:
        clock[0] += 0.25
        return ["pong", "s"]

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    answers["_zerorpc_ping"] = answer
    assert main(["ping", "-c", "3", "-i", "2", "ipc://s"]) == 0
    assert slept == [0, 1.5, 1.75]  # the first of them is called twice


def test_a_name_cannot_command_the_terminal(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["_zerorpc_ping"] = ["pong", "\x1b[2J"]
    assert main(["ping", "-c", "1", "ipc://s"]) == 0
    assert capsys.readouterr().out.startswith('answer from "\\x1b[2J": seq=1')


def test_the_figures() -> None:
    trips = RoundTrips()
    trips.times, trips.lost = [0.001, 0.003], 1
    assert trips.summary("A", 2.5) == (
        "--- A ---\n3 calls, 2 answered, 33.3% lost, 2500 ms\n"
        "round trip min/avg/max/mdev = 1.000/2.000/3.000/1.000 ms\n"
    )


# zerorpc health


def test_a_service_that_answers_is_healthy(cooler: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", cooler]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(rf"{cooler} is healthy: it answered in \d+\.\d{{3}} ms\n", captured.out)
    assert captured.err == ""


def test_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    assert main(["health", endpoint, "--timeout", "2"]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{endpoint} is not healthy: nothing listens at {endpoint} (connection refused)\n"
    assert captured.err == ""


def test_a_server_that_shuts_down_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    free, began = threading.Event(), threading.Event()

    def m() -> None:
        began.set()
        free.wait()

    with serving({"m": m}, grace=30) as server:
        endpoint = server.endpoints[0]
        with zerorpc.Client(endpoint) as client:
            result = client("m", async_=True)
            assert began.wait(30)
            server.stop()
            eventually(lambda: not server.endpoints or main(["health", endpoint, "--timeout", "0.2"]))
            capsys.readouterr()
            assert main(["health", endpoint, "--timeout", "0.2"]) == 1
            assert f"{endpoint} is not healthy: " in capsys.readouterr().out
            free.set()
            result.get()


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (ServerStopping("ServerStopping", "the server is shutting down", None), 1, "not healthy: ServerStopping"),
        (LostRemote("gone"), 1, "not healthy: gone"),
        (UnknownMethod("NameError", "_zerorpc_ping", None), 0, "healthy: it answered in "),
    ],
)
def test_what_counts_as_an_answer(
    answer: Exception, code: int, told: str, answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["_zerorpc_ping"] = answer
    assert main(["health", "ipc://s"]) == code
    assert capsys.readouterr().out.startswith(f"ipc://s is {told}")


# Whether it is ready


class Gate:
    """A check that says what it is told to."""

    def __init__(self) -> None:
        self.answer: Any = True

    async def __call__(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_service_that_answers_and_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate()
    with serving({"m": lambda: 1}, ready=gate) as server:
        endpoint = server.endpoints[0]
        for answer, code, told in [
            (True, 0, "is healthy: it answered in "),
            (False, 1, "is not healthy: it answers, and isn't ready: its check says no\n"),
            (OSError("secret"), 1, "is not healthy: it answers, and isn't ready: its check raised OSError\n"),
            (True, 0, "is healthy: "),
        ]:
            gate.answer = answer
            assert main(["health", endpoint]) == code
            captured = capsys.readouterr()
            assert captured.out.startswith(f"{endpoint} {told}")
            assert "secret" not in captured.out + captured.err


def test_a_busy_server_says_that_it_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    """However busy its places are: only its own check counts."""
    free, began = threading.Event(), threading.Event()

    def m() -> None:
        began.set()
        free.wait()

    with serving({"m": m}, pool_size=1, ready=Gate()) as server:
        with zerorpc.Client(server.endpoints[0]) as client:
            result = client("m", async_=True)
            assert began.wait(30)
            assert main(["health", server.endpoints[0], "--timeout", "30"]) == 0
            free.set()
            result.get()


def test_a_server_that_has_not_begun_to_serve_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    with zerorpc.Server({"m": lambda: 1}) as server:
        (endpoint,) = server.bind("tcp://127.0.0.1:0")
        assert main(["health", endpoint, "--timeout", "0.2"]) == 1
    assert f"{endpoint} is not healthy: " in capsys.readouterr().out


def test_everybody_who_is_let_in_may_ask(capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate()
    gate.answer = False
    with serving({"m": lambda: 1}, ready=gate, authenticator=lambda caller: "a", authorizer=lambda *_: False) as server:
        assert main(["health", server.endpoints[0]]) == 1
    assert "its check says no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ([True, ""], 0),
        ([False, "why"], 1),
        (UnknownMethod("NameError", "_zpc_ready", None), 0),  # one of ours that is older
        (ServerStopping("ServerStopping", "stopping", None), 1),
        (LostRemote("gone"), 1),
    ],
)
def test_what_one_of_ours_says(
    answer: Any, code: int, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = SimpleNamespace(peer=SimpleNamespace(level=1))
    monkeypatch.setattr(FakeClient._core.hub, "links", {1: link})
    answers.update(_zerorpc_ping=["pong", "s"], _zpc_ready=answer)
    assert main(["health", "ipc://s"]) == code


def test_an_older_peer_is_not_asked_what_it_would_log_as_an_error(answers: dict[str, Any]) -> None:
    answers["_zerorpc_ping"] = ["pong", "s"]
    assert main(["health", "ipc://s"]) == 0
    assert FakeClient.made.calls == [("_zerorpc_ping",)]


# One service of several, and each change


def test_one_service_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    server = zerorpc.Server({"m": lambda: 1}, heartbeat=30.0, grace=0.1)
    server.register({"move": lambda: 1}, "arm", ready=lambda: False)
    server.register({"see": lambda: 1}, "eye")
    (endpoint,) = server.bind("tcp://127.0.0.1:0")
    with on_thread(server):
        assert main(["health", endpoint, "--service", "eye"]) == 0
        assert capsys.readouterr().out.startswith(f"eye at {endpoint} is healthy: it answered in ")
        assert main(["health", "--service", "arm", endpoint]) == 1
        told = "is not healthy: it answers, and isn't ready: its check says no\n"
        assert capsys.readouterr().out == f"arm at {endpoint} {told}"
        assert main(["health", endpoint, "--service", "leg"]) == 1
        captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("zerorpc: there is no service 'leg'")


def test_each_change_is_told(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pong = ["pong", "s"]
    told = iter([pong, pong, LostRemote("gone"), LostRemote("gone"), pong])
    pauses: list[float] = []

    def answer() -> Any:
        value = next(told, None)
        if value is None:
            raise KeyboardInterrupt
        if isinstance(value, Exception):
            raise value
        return value

    answers["_zerorpc_ping"] = answer
    monkeypatch.setattr(pinging, "pause", pauses.append)
    assert main(["health", "--watch", "-i", "7", "ipc://s"]) == 130
    rows = [re.sub(r"^\d\d:\d\d:\d\d ", "", row) for row in capsys.readouterr().out.splitlines()]
    assert [row.partition(": ")[0] for row in rows] == [
        "ipc://s is healthy",
        "ipc://s is not healthy",
        "ipc://s is healthy",
    ]
    assert rows[1] == "ipc://s is not healthy: gone"
    assert pauses == [7] * 5


# Both


@pytest.mark.parametrize("command", ["ping", "health"])
def test_a_server_that_refuses_us(command: str, answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["_zerorpc_ping"] = HandshakeFailed("its key is unknown")
    assert main([command, "ipc://s"]) == 1
    assert "its key is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ping", "health"])
def test_wrong_command_lines(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 2
    assert main([command, "ipc://s", "m"]) == 2
    assert f"type: zerorpc {command} tcp://robot:4242" in capsys.readouterr().err
    assert main([command, "--help"]) == 0
    assert f"usage: zerorpc {command} [options] address" in capsys.readouterr().out


def test_the_patience_can_be_chosen(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["_zerorpc_ping"] = ["pong", "s"]
    assert main(["health", "ipc://s"]) == 0
    assert FakeClient.made.settings["timeout"] == 3
    assert main(["health", "ipc://s", "--timeout", "7"]) == 0
    assert FakeClient.made.settings["timeout"] == 7


def test_a_method_may_be_called_ping(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["ping"] = "from the method"
    assert main(["ping", "--connect", "ipc://s"]) == 0
    assert capsys.readouterr().out == "'from the method'\n"
