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
from zerorpc.settings import ServerSettings, declared


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


def test_every_setting_of_a_server_has_a_flag() -> None:
    assert settings_of() == ServerSettings()
    given = {
        "pool_size": 3, "max_wait": 2.5, "heartbeat": 7, "processes": 2, "grace": 0, "proxy_protocol": True,
        "answers": "answers.sqlite",
    }  # fmt: skip
    assert set(given) == set(declared(ServerSettings))
    for name, value in given.items():
        flag = f"--{name.replace('_', '-')}"
        made = settings_of(flag) if value is True else settings_of(flag, str(value))
        assert made == ServerSettings(**{name: value})
