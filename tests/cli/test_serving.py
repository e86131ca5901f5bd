"""What the command line serves, and how."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import zerorpc
from zerorpc.cli import main
from zerorpc.cli.arguments import parse
from zerorpc.cli.usage import UsageError
from zerorpc.keys import KeyPair, encode_z85, write_certificates
from zerorpc.settings import ServerSettings, declared, from_arguments


class Server(zerorpc.Server):
    """Notes its settings, and serves nobody."""

    made: ClassVar[list[Server]] = []

    def run(self) -> None:
        self.made.append(self)


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(zerorpc, "Server", Server)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(tmp_path)
    yield
    signal.signal(signal.SIGTERM, before)


def settings_of(*flags: str) -> ServerSettings:
    assert main(["--server", *flags, "--bind", "tcp://127.0.0.1:0", "time"]) == 0
    return Server.made.pop()._core.settings


def test_os_is_not_served_to_other_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "--bind", "tcp://0:0", "os"]) == 2
    told = capsys.readouterr().err
    assert '"os" would let whoever reaches "tcp://0:0" run programs here, or read and write files\n' in told
    assert "--allow method" in told
    assert not Server.made
    assert main(["--server", "--bind", "tcp://0:0", "--allow", "getcwd", "os"]) == 0
    assert list(Server.made.pop()._core.registry.methods) == ["getcwd"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("service = {'a': 1}", "the method 'a' has to be a function, not a value of type int"),
        ("service = {1: print}", "a method's name has to be a str, not 1"),
        ("from subprocess import check_output", "the module served_here has only functions that it imports, such as"),
        ("__all__ = 'hello'", "__all__ of the module served_here has to be a list of names"),
    ],
)
def test_what_is_no_service_is_told_in_a_line(
    source: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "served_here.py").write_text(source)
    target = "served_here:service" if source.startswith("service") else "served_here"
    try:
        assert main(["--server", "--bind", "tcp://127.0.0.1:0", target]) == 2
    finally:
        del sys.modules["served_here"]
    assert f'"{target}" can\'t be served: {why}' in capsys.readouterr().err
    assert not Server.made


def test_every_setting_of_a_server_has_a_flag() -> None:
    assert settings_of() == ServerSettings()
    given = {
        "pool_size": 3, "max_wait": 2.5, "heartbeat": 7, "processes": 2, "grace": 0, "proxy_protocol": True,
        "answers": "answers.sqlite", "allow": "get_*", "deny": "get_up", "tools": "get_o*",
         "anyone_may_call": True,
        "any_types": True, "strict_types": True, "check_results": True, "log_calls": True, "metrics": True,
        "origins": "https://app.example.org", "console": False,
    }  # fmt: skip
    assert set(given) == set(declared(ServerSettings)) - {
        "tls",
        "curve",
        "plain",
        "authenticator",
        "authorizer",
        "limits",
        "ready",
        "on_call",
        "on_connection",
    }  # several flags, or files
    for name, value in given.items():
        flag = f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
        made = settings_of(flag) if isinstance(value, bool) else settings_of(flag, str(value))
        assert made == from_arguments(ServerSettings, ServerSettings(**{name: value})._asdict())


def test_the_rights_are_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rights.toml"
    path.write_text('[identities.me]\nendpoints = ["*"]\nroles = ["all"]\n[roles.all]\nallow = ["sleep"]\n')
    assert main(["--server", "--rights", str(path), "--bind", "tcp://0:0", "time"]) == 0
    assert "open to the network" not in capsys.readouterr().err  # everybody is asked
    made = Server.made.pop()._core.settings
    assert made.authenticator is not None
    assert made.authorizer is not None
    assert made.authenticator(zerorpc.Caller("tcp://1.2.3.4:5", "x")) == "me"
    assert [made.authorizer("me", name) for name in ("sleep", "time")] == [True, False]
    for bad in ("missing.toml", tmp_path):
        assert main(["--server", "--rights", str(bad), "--bind", "tcp://127.0.0.1:0", "time"]) == 2
        assert "no rights: " in capsys.readouterr().err
    assert not Server.made


def test_the_keys_are_in_files(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    public, secret = write_certificates(tmp_path, "server", pair)
    assert settings_of("--curve", secret) == ServerSettings(curve=zerorpc.Curve(pair.secret))
    assert settings_of("--curve", secret, "--curve-server", public).curve == zerorpc.Curve(pair.secret, pair.public)
    assert settings_of("--curve-server", encode_z85(pair.public)).curve.server == pair.public  # type: ignore[union-attr]
    with pytest.raises(UsageError, match=r"no key for CURVE: .*server\.key has a public key only"):
        parse(["--server", "--curve", public, "tcp://127.0.0.1:0", "time"])
