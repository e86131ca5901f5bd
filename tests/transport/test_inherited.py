"""Listening sockets that were passed on: by number, by systemd's names, to real processes, and what is refused."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, Program, on_thread
from zerorpc.errors import AddressInUse, EndpointError

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="descriptors are passed on by Unix systems")


def listening(address: object = ("127.0.0.1", 0), family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(address)  # type: ignore[arg-type]
    sock.listen()
    return sock


@contextlib.contextmanager
def given(sock: socket.socket) -> Iterator[int]:
    """Its descriptor, which is the taker's from now on."""
    number = sock.detach()
    yield number
    with contextlib.suppress(OSError):
        os.close(number)


def called(endpoint: str, **options: object) -> str:
    with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30.0, **options) as client:  # type: ignore[arg-type]
        answer: str = client.hello()
        return answer


def server(**options: object) -> zerorpc.Server:
    return zerorpc.Server({"hello": lambda: "hello"}, heartbeat=30.0, grace=0.1, **options)  # type: ignore[arg-type]


def test_a_socket_of_tcp_by_its_number() -> None:
    with given(listening()) as number, server() as made:
        (endpoint,) = made.bind(f"fd://{number}")
        assert endpoint.startswith("tcp://127.0.0.1:")
        assert made.endpoints == [endpoint]
        with on_thread(made):
            assert called(endpoint) == "hello"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


@pytest.mark.skipif(not socket.has_ipv6, reason="this system has no IPv6")
def test_a_socket_of_ipv6() -> None:
    with given(listening(("::1", 0), socket.AF_INET6)) as number, server() as made:
        (endpoint,) = made.bind(f"fd://{number}")
        assert endpoint.startswith("tcp://[::1]:")
        with on_thread(made):
            assert called(endpoint) == "hello"


def test_an_ipc_path_which_stays_as_it_is_its_makers(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with given(listening(str(path), socket.AF_UNIX)) as number, server() as made:
        assert made.bind(f"fd://{number}") == [f"ipc://{path}"]
        with on_thread(made):
            assert called(f"ipc://{path}") == "hello"
    assert path.is_socket()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_an_abstract_name() -> None:
    name = f"zerorpc-inherited-{os.getpid()}"
    with given(listening(f"\0{name}", socket.AF_UNIX)) as number, server() as made:
        assert made.bind(f"fd://{number}") == [f"ipc://@{name}"]
        with on_thread(made):
            assert called(f"ipc://@{name}") == "hello"


def test_with_tls() -> None:
    made = certificates()
    with given(listening()) as number, server(tls=made.serves) as served:
        (endpoint,) = served.bind(f"tls+fd://{number}")
        assert endpoint.startswith("tls+tcp://127.0.0.1:")
        with on_thread(served):
            assert called(endpoint.replace("127.0.0.1", "localhost"), tls=made.trusts) == "hello"


def test_a_puller_takes_one_too() -> None:
    with given(listening()) as number, zerorpc.Puller({"m": lambda: None}) as puller:
        assert puller.bind(f"fd://{number}")[0].startswith("tcp://127.0.0.1:")


def test_systemds_names_stand_for_all_that_have_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bound: list[int]
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDNAMES", ":".join(["other"] * (bound[0] - 3) + ["web", "x", "web"]))
    with server() as made:
        assert len(made.bind("fd://web")) == 2
        with pytest.raises(EndpointError, match="no socket of this name was passed, only other"):
            made.bind("fd://nothing")


@pytest.fixture
def bound() -> Iterator[list[int]]:
    """Three sockets, whose descriptors follow each other."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(listening()) for _ in range(3)]
        first = max(sock.fileno() for sock in socks) + 50
        for number, sock in enumerate(socks, first):
            os.dup2(sock.fileno(), number)
        yield list(range(first, first + 3))
        for number in range(first, first + 3):
            with contextlib.suppress(OSError):
                os.close(number)


def test_names_are_for_the_process_that_they_were_passed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDNAMES", "web")
    with server() as made, pytest.raises(EndpointError, match="LISTEN_PID isn't its own"):
        made.bind("fd://web")


def test_what_is_no_listening_socket_is_refused_and_stays_open() -> None:
    with server() as made, socket.socket() as idle, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        reading, writing = os.pipe()
        for number, why in [
            (idle.fileno(), "no socket that listens"),
            (datagram.fileno(), "no socket that listens"),
            (reading, "is no socket"),
            (987_654, "is no socket: Bad file descriptor"),
        ]:
            with pytest.raises(EndpointError, match=why):
                made.bind(f"fd://{number}")
        for number in (idle.fileno(), datagram.fileno(), reading):
            os.fstat(number)
        os.close(reading)
        os.close(writing)
        with pytest.raises(EndpointError, match="nothing after the scheme"):
            made.bind("fd://")
        with pytest.raises(EndpointError):
            made.bind("fd://" + "9" * 50)


def test_the_same_one_twice(tmp_path: Path) -> None:
    with listening() as sock, server() as made:
        made.bind(f"fd://{os.dup(sock.fileno())}")
        with pytest.raises(AddressInUse):
            made.bind(f"fd://{sock.fileno()}")
        os.fstat(sock.fileno())


def test_what_does_not_fit(tmp_path: Path) -> None:
    with listening(str(tmp_path / "s"), socket.AF_UNIX) as sock, server(tls=certificates().serves) as made:
        with pytest.raises(EndpointError, match="which TLS needs"):
            made.bind(f"tls+fd://{sock.fileno()}")
        with pytest.raises(EndpointError, match="mode and owner"):
            made.bind(f"fd://{sock.fileno()}", mode=0o600)
    with zerorpc.Client() as client, pytest.raises(EndpointError, match="it is for bind"):
        client.connect("fd://3")


# Real processes

PASS_ON = """
import fcntl, os, sys
numbers, names, command = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
above = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in numbers]
for place, number in enumerate(above, 3):
    os.dup2(number, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


class Activated(Program):
    """A program that gets sockets as systemd passes them on."""

    def __init__(self, socks: dict[str, socket.socket], *command: str) -> None:
        numbers = [sock.fileno() for sock in socks.values()]
        super().__init__(PASS_ON, ",".join(map(str, numbers)), ":".join(socks), *command, pass_fds=numbers)


SERVE = """
import zerorpc
server = zerorpc.Server({"hello": lambda: "hello"}, processes=%d, grace=1)
server.bind("fd://3")
server.bind("fd://local")
print("bound", flush=True)
server.run()
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_process_serves_what_it_was_passed_also_who_came_before(processes: int, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening() as tcp, listening(str(path), socket.AF_UNIX) as unix:
        endpoint = f"tcp://127.0.0.1:{tcp.getsockname()[1]}"
        with zerorpc.Client(endpoint, timeout=PATIENCE) as early:
            waiting = early.hello(async_=True)  # nobody serves yet
            with Activated({"web": tcp, "local": unix}, sys.executable, "-c", SERVE % processes) as program:
                assert program.line() == "bound"
                assert waiting.get() == "hello"
                assert called(f"ipc://{path}") == "hello"
                program.signal(signal.SIGTERM)
                assert program.end()[0] == 0
    assert path.is_socket()


def test_the_command_line_serves_it() -> None:
    with listening() as tcp:
        endpoint = f"tcp://127.0.0.1:{tcp.getsockname()[1]}"
        command = (sys.executable, "-m", "zerorpc", "--server", "--bind", "fd://3", "time")
        with Activated({"time": tcp}, *command) as program:
            with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
                assert client.time() > 0
            program.signal(signal.SIGTERM)
            code, _, said = program.end()
    assert code == 0
    assert 'binding to "fd://3"' in said
