"""``zerorpc doctor``, against what goes wrong in practice."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, eventually, serving, unused_port
from zerorpc.cli import main

TLS = "tls+tcp://localhost:0"
Findings = dict[str, dict[str, str]]


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])


@pytest.fixture
def found(capsys: pytest.CaptureFixture[str]) -> Callable[..., Findings]:
    def ask(*words: str, code: int) -> Findings:
        assert main(["doctor", "--json", *words]) == code
        return {each["check"]: each for each in json.loads(capsys.readouterr().out)}

    return ask


@contextlib.contextmanager
def talking(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A program that isn't zerorpc's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=[listener.accept()[0]], daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(connection: socket.socket) -> None:
    while data := connection.recv(100):
        if b"HTTP/1" in data:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            return


def ssh(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    connection.recv(100)


def tls(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # an alert: protocol version


def test_a_service_that_is_well(found: Callable[..., Findings]) -> None:
    with serving({"m": lambda: 1}) as server:
        told = found(server.endpoints[0], code=0)
    assert set(told) >= {"name", "port", "handshake", "peer", "answer", "round trip", "inspect"}
    assert {told[each]["verdict"] for each in ("name", "port", "handshake", "peer", "answer", "inspect")} == {"ok"}
    assert "NULL" in told["handshake"]["found"]


def test_one_line_per_check_and_the_remedy_below(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    assert main(["doctor", endpoint]) == 1
    *_, name, port, remedy = capsys.readouterr().out.splitlines()
    assert name == "ok       name: 127.0.0.1 is 127.0.0.1"
    assert port == f"fault    port: nothing listens at {endpoint} (connection refused)"
    assert remedy.startswith("         -> start the service")


@pytest.mark.parametrize("asked", ["-?", "--help"])
def test_its_help(capsys: pytest.CaptureFixture[str], asked: str) -> None:
    assert main(["doctor", asked]) == 0
    assert "what to do if it isn't ok" in capsys.readouterr().out


def test_a_name_that_is_nobodys(found: Callable[..., Findings]) -> None:
    told = found("tcp://nobody.invalid:4242", code=1)
    assert told["name"]["found"].startswith("nobody.invalid isn't found")
    assert "port" not in told


@pytest.mark.parametrize(("program", "name"), [(http, "HTTP"), (ssh, "SSH"), (tls, "TLS")])
def test_another_protocol(found: Callable[..., Findings], program: Callable[..., None], name: str) -> None:
    with talking(program) as endpoint:
        told = found("--timeout", "1.5", endpoint, code=1)
    assert name in told["answer"]["found"]
    assert told["answer"]["verdict"] == "fault"
    assert (name == "TLS") == ("tls+tcp://" in told["answer"]["remedy"])


@pytest.mark.parametrize(
    ("bound", "typed", "remedy"),
    [
        (TLS, "tcp", "type tls+tcp:// instead of tcp://"),
        (TLS, "tls+tcp", "give --tls-ca"),
        ("tcp://127.0.0.1:0", "tls+tcp", "type tcp:// instead of tls+tcp://"),
    ],
)
def test_tls_at_one_end_only_and_a_certificate_of_nobody_known(
    found: Callable[..., Findings], bound: str, typed: str, remedy: str
) -> None:
    tls = certificates().serves if bound == TLS else None
    with serving({"m": lambda: 1}, bind=bound, tls=tls) as server:
        told = found(f"{typed}://{server.endpoints[0].partition('://')[2]}", code=1)
    assert told["port"]["verdict"] == "ok"
    assert told["answer"]["remedy"].startswith(remedy)


def test_a_server_that_wants_a_password(found: Callable[..., Findings]) -> None:
    def nobody(caller: object) -> None:
        return None

    with serving({"m": lambda: 1}, plain=zerorpc.Plain(in_clear=True), authenticator=nobody) as server:
        told = found(server.endpoints[0], code=1)
    assert "PLAIN" in told["answer"]["found"]
    assert "--user" in told["answer"]["remedy"]


def test_a_blocked_event_loop(found: Callable[..., Findings]) -> None:
    over, blocked = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        time.sleep(0.4)  # noqa: ASYNC251 - the fault that is looked for

    def keep_blocking(endpoint: str) -> None:
        with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30.0) as client:
            while not over.is_set():
                client("block")

    with serving({"block": block}) as server:
        thread = threading.Thread(target=keep_blocking, args=[server.endpoints[0]])
        thread.start()
        try:
            eventually(blocked.is_set)
            told = found("--timeout", str(PATIENCE), server.endpoints[0], code=0)
        finally:
            over.set()
            thread.join()
    assert told["round trip"]["verdict"] == "warning"
    assert "block the event loop" in told["round trip"]["remedy"]
