"""``zerorpc.AllowedKeys``: who may connect, as a folder with their public keys for CURVE says it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from zerorpc.callers import Authenticator, Caller, Visitor, watching
from zerorpc.curve import Curve
from zerorpc.given import path_of
from zerorpc.keys import KeyPair, encode_z85, fingerprint, read_certificate, write_public
from zerorpc.logs import Logger

if TYPE_CHECKING:
    from zerorpc.pairing import Pairing

__all__ = ["AllowedKeys"]

logger: Logger = Logger("zerorpc.server")

_LOOK_EVERY = 0.1  # s for which a change may go unnoticed by those who connect; a look at 1,000 keys takes 2 ms
_ENDING = ".key"  # of a file with a public key; secret ones end in .key_secret
_NAME = r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}"  # of who pairs: it becomes a file's

_NOT_NOW = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)  # errors that say nothing of a file

_Signature: TypeAlias = tuple[tuple[str, int, int, int, int], ...]


class AllowedKeys:
    """Lets in who has one of the keys in a folder, as ssh does with ``authorized_keys``. An authenticator.

    ::

        keys = zerorpc.AllowedKeys("keys")
        server = zerorpc.Server(Robot(), curve=zerorpc.Curve("robot.key_secret"), authenticator=keys)

    Each file ``NAME.key`` is a public key, as ``zerorpc keygen`` and pyzmq's ``zmq.auth`` make them; who has the secret
    one is NAME. Of two files with the same key the first in the order of the alphabet counts. Changes count at once for
    who connects, and within a second for who has: whose file is taken out, or has another key now, loses the
    connections that are open. A file that can't be used lets nobody in, which the log says; a folder that can't be read
    changes nothing. Several servers may share one of these.

    Arguments: ``folder``; ``others``, an authenticator for callers who have none of these keys, such as
    ``RightsFile.identify`` for those at an ipc path. None refuses them.

    ``pair()`` makes a code by which one more client gets its key into the folder.

    Raises OSError for a folder that can't be read, here. Safe in any thread.
    """

    def __init__(self, folder: str | os.PathLike[str], others: Authenticator | None = None) -> None:
        self.folder: str = path_of("folder", folder)
        self._others = others
        # Replaced as one: two threads may read it at once, and the one that is first may be the last to be done.
        self._read: tuple[_Signature, dict[str, str]] = self._read_all(_signature(self.folder))
        self._changed = self._zerorpc_watch()
        self._looked = monotonic()
        self._problem = ""
        self._pairing: Pairing | None = None

    def __call__(self, caller: Caller, /) -> str | Awaitable[str | None] | None:
        """Who a caller is; None for nobody. An ``Authenticator``."""
        now = monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now  # first: the others go by what is known meanwhile
            self._look()
        name = self._read[1].get(caller.key) if caller.key is not None else None
        if name is None and (pairing := self._open_pairing) is not None and caller.key == pairing.client_key:
            return Visitor("who has the pairing code", {"pair": pairing.pair})
        if name is None and self._others is not None:
            return self._others(caller)
        return name

    def pair(self, curve: Curve, seconds: float = 600, name: str | None = None) -> str:
        """A code, with which one client can let its key be put into the folder: ``zerorpc trust --pair CODE endpoint``.

        The client learns the server's key too, which it therefore needs not know before. The code is good once, within
        ``seconds``; another one that was made before is good no more. With several ``processes`` call this before
        ``run``. Takes 0.1 s, in which the code is made slow to guess.

        Arguments: ``curve``, the server's; ``name``, by which the client is known from then on. None: it says its name
        itself, and with that gets the rights of whoever has this name. Raises ValueError if ``curve`` is a client's, or
        for a name that can't be one, or has a key already.
        """
        if name is not None:
            _check_name(name)
            taken = os.path.join(self.folder, name + _ENDING)
            if os.path.exists(taken):
                raise ValueError(f"{name} has a key already: remove {taken}, or choose another name")
        if curve.server is not None:
            raise ValueError("pair() needs the server's curve, zerorpc.Curve(secret_key)")
        from zerorpc.pairing import Pairing  # what makes codes takes a while to import

        before, self._pairing = (
            self._pairing,
            Pairing(curve.keys.public, lambda own, key: self._let_in(name or own, key), seconds),
        )
        if before is not None:
            before.end()
        return self._pairing.code

    @property
    def pairing_keys(self) -> KeyPair | None:
        """By which a client that has the code knows the server; None if nobody can pair now."""
        return None if (pairing := self._open_pairing) is None else pairing.server

    @property
    def _open_pairing(self) -> Pairing | None:
        pairing = self._pairing
        return pairing if pairing is not None and pairing.is_open else None

    def _let_in(self, name: str, key: bytes) -> str:
        """Put a key into the folder, and return by which name. Raises ValueError for what can't be a name, OSError."""
        _check_name(name)
        self._look()
        known = self._read[1].get(encode_z85(key))
        if known is not None:
            return known
        for number in range(1, 100):
            free = name if number == 1 else f"{name}-{number}"
            with contextlib.suppress(FileExistsError):
                path = write_public(self.folder, free, key)
                logger.warning("paired: from now on %s lets in who has the key %s", path, fingerprint(key))
                self._look()
                return free
        raise ValueError(f"there are {number} keys called {name} already: choose another name")

    def changed(self) -> bool:
        """Whether the folder has changed since this was asked before, or what ``others`` say."""
        return bool(self._changed())

    def _zerorpc_watch(self) -> Callable[[], Any]:
        """``changed`` for one of several that ask: each of them is told."""
        told, others = self._read, None if self._others is None else watching(self._others)

        def changed() -> Any:
            nonlocal told
            self._look()
            before, told = told, self._read
            return before is not told or (others is not None and others())

        return changed

    def _look(self) -> None:
        """Read the keys again if the folder has changed. After an error it is tried again, which is told once."""
        try:
            signature = _signature(self.folder)
            if signature == self._read[0]:
                return
            self._read = self._read_all(signature)
        except OSError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                logger.error("the keys that were in %s before go on to count: %s", self.folder, error)
        else:
            self._problem = ""
            logger.info("%s was read again: %s", self.folder, ", ".join(sorted(self._read[1].values())) or "no keys")

    def _read_all(self, signature: _Signature) -> tuple[_Signature, dict[str, str]]:
        """The names of the keys; ``signature`` is what the folder was like before."""
        found: dict[str, str] = {}
        for file, *_ in signature:
            path = os.path.join(self.folder, file)
            try:
                found.setdefault(encode_z85(read_certificate(path)[0]), file.removesuffix(_ENDING))
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in _NOT_NOW:
                    raise
                logger.error("%s lets nobody in: %s", path, error)
        return signature, found

    def __repr__(self) -> str:
        return f"<AllowedKeys {self.folder!r}: {len(self._read[1])}>"


def _check_name(name: str) -> None:
    if re.fullmatch(_NAME, name) is None:
        raise ValueError(f"a name has letters, digits and . _ @ - only, 64 at most: {name[:80]!r}")


def _signature(folder: str) -> _Signature:
    """What changes when a key is added, taken out or replaced: each file's name, in order, inode, size and times."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_ENDING) and entry.name != _ENDING:
                try:
                    state = entry.stat()  # of what a symbolic link leads to
                except OSError:  # taken out meanwhile, or a link that leads nowhere
                    continue
                found.append((entry.name, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return tuple(sorted(found))
