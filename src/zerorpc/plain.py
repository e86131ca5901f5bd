"""``zerorpc.Plain``: a user and a password, by the mechanism PLAIN."""

from __future__ import annotations

from typing import NamedTuple, Self

from zerorpc.given import described

__all__ = ["Plain", "plain_or_none"]

_MAX = 255  # octets of each (RFC 24)


class _PlainFields(NamedTuple):
    user: str | None
    password: str | None
    in_clear: bool


class Plain(_PlainFields):
    """A user and a password, by PLAIN (RFC 24), as libzmq has it: ``Client(…, plain=Plain("alice", "secret"))``.

    A server has neither, ``Server(…, plain=Plain(), authenticator=…)``: its ``authenticator`` finds both in the
    ``Caller``, and has to check them.

    PLAIN encrypts nothing. So it is used at endpoints ``tls+tcp://``, ``ipc://`` and ``inproc://`` only; at
    ``tcp://`` that is an EndpointError, unless both sides say ``in_clear=True``, since whoever is on the way reads
    the password there.

    A tuple, and so never changes; ``repr`` and errors don't show the password. Raises TypeError for what is no text,
    and for one without the other, ValueError for more than 255 octets of UTF-8.
    """

    __slots__ = ()

    def __new__(cls, user: str | None = None, password: str | None = None, in_clear: bool = False) -> Self:
        if (user is None) != (password is None):
            raise TypeError("Plain needs a user and a password (a client), or neither (a server)")
        for name, value in (("user", user), ("password", password)):
            if value is None:
                continue
            if not isinstance(value, str):
                raise TypeError(f"{name} has to be a text, not {described(value)}")
            if len(value.encode("utf-8", "surrogateescape")) > _MAX:
                raise ValueError(f"{name} has more than the {_MAX} octets that PLAIN can carry")
        return super().__new__(cls, user, password, bool(in_clear))

    def __repr__(self) -> str:
        return "<Plain of a server>" if self.user is None else f"<Plain user={self.user!r}>"


def plain_or_none(name: str, value: object) -> Plain | None:
    """A setting that is a Plain, or None for none. Raises TypeError for what isn't; the error doesn't show it."""
    if value is not None and not isinstance(value, Plain):
        raise TypeError(f"{name} has to be a zerorpc.Plain, or None, not {described(value)}")
    return value
