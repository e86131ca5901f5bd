"""How the connections of a socket, or of one of its endpoints, are secured."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from zerorpc.zmtp.mechanisms import NewMechanism, Null

if TYPE_CHECKING:
    from zerorpc.transport.endpoint_tls import EndpointTls

__all__ = ["UNSECURED", "Security"]


class Security:
    """What each connection of an endpoint begins with.

    One for a socket, and one for each endpoint that was given settings of its own. Never changes. ``mechanism`` makes
    the security mechanism of one connection; ``tls`` its TLS, if it has any.
    """

    __slots__ = ("mechanism", "tls")

    def __init__(self) -> None:
        self.mechanism: NewMechanism = Null
        self.tls: EndpointTls | None = None

    @property
    def asks_who(self) -> bool:
        """Whether who connects to us has to prove who they are: by a mechanism other than NULL, or a certificate."""
        return self.mechanism is not Null or (self.tls is not None and self.tls.asks_who)

    def with_tls(self, tls: EndpointTls) -> Security:
        """The same with TLS around it."""
        made = copy.copy(self)
        made.tls = tls
        return made

    def __repr__(self) -> str:
        return f"<Security {'none' if self.tls is None else 'TLS'}>"


UNSECURED = Security()
