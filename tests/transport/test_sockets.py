"""Listening sockets of each scheme, the life of an ipc file, and what connected sockets are tuned to."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import Program, eventually
from zerorpc.errors import AddressInUse, EndpointError
from zerorpc.transport import sockets
from zerorpc.transport.endpoints import parse
from zerorpc.transport.sockets import (
    Listener,
    connect_blocking,
    lead_nowhere,
    listen,
    open_socket,
    taken_octets,
    tune,
    unsent_octets,
)


@pytest.fixture
def path(ipc_endpoint: str) -> Path:
    return Path(ipc_endpoint.removeprefix("ipc://"))


def bound(text: str) -> Listener:
    return listen(parse(text))


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://*:0", "tcp://0:*", "tcp://[::1]:0"])
def test_the_port_that_the_system_chose_is_readable(text: str) -> None:
    listener = bound(text)
    host, _, port = listener.endpoint.rpartition(":")
    assert host == text.rpartition(":")[0]
    assert 0 < int(port) < 65536
    assert repr(listener) == f"<Listener {listener.endpoint}>"
    with pytest.raises(BlockingIOError):
        listener.accept()
    connected = socket.create_connection(("::1" if "[" in text else "127.0.0.1", int(port)))
    listener.accept().close()
    connected.close()
    listener.close()


def test_a_taken_tcp_address() -> None:
    listener = bound("tcp://127.0.0.1:0")
    with pytest.raises(AddressInUse) as caught:
        bound(listener.endpoint)
    assert caught.value.endpoint == listener.endpoint
    assert caught.value.errno == errno.EADDRINUSE
    assert str(caught.value) == f"address already in use: {listener.endpoint}"
    listener.close()
    bound(listener.endpoint).close()


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(EndpointError, match="assign requested address"):
        bound("tcp://192.0.2.1:0")


def test_no_permission_names_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    class Refusing(socket.socket):
        bind = refuse

    monkeypatch.setattr(sockets.socket, "socket", Refusing)
    with pytest.raises(PermissionError, match=r"can't bind tcp://127\.0\.0\.1:80"):
        bound("tcp://127.0.0.1:80")


def test_where_it_would_let_two_servers_share_a_port_addresses_are_not_reused(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[int] = []

    class Watching(socket.socket):
        def setsockopt(self, *args: Any) -> None:
            options.append(args[1])
            super().setsockopt(*args)

    monkeypatch.setattr(sockets.socket, "socket", Watching)
    bound("tcp://127.0.0.1:0").close()
    assert socket.SO_REUSEADDR in options
    options.clear()
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        listener = bound("tcp://127.0.0.1:0")
    assert socket.SO_REUSEADDR not in options
    listener.close()


# Connected sockets


def test_tuning_a_tcp_socket() -> None:
    listener = bound("tcp://127.0.0.1:0")
    sock = socket.create_connection(("127.0.0.1", int(listener.endpoint.rpartition(":")[2])))
    tune(sock)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    sock.close()
    tune(sock)  # a peer that is gone is none of its business
    listener.close()


def test_tuning_without_keepalive_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPIDLE", raising=False)
    with socket.socket() as sock:
        tune(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_tuning_leaves_unix_sockets_alone() -> None:
    ours, theirs = socket.socketpair()
    tune(ours)
    ours.close()
    theirs.close()


def test_connecting_that_is_interrupted_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    class Interrupted(socket.socket):
        def connect(self, address: Any) -> None:
            made.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(sockets.socket, "socket", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect_blocking(parse("tcp://127.0.0.1:1"))
    assert [sock.fileno() for sock in made] == [-1]


def test_open_socket_does_not_block() -> None:
    with open_socket((socket.AF_INET, ("127.0.0.1", 1))) as sock:
        assert not sock.getblocking()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell")
def test_what_the_peer_has_not_taken() -> None:
    ours, theirs = socket.socketpair()
    assert unsent_octets(ours.fileno()) == 0
    ours.send(b"x" * 1000)
    assert unsent_octets(ours.fileno()) >= 1000
    theirs.recv(1000)
    assert unsent_octets(ours.fileno()) == 0
    ours.close()
    theirs.close()
    assert unsent_octets(-1) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell")
def test_what_the_peer_has_not_taken_is_told_without_a_descriptor_left() -> None:
    """A module that is only imported then would end the connection."""
    program = """
        import resource, socket
        from zerorpc.transport.sockets import unsent_octets
        ours, theirs = socket.socketpair()
        ours.send(b"x")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ours.fileno(), limits[1]))
        print(unsent_octets(ours.fileno()) > 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        ours.close()
        theirs.close()
        """
    with Program(program) as running:
        assert running.end() == (0, "True\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell")
def test_what_the_peers_system_has_taken() -> None:
    listener = bound("tcp://127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", int(listener.endpoint.rpartition(":")[2]))) as sock:
        before = taken_octets(sock, 0)
        sock.sendall(b"x" * 1000)
        eventually(lambda: taken_octets(sock, 0) == before + 1000)
    assert taken_octets(sock, 7) == -7
    listener.close()


def test_where_the_system_counts_nothing() -> None:
    ours, theirs = socket.socketpair()
    assert taken_octets(ours, 5) == -5
    ours.close()
    theirs.close()
    assert taken_octets(None, 0) == 0


def test_systems_that_cant_tell_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert unsent_octets(0) == 0
    assert taken_octets(None, 3) == -3


# Forks


def test_descriptors_that_lead_nowhere() -> None:
    ours, theirs = socket.socketpair()
    copy, other = os.dup(ours.fileno()), os.dup(ours.fileno())
    with ours, theirs:
        theirs.send(b"for the parent")
        lead_nowhere([-1, copy, other])
        for fileno in (copy, other):
            assert os.read(fileno, 100) == b""
            assert os.write(fileno, b"lost") == 4
            assert not os.get_inheritable(fileno)
        assert ours.recv(100) == b"for the parent"
        ours.send(b"not lost")
        assert theirs.recv(100) == b"not lost"
    os.close(copy)
    os.close(other)


def test_no_descriptors_to_lead_nowhere() -> None:
    before = len(os.listdir("/dev/fd"))
    lead_nowhere([-1])
    assert len(os.listdir("/dev/fd")) == before


def test_one_that_is_closed_already_keeps_no_other_from_leading_nowhere() -> None:
    ours, theirs = socket.socketpair()
    closed, copy = os.dup(ours.fileno()), os.dup(ours.fileno())
    os.close(closed)
    with ours, theirs:
        lead_nowhere([closed, copy])
        assert os.write(copy, b"lost") == 4
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(4)
    os.close(copy)
    os.close(closed)


def test_no_descriptor_is_free_meanwhile_for_another_thread_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    first, second = os.dup(ours.fileno()), os.dup(ours.fileno())
    system_open = os.open

    def open_while_all_are_taken(*args: Any) -> int:
        for fileno in (first, second):
            os.fstat(fileno)  # OSError if it is free
        return system_open(*args)

    with ours, theirs:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", open_while_all_are_taken)
            lead_nowhere([first, second])
        assert os.read(first, 100) == os.read(second, 100) == b""
    os.close(first)
    os.close(second)


def test_a_system_without_a_file_left_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENFILE, "Too many open files in system")

    ours, theirs = socket.socketpair()
    copy = os.dup(ours.fileno())
    with ours, theirs:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            lead_nowhere([copy])
        assert ours.send(b"not lost") == 8


def test_leading_nowhere_needs_no_free_descriptor() -> None:
    text = """
    import os, resource, socket
    from zerorpc.transport.sockets import lead_nowhere
    ours, theirs = socket.socketpair()
    resource.setrlimit(resource.RLIMIT_NOFILE, (theirs.fileno() + 1,) * 2)
    lead_nowhere([ours.fileno(), theirs.fileno()])
    print(os.write(ours.fileno(), b"lost"), os.read(theirs.fileno(), 4))
    """
    with Program(text) as program:
        assert program.end()[1] == "4 b''\n"
