"""Which servers are trusted, by their keys for CURVE: ``zerorpc trust`` writes it down, as ssh does.

All of a user's is in one folder, ``~/.config/zerorpc``, or where ``XDG_CONFIG_HOME`` says:

    known_servers   a line for each server: its endpoint, and its public key in Z85
    me.key_secret   the user's own keys, by which servers know them
    allowed_keys/   whom the user's own servers let in, unless they are told another folder
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from zerorpc.curve import Curve
from zerorpc.keys import KeyPair, decode_z85, encode_z85, read_certificate, write_certificates
from zerorpc.transport.endpoints import parse

if sys.platform != "win32":
    import fcntl

__all__ = ["KnownServers", "known_server", "own_keys", "settings_folder"]

_HEAD = (
    "# Servers that are trusted, and their keys for CURVE: written by zerorpc trust. The last line of each counts.\n"
)


def known_server(endpoint: str) -> Curve:
    """The keys for a server that the user trusts: ``Client(endpoint, curve=zerorpc.known_server(endpoint))``.

    ``zerorpc trust`` has asked the user. The client is known to the server by the user's own key, if there is one.
    Reads files: not for an event loop that is to be quick.

    Raises LookupError for a server that isn't known, EndpointError for what is no endpoint, ValueError for a damaged
    file, OSError, and ModuleNotFoundError without PyNaCl.
    """
    key = KnownServers().find(endpoint)
    if key is None:
        raise LookupError(f"the key of {endpoint} isn't known: zerorpc trust {endpoint} shows it, and makes it known")
    own = own_keys()
    return Curve(None if own is None else own.secret, key)


class KnownServers:
    """The file of them. ``path`` is by default the user's; it need not exist yet.

    Endpoints are compared as they are written. A line that makes no sense raises ValueError, which
    names it: a server that is taken for unknown would be asked for its key again.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path: str = path or os.path.join(settings_folder(), "known_servers")

    def all(self) -> dict[str, bytes]:
        """The keys of all, by endpoint."""
        try:
            with open(self.path, encoding="utf-8") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: {error}") from None
        found = {}
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                endpoint, _, key = line.strip().rpartition(" ")
                try:
                    octets = decode_z85(key)
                    found[parse(endpoint.strip()).text] = octets
                except ValueError as error:
                    raise ValueError(f"{self.path}, line {number}: {error}") from None
        return found

    def find(self, endpoint: str) -> bytes | None:
        """The key of a server, None if it isn't known. Raises EndpointError for what is no endpoint."""
        text = parse(endpoint).text
        return self.all().get(text)

    def trust(self, endpoint: str, key: bytes) -> None:
        """From now on the server there has this key. Raises EndpointError, ValueError for an endpoint that is no line
        by itself, OSError.
        """
        text = parse(endpoint).text
        if text != text.strip() or not text.isprintable():
            raise ValueError("an endpoint in one line is needed, without spaces at its ends")
        make_folder(os.path.dirname(self.path))
        with self._alone(), open(self.path, "a+b", opener=_for_owner) as file:
            before = _HEAD
            if file.tell():
                file.seek(-1, os.SEEK_END)
                before = "" if file.read() == b"\n" else "\n"  # who has edited it may have left the last line open
            file.write(f"{before}{text} {encode_z85(key)}\n".encode())

    def check_writable(self) -> None:
        """Raises OSError where ``trust`` would for any server."""
        make_folder(os.path.dirname(self.path))
        with open(self.path, "ab", opener=_for_owner):
            pass

    def forget(self, endpoint: str) -> bool:
        """The server there is unknown from now on; whether it was known. Raises EndpointError, OSError."""
        text = parse(endpoint).text
        if text not in self.all():
            return False
        path = os.path.realpath(self.path)  # of a symbolic link, what it leads to
        with self._alone():
            known = self.all()
            known.pop(text, None)
            written = f"{path}.{os.getpid()}"
            with open(written, "wb", opener=_for_owner) as file:
                file.write((_HEAD + "".join(f"{name} {encode_z85(key)}\n" for name, key in known.items())).encode())
            os.replace(written, path)
        return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other program changes it meanwhile: what one has just written would be lost where another forgets. By a
        lock of the folder, which stays the same; not on Windows, nor where a file system has no locks.
        """
        if sys.platform == "win32":
            yield
            return
        folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def __repr__(self) -> str:
        return f"<KnownServers {self.path!r}>"


def own_keys(make: bool = False) -> KeyPair | None:
    """The user's own keys; None if there are none, unless they are to be made. Raises OSError, ValueError, and
    ModuleNotFoundError.
    """
    folder = settings_folder()
    path = os.path.join(folder, "me.key_secret")
    if make and not os.path.exists(path):
        make_folder(folder)
        with contextlib.suppress(FileExistsError):  # another program makes them now
            write_certificates(folder, "me", KeyPair.generate())
    try:
        public, secret = read_certificate(path)
    except FileNotFoundError:
        if make:
            raise ValueError(
                f"{folder} has me.key, and no me.key_secret: remove it, or bring the other one back"
            ) from None
        return None
    if secret is None:
        raise ValueError(f"{path} has no secret key")
    return KeyPair(public, secret)


def own_path() -> str:
    """The file with the user's own public key."""
    return os.path.join(settings_folder(), "me.key")


def settings_folder() -> str:
    """Where a user's keys and known servers are."""
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "zerorpc")


def make_folder(path: str) -> None:
    """Make a folder for its owner alone, unless it is there."""
    os.makedirs(path, mode=0o700, exist_ok=True)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
