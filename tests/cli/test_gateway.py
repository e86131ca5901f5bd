"""``zerorpc gateway``: which flag is for which side, and one as a user starts it. What it does: tests/forwarding."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

import zerorpc
from tests.certificates import certificates
from tests.cli.programs import Program
from tests.service.running import PATIENCE, eventually, serving
from zerorpc.cli import main
from zerorpc.cli.arguments import command_of
from zerorpc.client.asynchronous import AsyncClient
from zerorpc.keys import KeyPair, encode_z85

BEHIND, FRONT = "tcp://127.0.0.1:9", "tcp://127.0.0.1:0"


class Server(zerorpc.Server):
    """Notes what was made, and serves nobody."""

    made: ClassVar[list[Server]] = []

    def run(self) -> None:
        self.made.append(self)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(zerorpc, "Server", Server)
    yield
    signal.signal(signal.SIGTERM, before)


def made(*words: str) -> tuple[Server, AsyncClient]:
    """What a command line makes: the server, and the client of the server behind it."""
    assert main(["gateway", *words]) == 0
    server = Server.made.pop()
    (source,) = server._core.registry.sources._prefixes  # type: ignore[union-attr]
    assert isinstance(source, zerorpc.RemoteService)
    return server, source._client


@pytest.mark.usefixtures("noted")
def test_each_flag_is_for_one_side(capsys: pytest.CaptureFixture[str]) -> None:
    server, client = made(BEHIND, "--bind", FRONT)
    assert capsys.readouterr().err.splitlines()[-1] == f'forwarding to "{BEHIND}"'
    assert list(client._core.hub.dialers) == [BEHIND]
    assert (client.timeout, client._core.settings.passive_heartbeat) == (None, True)
    assert server._core.settings.pool_size is None
    server, client = made(BEHIND, "--timeout", "3", "--pool-size", "7", "--bind", FRONT, "--deny", "a*", "--active-hb")
    assert (client.timeout, server._core.settings.pool_size, server._core.settings.deny) == (3, 7, ("a*",))
    assert not client._core.settings.passive_heartbeat
    key = encode_z85(KeyPair.generate().public)
    server, client = made(BEHIND, "--curve-server", key, "--bind", FRONT)
    assert server._core.settings.curve is None
    assert client._core.settings.curve is not None


@pytest.mark.usefixtures("noted")
def test_certificates_are_for_one_side(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--tls-cert", certificates().server, "--tls-key", certificates().server_key]
    authority = certificates().ca
    server, client = made(BEHIND, *files, "--bind", "tls+tcp://127.0.0.1:0")
    assert (server._core.settings.tls is not None, client._core.settings.tls) == (True, None)
    server, client = made("tls+tcp://127.0.0.1:9", "--tls-ca", authority, "--bind", FRONT)
    assert (server._core.settings.tls, client._core.settings.tls is not None) == (None, True)
    assert main(["gateway", BEHIND, "--tls-ca", authority, "--bind", FRONT]) == 2
    assert f"--tls-ca does nothing at {BEHIND}, which is in clear" in capsys.readouterr().err
    assert main(["gateway", "tls+tcp://127.0.0.1:9", *files, "--bind", FRONT]) == 2
    assert f"--tls-cert does nothing at {FRONT}, which is in clear" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the address of one server is needed"),
        ([BEHIND], "it has to listen somewhere"),
        ([BEHIND, BEHIND, "--bind", FRONT], "the address of one server is needed"),
        (["nonsense", "--bind", FRONT], "'nonsense' is no endpoint"),
        ([BEHIND, "--bind", FRONT, "--pair"], "unrecognized arguments: --pair"),
        ([BEHIND, "--bind", FRONT, "--rights", "/nowhere"], "no rights: "),
    ],
)
def test_what_is_wrong_is_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--help", "-?"])
def test_the_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", flag]) == 0
    told = capsys.readouterr().out
    assert "gateway [options] address --bind address" in told
    assert "get its first reply (client only, default no limit)" in " ".join(told.split())


def test_it_is_a_command_only_as_the_first_word() -> None:
    assert command_of(["gateway", BEHIND, "--bind", FRONT]) == "gateway"
    assert command_of(["gateway", "--connect", BEHIND]) is None
    assert command_of(["--server", "--bind", FRONT, "gateway"]) is None
    assert command_of(["ping", "--bind", FRONT]) is None


class Service:
    def add(self, a: int, b: int) -> int:
        return a + b


@pytest.mark.parametrize("processes", [1, 2])
def test_as_a_user_starts_it(processes: int, tmp_path: Path) -> None:
    with serving(Service()) as server:
        behind = server.endpoints[0]
        words = ["gateway", behind, "--bind", "http://127.0.0.1:0", "--bind", FRONT, "--processes", str(processes)]
        program = Program(*words, folder=tmp_path)
        try:
            http, tcp = (program.wait_for(f'binding to "({kind}://.*)"')[1] for kind in ("http", "tcp"))
            program.wait_for("forwarding to")
            with zerorpc.Client(tcp, timeout=PATIENCE) as client:
                assert client.add(1, b=2) == 3
                others = [zerorpc.Client(tcp, timeout=PATIENCE) for _ in range(3)]
                assert [other.add(1, 2) for other in others] == [3] * 3
                for other in others:
                    other.close()
            answer = httpx.post(f"{http}/call/add", json={"a": 1, "b": 2}, timeout=PATIENCE)
            assert (answer.status_code, answer.json()) == (200, 3)
            eventually(lambda: len(server._core.hub.links) == processes)  # one process may have started late
            program.interrupt()
            assert program.finish().code == 0
        finally:
            program.end()
        eventually(lambda: not server._core.hub.links)
