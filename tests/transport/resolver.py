"""A resolver that tells what a test wants of one name, ``service``."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from tests.service.running import PATIENCE

NAME = "tcp://service:4242"


class Resolver:
    """``addresses`` are those of the name, in order: (host, port). ``asked`` counts the look-ups of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = socket.getaddrinfo
        self.addresses: list[tuple[str, int]] = []
        self.answers = threading.Event()  # cleared, it hangs
        self.answers.set()
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._find)

    def _find(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "service":
            return self._real(host, port, *args, **kwargs)
        self.asked += 1
        addresses = list(self.addresses)
        if not self.answers.is_set():
            self.answers.wait(PATIENCE)
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [self._found(*address) for address in addresses]

    def _found(self, host: str, port: int) -> Any:
        if ":" in host:
            return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
        return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


def address_of(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host.strip("[]"), int(port)
