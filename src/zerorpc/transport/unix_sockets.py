"""Listening at ipc paths: who may bind there, what is left behind, and the mode and owner of the socket's file.

A server that dies leaves its file behind. The next one finds that nobody answers there, removes the file and binds. Two
that do so at once could remove each other's, so they take turns: by a lock file beside the path, which is there only
meanwhile. Between ``bind`` and ``listen`` nobody can connect, so mode and owner are set there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from zerorpc.errors import AddressInUse, EndpointError
from zerorpc.transport.endpoints import Endpoint

if sys.platform != "win32":
    import fcntl  # now: at its first use the process may be out of descriptors

__all__ = ["BACKLOG", "SocketFile", "UnixAcceptor", "bind_unix", "naming", "socket_file"]

BACKLOG = 4096  # the system caps it (net.core.somaxconn); small ones turn bursts of clients into 1 s delays
_LOCK_SUFFIX = ".zerorpc-lock"
_LOCK_WAIT = 5.0  # s that somebody else may take to bind: microseconds, unless that process was stopped meanwhile
_TICK = 0.005  # s between two looks
_YOUNG = 0.05  # s after which a socket that nobody listens to is a dead server's: libzmq's listens after 50 us


class SocketFile(NamedTuple):
    """What an ipc path's file shall be like. Whoever may write to it may connect."""

    mode: int | None = None  # as the umask leaves it
    uid: int = -1  # as it is
    gid: int = -1


def socket_file(mode: int | None, owner: str | None) -> SocketFile | None:
    """The settings ``mode`` and ``owner`` of a program; None if it gives neither.

    ``owner`` is as for chown: "user", "user:group" or ":group", names or numbers. Raises TypeError or ValueError for
    what is none.
    """
    if mode is None and owner is None:
        return None
    if mode is not None and type(mode) is not int:
        raise TypeError(f"mode has to be an integer, such as 0o660, not a {type(mode).__name__}")
    if mode is not None and not 0 <= mode <= 0o777:
        raise ValueError(f"mode has to be from 0 to 0o777, not {mode:#o}")
    if owner is None:
        return SocketFile(mode)
    if not isinstance(owner, str):
        raise TypeError(f'owner has to be a text, such as "user:group", not a {type(owner).__name__}')
    user, _, group = owner.partition(":")
    return SocketFile(mode, _user_id(user), _group_id(group))


def _user_id(user: str) -> int:
    if not user or (user.isascii() and user.isdigit()):
        return int(user or -1)
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"owner: this system has no user {user!r}") from None


def _group_id(group: str) -> int:
    if not group or (group.isascii() and group.isdigit()):
        return int(group or -1)
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"owner: this system has no group {group!r}") from None


# Binding


def bind_unix(endpoint: Endpoint, file: SocketFile | None) -> UnixAcceptor:
    """Bind to an ipc endpoint, and listen. Raises AddressInUse, EndpointError or another OSError."""
    if endpoint.path.startswith("@"):
        if file is not None:
            raise EndpointError(endpoint.text, "an abstract name has no file, and so neither mode nor owner")
        return UnixAcceptor(_bound(endpoint, None), None)
    with _turn(endpoint):
        _remove_stale(endpoint)
        return UnixAcceptor(_bound(endpoint, file), endpoint.path)


class UnixAcceptor:
    """A bound ipc path, which is removed on close if it is still ours, and by nobody but this process."""

    def __init__(self, sock: socket.socket, path: str | None) -> None:
        self._socket = sock
        self._path = path
        self._process = os.getpid()
        self._inode = 0  # of the file; nobody else's while the socket is open
        if path is not None:
            with contextlib.suppress(OSError):  # somebody has removed it
                self._inode = os.stat(path).st_ino
        self.fileno: Callable[[], int] = sock.fileno

    def accept(self) -> socket.socket:
        return self._socket.accept()[0]

    def close(self) -> None:
        if self._path is not None and self._process == os.getpid():
            with contextlib.suppress(OSError):
                if os.stat(self._path).st_ino == self._inode:
                    os.unlink(self._path)
            self._path = None
        self._socket.close()


def _bound(endpoint: Endpoint, file: SocketFile | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with naming(endpoint):
            sock.bind(endpoint.unix_address)
        try:
            if file is not None:
                _apply(file, endpoint)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except BaseException:
            if not endpoint.path.startswith("@"):
                os.unlink(endpoint.path)
            raise
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def naming(endpoint: Endpoint) -> Iterator[None]:
    """Errors of binding to an endpoint name it."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(endpoint.text) from None
        if error.errno in (errno.EADDRNOTAVAIL, errno.ENOENT, errno.ENOTDIR):
            raise EndpointError(endpoint.text, f"it can't be used here: {error.strerror or error}") from None
        raise OSError(error.errno, f"{error.strerror}: can't bind {endpoint.text}") from None


def _apply(file: SocketFile, endpoint: Endpoint) -> None:
    """The owner first: to change it may clear bits of the mode."""
    try:
        if (file.uid, file.gid) != (-1, -1):
            os.chown(endpoint.path, file.uid, file.gid, follow_symlinks=False)
        if file.mode is not None:
            os.chmod(endpoint.path, file.mode)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: can't set mode and owner of {endpoint.text}") from error


def _remove_stale(endpoint: Endpoint) -> None:
    """Remove the file of a dead server; AddressInUse if a live one answers or it is no socket at all."""
    try:
        found = os.stat(endpoint.path)
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressInUse(endpoint.text)
    while _nobody_listens(endpoint):
        if not 0 <= time.time() - found.st_mtime < _YOUNG:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(endpoint.path)
            return
        time.sleep(_TICK)  # somebody may have bound just now, to listen next: a program that knows nothing of our lock


def _nobody_listens(endpoint: Endpoint) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(endpoint.path)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except (BlockingIOError, PermissionError):
            pass  # its backlog is full: very much alive; or it is somebody else's
    raise AddressInUse(endpoint.text)


# Taking turns


@contextlib.contextmanager
def _turn(endpoint: Endpoint) -> Iterator[None]:
    """Nobody else binds to this path meanwhile."""
    path = endpoint.path + _LOCK_SUFFIX
    descriptor = _lock(endpoint, path)
    try:
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)  # while it is locked: who waits for it finds that it is gone, and makes another
            _unlock(descriptor)


def _lock(endpoint: Endpoint, path: str) -> int | None:
    """The lock file, open and locked. None where nothing can be made: there ``bind`` will fail, and say why."""
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EROFS):
                return None
            if error.errno != errno.EACCES:
                raise OSError(error.errno, f"{error.strerror}: can't lock {path} to bind {endpoint.text}") from error
            if not os.path.lexists(path):
                return None
            # else it is another user's, who may be done soon
        else:
            if _is_locked(descriptor, path):
                return descriptor
            os.close(descriptor)
        if time.monotonic() >= deadline:
            raise OSError(errno.EAGAIN, f"{path} is locked by somebody else: can't bind {endpoint.text}")
        time.sleep(_TICK)


def _is_locked(descriptor: int, path: str) -> bool:
    """Whether we have the lock now, and of the file that is still there: the one before us removes it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, such as NFS without its lock daemon: all is as if there were none
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _unlock(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked just now has a copy, which would keep it
    os.close(descriptor)
