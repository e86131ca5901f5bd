"""systemd's notifications: that a server serves, that it lives, that it stops."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from math import inf
from pathlib import Path
from time import monotonic

import pytest

from tests.service.running import PATIENCE, Program
from zerorpc.server.systemd import Systemd

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is told by a Unix socket")


class Manager:
    """systemd's end."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(path)

    def heard(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    made = Manager(path)
    with made.socket:
        yield made


PROGRAM = """
import zerorpc
server = zerorpc.Server({{"m": lambda: 1}}, processes={processes}, grace=1)
print(*server.bind("tcp://127.0.0.1:0"), flush=True)
server.run()
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_says_that_it_serves_lives_and_stops(
    processes: int, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with Program(PROGRAM.format(processes=processes)) as program:
        assert manager.heard() == "READY=1"
        assert [manager.heard() for _ in range(5)] == ["WATCHDOG=1"] * 5
        program.signal(signal.SIGTERM)
        told = "WATCHDOG=1"
        while told == "WATCHDOG=1":
            told = manager.heard()
        assert told == "STOPPING=1"
        assert program.end()[0] == 0


BLOCKED = """
import threading, time, zerorpc
blocked = threading.Event()
async def block():
    blocked.set()
    time.sleep(1.5)
server = zerorpc.Server({"block": block}, grace=1)
endpoint, = server.bind("tcp://127.0.0.1:0")
def call():
    with zerorpc.Client(endpoint) as client:
        client.block()
    server.stop()
threading.Thread(target=call).start()
server.run()
"""


def test_a_loop_that_is_blocked_says_nothing(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    with Program(BLOCKED) as program:
        assert manager.heard() == "READY=1"
        longest, before = 0.0, monotonic()
        while manager.heard() != "STOPPING=1":
            longest, before = max(longest, monotonic() - before), monotonic()
        longest = max(longest, monotonic() - before)
        assert longest > 1.0
        assert program.end()[0] == 0


def test_nobody_is_told_who_has_not_asked() -> None:
    pid = str(os.getpid())
    assert Systemd.of({}) is None
    assert Systemd.of({"NOTIFY_SOCKET": "vsock:2:1234"}) is None
    for watchdog in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": pid + "0"}):
        systemd = Systemd.of({"NOTIFY_SOCKET": "/nowhere", **watchdog})
        assert systemd is not None
        systemd.ready()  # nobody is there: no error
        assert systemd.due == inf


def test_the_watchdog_hears_twice_as_often_as_it_wants_and_nothing_before_ready(manager: Manager) -> None:
    made = Systemd.of({"NOTIFY_SOCKET": os.environ["NOTIFY_SOCKET"], "WATCHDOG_USEC": "60000000"})
    assert made is not None
    made.watch(monotonic())
    made.ready()
    made.ready()
    assert [manager.heard() for _ in range(2)] == ["READY=1", "WATCHDOG=1"]
    assert 15 < made.due - monotonic() <= 30
    made.watch(made.due - 1)
    made.watch(made.due)
    made.stopping()
    assert [manager.heard() for _ in range(2)] == ["WATCHDOG=1", "STOPPING=1"]
    assert repr(made) == "<Systemd ready>"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket() -> None:
    name = f"zerorpc-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    with manager.socket:
        Systemd(f"@{name}").ready()
        assert manager.heard() == "READY=1"
