"""Secrets in what is recorded: found by the names of arguments and keys, and then wherever else they turn up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["REDACTED", "SECRET_NAMES", "Redaction"]

SECRET_NAMES: tuple[str, ...] = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "api_key",
    "access_key",
    "private_key",
    "credential",
    "cookie",
)
REDACTED = "<redacted>"
_SHORTEST = 6  # characters of a secret that is looked for elsewhere: shorter ones are in many words


class Redaction:
    """Replaces secrets, the same one always by the same. ``names`` are parts of the names that secrets have, in any
    case, with or without ``_`` and ``-``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError("redact takes several names, as a tuple or list")
        self._names = [plain for name in names if (plain := _plain(name))]
        self._texts: set[str] = set()  # secrets that were found

    def is_secret(self, name: object) -> bool:
        """Whether what has this name is one."""
        plain = _plain(name.decode("latin-1") if isinstance(name, bytes) else name) if name else ""
        return any(part in plain for part in self._names)

    def hide(self, value: object) -> object:
        """A secret's place is taken by ``REDACTED``; None stays what it is."""
        if value is None:
            return None
        self._texts.update(text for text in _texts(value) if len(text) >= _SHORTEST and text != REDACTED)
        return REDACTED

    def arguments(self, args: Sequence[object], names: Sequence[str]) -> list[object]:
        """Arguments without the secrets among them. ``names`` are those of the first ones, as far as known."""
        return [
            self.hide(value) if at < len(names) and self.is_secret(names[at]) else self.value(value)
            for at, value in enumerate(args)
        ]

    def value(self, value: object) -> object:
        """A value without what is secret in it by its key."""
        if isinstance(value, dict):
            return {
                key: self.hide(item) if isinstance(key, (str, bytes)) and self.is_secret(key) else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def scrub(self, value: object) -> object:
        """A value without the secrets that were found so far, in whatever text they are."""
        if not self._texts:
            return value
        longest_first = sorted(self._texts, key=len, reverse=True)
        return _scrub(value, re.compile("|".join(map(re.escape, longest_first))))

    def __repr__(self) -> str:
        return f"<Redaction {self._names} found={len(self._texts)}>"


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _texts(value: object) -> Iterable[str]:
    """The texts inside of a secret."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (bytes, bytearray)):
        yield value.decode("latin-1")
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _scrub(value: object, secrets: re.Pattern[str]) -> object:
    if isinstance(value, str):
        return secrets.sub(REDACTED, value)
    if isinstance(value, (bytes, bytearray)):
        return secrets.sub(REDACTED, bytes(value).decode("latin-1")).encode("latin-1")
    if isinstance(value, dict):
        return {_scrub_key(key, secrets): _scrub(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrub(item, secrets) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and secrets.fullmatch(str(value)):
        return REDACTED
    return value


def _scrub_key(key: object, secrets: re.Pattern[str]) -> object:
    return _scrub(key, secrets) if isinstance(key, (str, bytes)) else key
