"""Forty calls: what becomes of each is the same, whichever door it comes by, and through a gateway as well."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.doors.same_calls.calls import BAD, DENIED, GONE, GOOD, LATE, OVERLOADED, STREAMED, Given
from tests.doors.same_calls.service import PASSWORD, USER, Robot, authenticate, may_call
from tests.doors.same_calls.ways import PLAIN, ByCommandLine, ByHttp, ByMcp, ByZerorpc, Way
from tests.service.running import PATIENCE, eventually, serving

DOORS = ["zerorpc", "HTTP", "MCP", "command line"]
ROUTES = ["directly", "by a gateway"]
SHORT = 0.3  # s


class Served:
    """A server with all doors, and the robot behind them."""

    def __init__(self, robot: Robot, server: zerorpc.Server) -> None:
        self.robot = robot
        self.ipc, self.http = [server.endpoints[0], *server.bind("http://127.0.0.1:0")]


@pytest.fixture(scope="module", params=ROUTES)
def route(request: pytest.FixtureRequest) -> str:
    route: str = request.param
    return route


@pytest.fixture(scope="module")
def served(route: str) -> Iterator[Served]:
    robot = Robot()
    with _serving(robot) as server, _reached(route, server) as front:
        yield Served(robot, front)


@contextlib.contextmanager
def _serving(robot: Robot, **settings: Any) -> Iterator[zerorpc.Server]:
    with tempfile.TemporaryDirectory(prefix="zerorpc-") as folder:
        rights: dict[str, Any] = {"authenticator": authenticate, "authorizer": may_call, "plain": zerorpc.Plain()}
        with serving(robot, bind=f"ipc://{folder}/s", tools="*", **rights, **settings) as server:
            yield server


@contextlib.contextmanager
def _reached(route: str, server: zerorpc.Server) -> Iterator[zerorpc.Server]:
    """The server, or a gateway in front of it, which asks who calls, and leaves it to the server what they may call."""
    if route == "directly":
        yield server
        return
    client = zerorpc.AsyncClient(server.endpoints[0], plain=PLAIN, timeout=None, heartbeat=None)
    with tempfile.TemporaryDirectory(prefix="zerorpc-") as folder:
        who: dict[str, Any] = {"authenticator": authenticate, "plain": zerorpc.Plain()}
        with serving(zerorpc.RemoteService(client), bind=f"ipc://{folder}/g", **who) as gateway:
            yield gateway


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    door: str = request.param
    return door


@pytest.fixture
def way(
    door: str, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Way:
    return _way(door, served, monkeypatch, capsys, tmp_path)


def _way(
    door: str, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> Way:
    if door == "command line":
        return ByCommandLine(served.ipc, monkeypatch, capsys, folder)
    made: Way = {"zerorpc": ByZerorpc, "HTTP": ByHttp, "MCP": ByMcp}[door](
        served.ipc if door == "zerorpc" else served.http
    )
    return made


def test_there_are_forty() -> None:
    assert len([*GOOD, *STREAMED, *BAD, *DENIED, *LATE, *GONE, OVERLOADED]) >= 40


@pytest.mark.parametrize("given", [*GOOD, *STREAMED, *BAD, *DENIED], ids=lambda given: given.method)
def test_good_streamed_bad_and_denied(way: Way, given: Given) -> None:
    assert way.call(given.method, given.arguments) == way.as_told(given.outcome)


@pytest.mark.parametrize("given", LATE, ids=lambda given: given.method)
def test_late(way: Way, given: Given) -> None:
    outcome = way.call(given.method, given.arguments, timeout=SHORT)
    assert outcome._replace(message="") == way.as_told(given.outcome)


@pytest.mark.parametrize("method", GONE)
def test_cancelled(served: Served, way: Way, method: str) -> None:
    """The method is told that its caller has gone."""
    served.robot.running.clear()
    go = way.begin(method)
    assert served.robot.running.wait(PATIENCE)
    served.robot.cancelled.clear()
    go()
    assert served.robot.cancelled.wait(PATIENCE)


def test_overloaded(
    door: str, route: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    robot = Robot()
    with (
        _serving(robot, pool_size=1, limits=zerorpc.Limits(waiting=1), grace=PATIENCE) as server,
        _reached(route, server) as front,
        zerorpc.Client(server.endpoints[0], plain=zerorpc.Plain(USER, PASSWORD), timeout=PATIENCE) as client,
    ):
        way = _way(door, Served(robot, front), monkeypatch, capsys, tmp_path)
        held = [client.occupy(async_=True), client.occupy(async_=True)]
        eventually(lambda: server._core.runners and server._core.runners._places.waiting == 1)
        try:
            outcome = way.call(OVERLOADED.method, OVERLOADED.arguments)
        finally:
            robot.free.set()
        for each in held:
            each.get()
        assert outcome._replace(message="") == way.as_told(OVERLOADED.outcome)
        eventually(lambda: way.call(OVERLOADED.method, OVERLOADED.arguments).value == 3)
