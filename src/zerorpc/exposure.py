"""What of a service is open to whom: patterns of method names, and endpoints that other machines reach. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

__all__ = ["HERE", "Patterns", "is_here", "is_public", "patterns"]

HERE = "a peer on this machine"  # the name of a peer by ipc or inproc, which has none of its own


def patterns(name: str, value: object, what: str = 'patterns of method names, as ["get_*"]') -> tuple[str, ...] | None:
    """The setting of this name, one pattern or several, as a tuple. Raises TypeError for anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    try:
        several = tuple(value)  # type: ignore[arg-type, var-annotated] # what can't be iterated over raises
        if all(isinstance(each, str) for each in several):
            return several
    except TypeError:
        pass
    kind = type(value).__name__
    raise TypeError(f"{name} has to be {what}, or None, not a {kind}")


class Patterns:
    """Which methods are exposed by their names: those that match ``allow``, if given, and don't match ``deny``.

    Patterns are those of ``fnmatch``: ``*`` stands for any characters, dots included, ``?`` for one, ``[ab]`` for one
    of these. Upper and lower case differ. ``name`` is that of the setting that ``allow`` comes from.
    """

    def __init__(
        self, allow: Iterable[str] | None = None, deny: Iterable[str] | None = None, name: str = "allow"
    ) -> None:
        self._name = name
        self._allow = None if allow is None else _compiled(allow)
        self._deny = _compiled(deny or ())
        self._idle = {**_named(name, self._allow or {}), **_named("deny", self._deny)}

    def admit(self, name: str) -> bool:
        """Whether a method of this name is exposed."""
        denied = self._matches("deny", self._deny, name)
        return (self._allow is None or self._matches(self._name, self._allow, name)) and not denied

    def _matches(self, setting: str, patterns: dict[str, re.Pattern[str]], name: str) -> bool:
        found = [pattern for pattern, compiled in patterns.items() if compiled.match(name)]
        for pattern in found:
            self._idle.pop((setting, pattern), None)
        return bool(found)

    @property
    def idle(self) -> list[str]:
        """Those that have matched no name yet, each with its setting; perhaps they are mistyped."""
        return list(self._idle.values())

    def __repr__(self) -> str:
        allow = None if self._allow is None else list(self._allow)
        return f"<Patterns {self._name}={allow} deny={list(self._deny)}>"


def _compiled(patterns: Iterable[str]) -> dict[str, re.Pattern[str]]:
    import fnmatch  # only those who give patterns need them
    import re

    return {pattern: re.compile(fnmatch.translate(pattern)) for pattern in patterns}


def _named(setting: str, patterns: Iterable[str]) -> dict[tuple[str, str], str]:
    return {(setting, pattern): f"{setting}={pattern!r}" for pattern in patterns}


def is_public(endpoint: str) -> bool:
    """Whether other machines may reach the endpoint. A name that isn't known to be local counts as public."""
    scheme, _, address = endpoint.partition("://")
    if scheme in ("ipc", "inproc"):
        return False
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    if host == "localhost":
        return False
    import ipaddress  # only those who bind need it

    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return True
    inner = getattr(parsed, "ipv4_mapped", None)
    return not (inner or parsed).is_loopback


def is_here(peer: str | None) -> bool:
    """Whether a peer of this name is on this very machine, for sure: it came by loopback, ipc or inproc."""
    return peer == HERE or (peer is not None and "://" in peer and not is_public(peer))
