"""A running HAProxy with the configuration that we recommend, deploy/haproxy/haproxy.cfg, at addresses of a test."""

from __future__ import annotations

import contextlib
import csv
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.interop.requirements import needs
from tests.service.running import PATIENCE, eventually, unused_port

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
_SERVICE_ONLY = re.compile(r"^.*# service\n", re.MULTILINE)  # what takes root, and the folders of the Debian package


class Haproxy:
    """``endpoint`` is where clients connect; ``one`` and ``two`` are the servers' names."""

    def __init__(self, folder: Path, ports: Mapping[str, int], changes: Mapping[str, str]) -> None:
        program = needs("haproxy", "haproxy")
        port = unused_port()
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._admin = folder / "admin.sock"
        self._said = folder / "said"
        configuration = folder / "haproxy.cfg"
        addresses = {
            "/run/haproxy/admin.sock": str(self._admin),
            "bind :4242": f"bind 127.0.0.1:{port}",
            "192.0.2.1:4242": f"127.0.0.1:{ports['one']}",
            "192.0.2.2:4242": f"127.0.0.1:{ports['two']}",
        }
        configuration.write_text(_changed(CONFIGURATION.read_text(), {**addresses, **changes}))
        with self._said.open("w") as said:
            self._process = subprocess.Popen([program, "-db", "-f", str(configuration)], stdout=said, stderr=said)

    def wait_until(self, **states: str) -> None:
        """Until health checks have found the servers so, as in ``wait_until(one="UP", two="DOWN")``."""

        def has_found() -> bool:
            assert self._process.poll() is None, f"HAProxy ended:\n{self.said()}"
            servers = self.servers()
            return all(server in servers and _found(servers[server]) == state for server, state in states.items())

        eventually(has_found, f"{states} in {self.said()}")

    def servers(self) -> dict[str, dict[str, str]]:
        """What HAProxy's ``show stat`` has about each server; empty while it is starting."""
        lines = self._ask("show stat").removeprefix("# ").splitlines()
        rows = csv.DictReader(line for line in lines if line)
        return {row["svname"]: row for row in rows if row["svname"] in ("one", "two")}

    def sessions(self) -> int:
        """How many clients are connected."""
        return sum(int(server["scur"]) for server in self.servers().values())

    def _ask(self, command: str) -> str:
        answer = b""
        with socket.socket(socket.AF_UNIX) as admin, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            admin.settimeout(PATIENCE)
            admin.connect(str(self._admin))
            admin.sendall(command.encode() + b"\n")
            while chunk := admin.recv(65536):
                answer += chunk
        return answer.decode(errors="replace")  # the check's octets are in it as they are

    def said(self) -> str:
        return self._said.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)


def _changed(text: str, changes: Mapping[str, str]) -> str:
    text = _SERVICE_ONLY.sub("", text)
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} is not, or not only once, in {CONFIGURATION}"
        text = text.replace(old, new)
    return text


def _found(server: Mapping[str, str]) -> str:
    """Servers begin as UP; only the first check finds out."""
    return server["status"] if server["check_status"] else "not checked yet"


@contextlib.contextmanager
def haproxy(ports: Mapping[str, int], changes: Mapping[str, str] | None = None) -> Iterator[Haproxy]:
    """HAProxy before servers at these ports of this machine; ``changes`` are replacements in its configuration."""
    with tempfile.TemporaryDirectory(prefix="zh-", dir="/tmp") as folder:
        with contextlib.closing(Haproxy(Path(folder), ports, changes or {})) as running:
            yield running
