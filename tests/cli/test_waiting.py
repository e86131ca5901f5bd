"""What is said while a call waits for its server."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.service.running import serving, unused_port
from zerorpc.cli import main, waiting
from zerorpc.cli.waiting import failed, why_waiting
from zerorpc.transport.endpoints import parse
from zerorpc.transport.names import Name
from zerorpc.zmtp import Connection, SocketType

TIMEOUT = 3  # seconds; a loaded machine needs more than one until it has tried, and said so
COMMANDS = {"call": "{} m", "list": "{}", "schema": "schema {}", "bench": "bench {}"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine it takes more than half of a second to connect."""
    monkeypatch.setattr(waiting, "SILENT", 1.3)


def said_by(command: str, endpoint: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is said of an address that nobody answers at, and how it ends."""
    assert main([*COMMANDS[command].format(endpoint).split(), "--timeout", str(TIMEOUT), "--heartbeat", "5"]) == 1
    return told_by(capsys)


def told_by(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is on stderr. On a loaded machine it is said late, when less of the time is left."""
    return [re.sub(r"for [12] s$", f"for {TIMEOUT} s", line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_listens(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    connecting, told, _ = said_by(command, endpoint, capsys)
    assert connecting == f'Connecting to "{endpoint}"'
    assert told == f"nothing listens at {endpoint} (connection refused); still trying, for {TIMEOUT} s"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize("command", COMMANDS)
def test_a_peer_that_accepts_and_says_nothing(
    command: str, listening: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
    told = said_by(command, endpoint, capsys)[1]
    assert (
        told == f"connected to {endpoint}, but it doesn't speak (ZMTP greeting missing); still trying, for {TIMEOUT} s"
    )


def test_a_peer_that_only_greets(listening: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    def greet() -> None:
        sock = listening.accept()[0]
        accepted.append(sock)
        sock.sendall(b"".join(Connection(SocketType.ROUTER).take_output()))

    accepted: list[socket.socket] = []
    thread = threading.Thread(target=greet)
    thread.start()
    endpoint = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
    told = said_by("call", endpoint, capsys)[1]
    thread.join()
    accepted[0].close()
    assert told == f"connected to {endpoint}, and greeted; no answer yet; still trying, for {TIMEOUT} s"


def test_a_method_that_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    free = threading.Event()
    with serving({"m": free.wait}) as server:
        endpoint = server.endpoints[0]
        told = said_by("call", endpoint, capsys)
        free.set()
    assert told[1] == f"connected to {endpoint}, and greeted; no answer yet; still waiting, for {TIMEOUT} s"


def test_a_bench_that_has_connected_says_how_it_goes_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SILENT", 0.2)
    with serving({"nap": lambda: time.sleep(0.5)}) as server:
        assert main(["bench", server.endpoints[0], "nap", "--warmup", "0", "--duration", "0.5"]) == 0
    _, measuring, told = capsys.readouterr().err.partition("measuring")
    assert measuring
    assert "waiting" not in told


def test_an_ipc_path_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said_by("call", f"ipc://{tmp_path}/s", capsys)
    assert told[1] == f"nothing listens at ipc://{tmp_path}/s (no such file); still trying, for {TIMEOUT} s"


def test_nobody_comes_to_a_bound_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"ipc://{tmp_path}/s"
    assert main(["--bind", endpoint, "m", "--timeout", str(TIMEOUT), "--heartbeat", "5"]) == 1
    assert f"nobody has connected to {endpoint}; still trying, for {TIMEOUT} s" in told_by(capsys)


def test_a_worker_has_connected_to_a_bound_address() -> None:
    waits = SimpleNamespace(answered=False, timeout=30.0, deadline=131.0)
    peer = SimpleNamespace(ready=True, channels={b"id": waits})
    worker = SimpleNamespace(dialer=None, closed=False, name="tcp://10.0.0.1:4711", peer=peer)
    hub = SimpleNamespace(listeners={"tcp://10.0.0.9:1": None}, dialers={})
    core = SimpleNamespace(calls=SimpleNamespace(waiting=[]), hub=hub)
    told = "connected to tcp://10.0.0.1:4711, and greeted; no answer yet; still waiting, for 29 s"
    assert why_waiting(core, [worker], now=102.0) == told


def test_it_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = said_by("call", f"tcp://127.0.0.1:{unused_port()}", capsys)
    assert len([each for each in told if "still trying" in each]) == 1


def test_a_call_that_is_answered_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"m": lambda: 1}) as server:
        assert main([server.endpoints[0], "m"]) == 0
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_closed_stderr_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    client = SimpleNamespace(_core=SimpleNamespace(hub=SimpleNamespace()))
    waiting.tell_of_waiting(client)  # type: ignore[arg-type]
    assert not vars(client._core.hub)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("[Errno 111] Connect call failed ('::1', 1)", "nothing listens at A (connection refused)"),
        (str(OSError(errno.EHOSTUNREACH, "No route")), "A is unreachable (no route to host)"),
        (str(OSError(errno.ENETUNREACH, "No net")), "A is unreachable (network is unreachable)"),
        (str(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))), "A doesn't answer (timed out)"),
        ("no answer within 10 s", "A doesn't answer (timed out)"),
        ("not tried yet", "A doesn't answer"),
        ("the name 'a' can't be resolved: Not known", "the name 'a' isn't found (Not known)"),
        ("the peer speaks SSH, not ZMTP 3", "A: the peer speaks SSH, not ZMTP 3"),
        ("[Errno 13] Permission denied", "A: Permission denied"),
        ("\x1b[2J", "A: \\x1b[2J"),
    ],
)
def test_why_there_is_no_connection(status: str, told: str) -> None:
    assert failed("A", status) == told


REFUSED = OSError(errno.ECONNREFUSED, "Connection refused")


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        (["10.0.0.1"], "nothing listens at tcp://robot:1 (connection refused)"),
        (
            ["10.0.0.1", "10.0.0.2"],
            "nothing listens at tcp://10.0.0.1:1 (connection refused); tcp://10.0.0.2:1 doesn't answer",
        ),
    ],
)
def test_a_name_is_told_as_it_was_typed_unless_it_has_several_addresses(hosts: list[str], told: str) -> None:
    name = Name(parse("tcp://robot:1"))
    name.found([(socket.AF_INET, (host, 1)) for host in hosts], now=100.0)
    next(iter(name.dialers.values())).failed(REFUSED)
    waits = SimpleNamespace(answered=False, timeout=30.0, deadline=131.0)
    hub = SimpleNamespace(listeners={}, dialers={"tcp://robot:1": name})
    core = SimpleNamespace(calls=SimpleNamespace(waiting=[waits]), hub=hub)
    assert why_waiting(core, [], now=102.0) == f"{told}; still trying, for 29 s"
    assert why_waiting(core, [], now=101.001) is None  # it has only begun
