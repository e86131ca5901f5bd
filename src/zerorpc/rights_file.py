"""``zerorpc.RightsFile``: who may call what, from a TOML file."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import tomllib
from collections.abc import Callable
from time import monotonic
from typing import Annotated, TypeAlias

import msgspec

from zerorpc.callers import Caller, Certificate
from zerorpc.exposure import Patterns
from zerorpc.given import path_of
from zerorpc.keys import decode_z85
from zerorpc.logs import Logger

__all__ = ["RightsFile"]

logger: Logger = Logger("zerorpc.server")

_LOOK_EVERY = 1.0  # s for which a change of the file may go unnoticed
_LISTING = ("_zerorpc_list", "_zerorpc_inspect", "_zerorpc_help", "_zerorpc_args")

_Name = Annotated[str, msgspec.Meta(min_length=1)]


# A token is as good as random, so that one hash is enough: who reads the file can't call with it.
_Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class _Identity(msgspec.Struct, forbid_unknown_fields=True):
    roles: list[_Name]
    keys: list[_Name] = []
    certificates: list[_Name] = []
    uids: list[int] = []
    endpoints: list[_Name] = []
    tokens: list[_Digest] = []

    def fits(self, caller: Caller) -> bool:
        return (
            (caller.key is not None and caller.key in self.keys)
            or (caller.certificate is not None and not _names(caller.certificate).isdisjoint(self.certificates))
            or (caller.process is not None and caller.process.uid in self.uids)
            or (caller.token is not None and _digest(caller.token) in self.tokens)
            # [ is no character class here: it begins an IPv6 address
            or any(fnmatch.fnmatchcase(caller.endpoint, pattern.replace("[", "[[]")) for pattern in self.endpoints)
        )


class _Role(msgspec.Struct, forbid_unknown_fields=True):
    allow: list[_Name]
    deny: list[_Name] = []
    lists: bool = msgspec.field(default=True, name="list")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    identities: dict[_Name, _Identity]
    roles: dict[_Name, _Role]


class RightsFile:
    """Who may connect, and what they may call, as a TOML file says it. An authenticator and an authorizer in one.

    ::

        rights = zerorpc.RightsFile("rights.toml")
        server = zerorpc.Server(Robot(), authenticator=rights.identify, authorizer=rights.permits)

    The file names identities and roles::

        [identities.alice]
        keys = ["kuM=iuKeY!)GKi0AKikJgv/oQCkPguO5I.ujph17"]    # by CURVE, in Z85
        certificates = ["alice.example", "spiffe://lab/alice"]  # by TLS: the common name, or one of the other names
        uids = [1000]                                           # by ipc or inproc, on Linux
        tokens = ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]  # by HTTP, hashed
        roles = ["operator"]

        [identities.guest]
        endpoints = ["ipc://*"]                                 # whoever has come to one of these addresses of ours
        roles = ["viewer"]

        [roles.operator]
        allow = ["*"]
        deny = ["shut_down"]

        [roles.viewer]
        allow = ["get_*"]
        list = false                                            # may not see which methods there are

    A caller is the first identity of which anything fits; if none does, it is refused. It may call what one of its
    roles allows and doesn't deny; patterns are as for ``Server(allow=…)``, in endpoints with ``*`` and ``?`` alone.
    Roles may list the methods that they may call, unless ``list`` is false: to those without it, what they may not call
    doesn't exist.

    The file is read again when it has changed, within a second. If it can't be used, the log says so, and its last
    usable state stays in use. An identity that is taken out may call nothing any more; new connections
    are refused.

    Raises OSError for a file that can't be read, and ValueError for one that makes no sense, here. Safe in any thread.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = monotonic) -> None:
        self._path = path_of("path", path)
        self._clock = clock
        # Replaced as one: two threads may read the file at once, and the one that is first may be the last to be done.
        self._read: tuple[_State, _Rights] = _read(self._path)
        self._looked = clock()
        self._problem = ""

    def identify(self, caller: Caller) -> str | None:
        """Who a caller is; None for nobody. An ``Authenticator``."""
        return self._now().identity_of(caller)

    def permits(self, identity: str, method: str) -> bool:
        """Whether an identity may call a method. An ``Authorizer``."""
        return self._now().permits(identity, method)

    def __contains__(self, identity: object) -> bool:
        """Whether the file has an identity of this name."""
        return identity in self._now().identities

    def _now(self) -> _Rights:
        now = self._clock()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now  # first: the others go by what is known meanwhile
            self._look()
        return self._read[1]

    def _look(self) -> None:
        """Read the file again if it has changed. After an error it is tried again the next time, which is told once."""
        try:
            if _state_of(self._path) == self._read[0]:
                return
            self._read = _read(self._path)
        except (OSError, ValueError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                logger.error("%s can't be used, and its last usable state stays in use: %s", self._path, error)
        else:
            self._problem = ""
            logger.info("%s was read again", self._path)

    def __repr__(self) -> str:
        return f"<RightsFile {self._path!r}>"


class _Rights:
    """What one state of the file says."""

    def __init__(self, file: _File) -> None:
        self.identities: dict[str, _Identity] = file.identities
        self._roles = {name: _patterns(role) for name, role in file.roles.items()}
        self._known: dict[tuple[str, str], bool] = {}  # of methods that have been asked for

    def identity_of(self, caller: Caller) -> str | None:
        return next((name for name, identity in self.identities.items() if identity.fits(caller)), None)

    def permits(self, identity: str, method: str) -> bool:
        found = self._known.get((identity, method))
        if found is None:
            one = self.identities.get(identity)
            found = one is not None and any(self._roles[role].admit(method) for role in one.roles)
            if len(self._known) < 10_000:  # names are the server's own: of those that don't exist nobody is asked
                self._known[identity, method] = found
        return found


def _patterns(role: _Role) -> Patterns:
    allow, deny = (*role.allow, *_LISTING), tuple(role.deny)
    return Patterns(allow, deny if role.lists else (*deny, *_LISTING))


def _digest(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode('latin-1', 'replace')).hexdigest()}"


def _names(certificate: Certificate) -> set[str]:
    """All that it names."""
    names = {name for _, name in certificate.names}
    return names if certificate.common_name is None else names | {certificate.common_name}


_State: TypeAlias = tuple[int, int, int]


def _state_of(path: str | int) -> _State:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: str) -> tuple[_State, _Rights]:
    """What the file is like, and says. Raises OSError, or ValueError that names the file."""
    try:
        with open(path, "rb") as file:
            state = _state_of(file.fileno())  # before it is read: what is written meanwhile makes another one
            said = msgspec.convert(tomllib.load(file), _File)
    except (ValueError, RecursionError) as error:  # msgspec's, tomllib's, UnicodeDecodeError
        raise ValueError(f"{path}: {error}") from None
    for name, identity in said.identities.items():
        for key in identity.keys:
            try:
                decode_z85(key)
            except ValueError as error:
                raise ValueError(f"{path}: the keys of {name}: {key[:80]!r}: {error}") from None
        for role in identity.roles:
            if role not in said.roles:
                raise ValueError(f"{path}: {name} has the role {role}, which the file doesn't define")
    return state, _Rights(said)
