"""Binding and connecting as the command line says, and the warning about open ports."""

from __future__ import annotations

import pytest

from zerorpc.cli.arguments import parse
from zerorpc.cli.links import open_links
from zerorpc.cli.usage import UsageError


class FakeSocket:
    """Remembers its links; a port 0 becomes 5555."""

    def __init__(self) -> None:
        self.links: list[str] = []

    def bind(self, endpoint: str, *, mode: int | None = None, owner: str | None = None) -> list[str]:
        self.links.append(f"bind {endpoint}")
        if (mode, owner) != (None, None):
            self.links[-1] += f" {mode:o} {owner}"
        if owner == "stranger":
            raise ValueError("owner: this system has no user 'stranger'")
        return [endpoint.replace("*:", "0.0.0.0:").replace(":0", ":5555").replace("//0:", "//0.0.0.0:")]

    def connect(self, endpoint: str) -> None:
        self.links.append(f"connect {endpoint}")


def test_every_link_is_made_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    socket = FakeSocket()
    line = "--connect ipc://a --bind ipc://b --bind tcp://127.0.0.1:1 --connect tcp://[::1]:2 method"
    open_links(socket, parse(line.split()), "told")
    links = ["bind ipc://b", "bind tcp://127.0.0.1:1", "connect ipc://a", "connect tcp://[::1]:2"]
    assert socket.links == links
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        'binding to "ipc://b"',
        'binding to "tcp://127.0.0.1:1"',
        'Connecting to "ipc://a"',
        'Connecting to "tcp://[::1]:2"',
    ]


def test_a_chosen_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    open_links(FakeSocket(), parse(["--bind", "tcp://127.0.0.1:0", "method"]), "told")
    assert capsys.readouterr().err == 'binding to "tcp://127.0.0.1:5555"\n'


def test_a_public_interface_is_one_line_of_warning(capsys: pytest.CaptureFixture[str]) -> None:
    open_links(FakeSocket(), parse(["--bind", "tcp://0:1234", "method"]), "anyone may call it")
    assert capsys.readouterr().err.splitlines() == [
        'binding to "tcp://0:1234"',
        'warning: "tcp://0:1234" is open to the network: anyone may call it',
    ]


def test_no_warning_if_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    open_links(FakeSocket(), parse(["--anyone-may-call", "--bind", "tcp://0:1234", "method"]), "anyone may call it")
    assert capsys.readouterr().err.splitlines() == ['binding to "tcp://0:1234"']


@pytest.mark.parametrize(("flags", "warned"), [([], True), (["--tls-ca", "ca.pem"], False)])
def test_whoever_has_to_have_a_certificate_is_not_anyone(
    flags: list[str], warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    open_links(FakeSocket(), parse([*flags, "--bind", "tls+tcp://0:1234", "method"]), "anyone may call it")
    assert ("open to the network" in capsys.readouterr().err) == warned


def test_the_mode_and_owner_of_ipc_paths() -> None:
    socket = FakeSocket()
    line = "--ipc-mode 660 --ipc-owner robot:lab --bind ipc:///run/a --bind tcp://127.0.0.1:1 --connect ipc://b method"
    open_links(socket, parse(line.split()), "told")
    assert socket.links == ["bind ipc:///run/a 660 robot:lab", "bind tcp://127.0.0.1:1", "connect ipc://b"]


def test_an_owner_that_is_none() -> None:
    with pytest.raises(UsageError) as raised:
        open_links(
            FakeSocket(), parse(["--ipc-mode", "0", "--ipc-owner", "stranger", "--bind", "ipc://a", "method"]), "told"
        )
    assert raised.value.problem == "--ipc-owner stranger: owner: this system has no user 'stranger'"


@pytest.mark.parametrize("text", ["", "8", "1777", "-1", "0o660", "rw", "00660", "６60"])
def test_a_mode_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not a mode such as 660"):
        parse(["--ipc-mode", text, "--bind", "ipc://a", "method"])
