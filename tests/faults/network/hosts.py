"""Hosts: network namespaces with a network interface, an address and a TCP stack of their own, joined by cables.

A cable runs through a patch panel (programs/panel.py) in a namespace of its own, so that it can be cut, or spoilt in
other ways, without either host's link going down. Names begin with the number of this process, so that several runs
don't meet; what a killed run has left is removed by the next.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.driver.programs import Program
from tests.interop.requirements import missing, needs

ROOT = Path(__file__).parents[3]
PATIENCE = 30  # s for a command of the system
_PREFIX = "zrpc-"
_numbers = itertools.count(1)


class Network:
    """Any number of hosts, and the panel where their cables meet. `close` removes all of it."""

    def __init__(self) -> None:
        self._ip = needs("ip", "iproute2")
        _remove_leftovers(self._ip)
        self._namespaces: list[str] = []
        self._lock = threading.Lock()
        self._answers: dict[int, queue.Queue[float]] = {}
        self.panel_space = self._namespace("panel")
        try:
            panel = [sys.executable, "-I", "-S", str(Path(__file__).parent / "programs" / "panel.py")]
            self._panel = _Panel([self._ip, "netns", "exec", self.panel_space, *panel], self._answers)
        except BaseException:
            self.close()
            raise

    def _namespace(self, what: str) -> str:
        name = f"{_PREFIX}{os.getpid()}-{what}"
        try:
            self.ip(f"netns add {name}")
        except subprocess.CalledProcessError as error:
            missing(f"network namespaces can't be made here ({error.stderr.strip()}): run as root")
        with self._lock:
            self._namespaces.append(name)
        self.ip("link set lo up", inside=name)
        return name

    def ip(self, *lines: str, inside: str | None = None) -> None:
        """Commands of `ip`, in a namespace. Raises CalledProcessError."""
        where = ["-n", inside] if inside else []
        subprocess.run(
            [self._ip, *where, "-batch", "-"],
            input="\n".join(lines),
            text=True,
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )

    def host(self, address: str, plugged: bool = True) -> Host:
        """A new host. One that isn't plugged in has its interface down."""
        port = f"p{next(_numbers)}"
        space = self._namespace(port)
        self.ip(
            f"link add {port} type veth peer name {port}h",
            f"link set {port} up",
            inside=self.panel_space,
        )
        self.order(do="plain", interfaces=[f"{port}h"])
        self.ip(f"link set {port}h netns {space}", inside=self.panel_space)
        self.ip(f"link set {port}h name eth0", f"address add {address}/24 dev eth0", inside=space)
        host = Host(self, space, port, address)
        # It says that the address is its own when it comes up, or others would go on sending to who had it before.
        host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/arp_notify")
        if plugged:
            host.up()
        return host

    def cable(self, one: Host, other: Host) -> Cable:
        cable = Cable(self, f"{one.port}-{other.port}")
        cable.plug(one, other)
        return cable

    def order(self, **fields: Any) -> float:
        """Tell the panel; the moment in time.monotonic() from which on it holds."""
        number = next(_numbers)
        answer = self._answers[number] = queue.Queue()
        with self._lock:
            self._panel.write({"number": number, **fields})
        try:
            return answer.get(timeout=PATIENCE)
        except queue.Empty:
            self._panel.end()
            raise RuntimeError(f"the panel didn't obey {fields}: {self._panel.stderr}") from None

    def remove(self, namespace: str) -> None:
        with self._lock:
            if namespace not in self._namespaces:
                return
            self._namespaces.remove(namespace)
        self.ip(f"netns delete {namespace}")

    def close(self) -> None:
        """Remove everything; the programs of the hosts have to have ended."""
        if hasattr(self, "_panel"):
            self._panel.end()
        for namespace in list(self._namespaces):
            self.remove(namespace)


class _Panel(Program):
    def __init__(self, command: list[str], answers: dict[int, queue.Queue[float]]) -> None:
        self._answers = answers
        super().__init__(command)

    def take(self, fields: dict[str, Any]) -> None:
        self._answers.pop(fields["number"]).put(fields["at"])


class Host:
    """A namespace with one interface."""

    def __init__(self, network: Network, namespace: str, port: str, address: str) -> None:
        self._network = network
        self.namespace = namespace
        self.port = port
        self.address = address

    def command(self, module: str, *options: object) -> list[str]:
        """What runs a program of ours there. The process is the program itself, and can be signalled as such."""
        return [*self._inside, sys.executable, "-m", f"tests.faults.network.programs.{module}", *map(str, options)]

    @property
    def _inside(self) -> list[str]:
        return [self._network._ip, "netns", "exec", self.namespace]

    def run(self, *command: str) -> str:
        done = subprocess.run([*self._inside, *command], check=True, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout

    def up(self) -> None:
        """The interface comes up, and tells everybody whose the address is now."""
        self._network.ip("link set eth0 up", inside=self.namespace)

    def connections(self) -> int:
        """How many TCP connections are established on it."""
        lines = self.run("cat", "/proc/net/tcp").splitlines()[1:]
        return sum(line.split()[3] == "01" for line in lines)

    def remove(self) -> None:
        """It is gone, and so are the connections: no FIN passes a cable that was cut before."""
        self._network.remove(self.namespace)


class Cable:
    """Between two hosts. Each change returns the moment from which on it holds."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name

    def plug(self, one: Host, other: Host) -> float:
        """Its ends: 0 and 1."""
        return self._network.order(do="join", cable=self._name, ports=[one.port, other.port])

    def spoil(self, *, towards: tuple[int, ...] = (0, 1), **faults: Any) -> float:
        """Faults as panel.py's Direction.set has them, towards either end or both."""
        return self._network.order(do="set", cable=self._name, towards=towards, **faults)

    def cut(self, *, towards: tuple[int, ...] = (0, 1)) -> float:
        return self.spoil(towards=towards, cut=True)

    def heal(self) -> float:
        return self.spoil()


def environment() -> dict[str, str]:
    """In which programs on hosts find the tests' modules."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        made.close()


def _remove_leftovers(ip: str) -> None:
    """Namespaces of runs that were killed. Their processes have ended with their stdin."""
    listed = subprocess.run([ip, "netns", "list"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    for name in re.findall(rf"^{_PREFIX}\d+-\w+", listed.stdout, re.MULTILINE):
        if not Path(f"/proc/{name.split('-')[1]}").exists():
            subprocess.run([ip, "netns", "delete", name], check=False, capture_output=True, timeout=PATIENCE)
