"""How the connections of a socket, or of one of its endpoints, are secured."""

from __future__ import annotations

from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["UNSECURED", "Security"]


class Security:
    """What each connection of an endpoint begins with.

    One for a socket, and one for each endpoint that was given settings of its own. Never changes. ``mechanism`` makes
    the security mechanism of one connection.
    """

    __slots__ = ("mechanism",)

    def __init__(self) -> None:
        self.mechanism: NewMechanism = Null

    def __repr__(self) -> str:
        return "<Security none>"


UNSECURED = Security()
