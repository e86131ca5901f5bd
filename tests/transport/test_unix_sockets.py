"""Listening at ipc paths: the life of the file, who may bind there, and the file's mode and owner."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE
from tests.transport.racing import leave_stale, race
from zerorpc.errors import AddressInUse, EndpointError
from zerorpc.transport import unix_sockets
from zerorpc.transport.endpoints import parse
from zerorpc.transport.sockets import Listener, listen
from zerorpc.transport.unix_sockets import SocketFile, socket_file


@pytest.fixture
def path(ipc_endpoint: str) -> Path:
    return Path(ipc_endpoint.removeprefix("ipc://"))


@pytest.fixture
def lock(path: Path) -> Path:
    return Path(f"{path}.zerorpc-lock")


def bound(text: str, file: SocketFile | None = None) -> Listener:
    return listen(parse(text), file=file)


def bound_at(path: Path, file: SocketFile | None = None) -> Listener:
    return bound(f"ipc://{path}", file)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ipc files


def test_an_ipc_file_is_made_and_removed(path: Path) -> None:
    listener = bound_at(path)
    assert listener.endpoint == f"ipc://{path}"
    assert path.is_socket()
    listener.close()
    assert not path.exists()
    listener.close()


def test_the_file_of_a_dead_server_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    listener = bound_at(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        listener.accept().close()
    listener.close()


def test_the_file_of_a_live_server_is_not(path: Path) -> None:
    listener = bound_at(path)
    with pytest.raises(AddressInUse):
        bound_at(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


def test_a_live_server_with_a_full_backlog_is_alive(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            waiting.append(client)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        else:
            pytest.fail("the backlog never filled up")
        with pytest.raises(AddressInUse):
            bound_at(path)
        for client in waiting:
            client.close()
    assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(AddressInUse):
        bound_at(path)
    assert path.read_text() == "precious"


def test_a_file_that_goes_while_we_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    real = os.stat

    def stat_then_gone(target: Any, **kwargs: Any) -> os.stat_result:
        result = real(target, **kwargs)
        if str(target) == str(path):
            monkeypatch.setattr(os, "stat", real)
            path.unlink()
        return result

    monkeypatch.setattr(os, "stat", stat_then_gone)
    bound_at(path).close()


def test_a_successors_file_is_not_removed(path: Path) -> None:
    first = bound_at(path)
    path.unlink()
    second = bound_at(path)
    first.close()
    assert path.is_socket()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    second.close()
    assert not path.exists()


def test_a_file_that_somebody_removed_is_no_error(path: Path) -> None:
    listener = bound_at(path)
    path.unlink()
    listener.close()


def test_a_folder_that_does_not_exist(path: Path) -> None:
    with pytest.raises(EndpointError, match="No such file"):
        bound(f"ipc://{path.parent}/nothing/s")
    path.write_text("")
    with pytest.raises(EndpointError, match="Not a directory"):
        bound(f"ipc://{path}/s")


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names exist on Linux only")
def test_an_abstract_name() -> None:
    listener = bound(f"ipc://@zerorpc-test-sockets-{os.getpid()}")
    with pytest.raises(AddressInUse):
        bound(f"ipc://@zerorpc-test-sockets-{os.getpid()}")
    assert not list(Path().glob("@zerorpc-test*"))
    listener.close()
    bound(f"ipc://@zerorpc-test-sockets-{os.getpid()}").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_does_not_remove_its_parents_file(path: Path) -> None:
    listener = bound_at(path)
    pid = os.fork()
    if pid == 0:
        listener.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert path.is_socket()
    listener.close()


# Several that bind at once


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("racers", [2, 4])
def test_of_several_that_find_a_dead_servers_file_one_binds(racers: int) -> None:
    """Without a lock more than one did in 35 of 1,500 tries."""
    assert race(300, racers) == [1] * 300


def test_nothing_is_left_behind(path: Path) -> None:
    listener = bound_at(path)
    with pytest.raises(AddressInUse):
        bound_at(path)
    assert list(path.parent.iterdir()) == [path]
    listener.close()
    assert list(path.parent.iterdir()) == []


def test_a_lock_that_a_dead_process_left_is_none(path: Path, lock: Path) -> None:
    lock.touch()
    bound_at(path).close()
    assert not lock.exists()


def test_who_finds_it_locked_waits(path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder removes the lock before it lets go: the waiting one makes another."""
    holder = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(holder, fcntl.LOCK_EX)
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            lock.unlink()
        elif len(waits) == 3:
            fcntl.flock(holder, fcntl.LOCK_UN)

    monkeypatch.setattr(unix_sockets.time, "sleep", wait)
    bound_at(path).close()
    assert len(waits) == 2
    assert not lock.exists()
    os.close(holder)


def test_a_lock_that_was_removed_when_we_got_it_is_none(
    path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def remove_then_lock(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        lock.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_then_lock)
    bound_at(path).close()
    assert not lock.exists()


def test_who_waits_in_vain_says_for_what(path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_sockets, "_LOCK_WAIT", 0.01)
    with lock.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=rf"{lock} is locked by somebody else: can't bind ipc://{path}"):
            bound_at(path)
    assert lock.exists()


def test_another_users_lock(path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.touch()
    real, tries = os.open, []

    def refuse(target: Any, *args: Any) -> int:
        if str(target) == str(lock) and lock.exists():
            tries.append(target)
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(target, *args)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(unix_sockets.time, "sleep", lambda _: lock.unlink())
    bound_at(path).close()
    assert len(tries) == 1


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_where_no_lock_can_be_made_bind_says_why(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(code, os.strerror(code))

    def bind(self: socket.socket, _: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(OSError, match=rf"{os.strerror(code)}: can't bind ipc://{path}") as caught:
        unix_sockets.bind_unix(parse(f"ipc://{path}"), None)
    assert caught.value.errno == code


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_of_others(path: Path) -> None:
    path.parent.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match=rf"Permission denied: can't bind ipc://{path}"):
            bound_at(path)
    finally:
        os.seteuid(0)
    assert list(path.parent.iterdir()) == []


def test_a_symbolic_link_is_no_lock(path: Path, lock: Path, tmp_path: Path) -> None:
    lock.symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=f"can't lock {lock} to bind"):
        bound_at(path)
    assert not (tmp_path / "target").exists()


def test_a_file_system_without_locks(path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    bound_at(path).close()
    assert not lock.exists()


def test_one_that_is_about_to_listen_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As libzmq is, which knows nothing of our lock."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        monkeypatch.setattr(unix_sockets, "_YOUNG", PATIENCE)
        monkeypatch.setattr(unix_sockets.time, "sleep", lambda _: other.listen())
        with pytest.raises(AddressInUse):
            bound_at(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_that_we_may_not_connect_to_is_somebodys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_stale(str(path))

    def refuse(self: socket.socket, _: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(AddressInUse):
        bound_at(path)
    assert path.is_socket()


def test_a_file_that_is_gone_when_it_is_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is not ours to remove, whatever comes there."""
    real = socket.socket.setblocking

    def remove(self: socket.socket, flag: bool) -> None:
        real(self, flag)
        path.unlink(missing_ok=True)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "setblocking", remove)
        listener = bound_at(path)
    path.write_text("precious")
    listener.close()
    assert path.read_text() == "precious"


# Mode and owner


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777, 0])
def test_the_files_mode_whatever_the_umask(path: Path, mode: int) -> None:
    before = os.umask(0o027)
    try:
        listener = bound_at(path, SocketFile(mode))
        assert mode_of(path) == mode
        listener.close()
        listener = bound_at(path)
        assert mode_of(path) == 0o750
        listener.close()
    finally:
        os.umask(before)


def test_the_files_owner(path: Path) -> None:
    uid, gid = (65534, 65533) if os.getuid() == 0 else (os.getuid(), os.getgid())
    for owner, expected in (
        (f"{uid}:{gid}", (uid, gid)), (f"{uid}", (uid, os.getegid())), (f":{gid}", (os.getuid(), gid)),
        (f"{uid}:", (uid, os.getegid())),
    ):  # fmt: skip
        listener = bound_at(path, socket_file(0o640, owner))
        found = path.stat()
        assert (found.st_uid, found.st_gid, mode_of(path)) == (*expected, 0o640)
        listener.close()
        assert not path.exists()


def test_they_are_set_before_anybody_can_connect(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = os.chmod, []

    def chmod(target: Any, mode: int) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except ConnectionRefusedError as error:
                refused.append(error)
        real(target, mode)

    monkeypatch.setattr(os, "chmod", chmod)
    listener = bound_at(path, SocketFile(0o600))
    assert len(refused) == 1
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


@pytest.mark.parametrize("what", ["chmod", "chown"])
def test_what_can_t_be_set_is_an_error_and_nothing_is_bound(
    path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, what, refuse)
    with pytest.raises(PermissionError, match=rf"Operation not permitted: can't set mode and owner of ipc://{path}"):
        bound_at(path, SocketFile(0o600, os.getuid()))
    assert list(path.parent.iterdir()) == []


def test_users_and_groups_by_name() -> None:
    pwd, grp = pytest.importorskip("pwd"), pytest.importorskip("grp")
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    assert socket_file(None, f"{user}:{group}") == SocketFile(None, os.getuid(), os.getgid())
    assert socket_file(0o600, None) == SocketFile(0o600)
    assert socket_file(None, None) is None


@pytest.mark.parametrize(
    ("mode", "owner", "error", "why"),
    [
        ("660", None, TypeError, "mode has to be an integer, such as 0o660, not a str"),
        (True, None, TypeError, "mode has to be an integer"),
        (0o1777, None, ValueError, "mode has to be from 0 to 0o777, not 0o1777"),
        (-1, None, ValueError, "mode has to be from 0 to 0o777"),
        (None, 0, TypeError, 'owner has to be a text, such as "user:group", not a int'),
        (None, "nobody-of-this-name", ValueError, "owner: this system has no user 'nobody-of-this-name'"),
        (None, ":nobody-of-this-name", ValueError, "owner: this system has no group 'nobody-of-this-name'"),
    ],
)
def test_what_is_no_mode_and_no_owner(mode: Any, owner: Any, error: type[Exception], why: str, path: Path) -> None:
    with zerorpc.Server({}) as server, pytest.raises(error, match=why):
        server.bind(f"ipc://{path}", mode=mode, owner=owner)
    assert not path.exists()


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("tcp://127.0.0.1:0", "mode and owner are for ipc paths"),
        ("inproc://some-name", "mode and owner are for ipc paths"),
        ("ipc://@zerorpc-test-mode", "an abstract name has no file"),
    ],
)
def test_what_has_no_file(endpoint: str, why: str) -> None:
    with zerorpc.Server({}) as server, pytest.raises(EndpointError, match=why):
        server.bind(endpoint, mode=0o600)


@pytest.mark.parametrize("kind", [zerorpc.Server, zerorpc.Puller, zerorpc.Pusher, zerorpc.Client])
def test_every_socket_takes_them(kind: Callable[..., Any], path: Path) -> None:
    sock = kind({}) if kind in (zerorpc.Server, zerorpc.Puller) else kind()
    with sock:
        assert sock.bind(f"ipc://{path}", mode=0o606) == [f"ipc://{path}"]
        assert mode_of(path) == 0o606
