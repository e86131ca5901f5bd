"""How the connections of a socket, or of one of its endpoints, are secured."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from zerorpc.curve import Curve, curve_or_none
from zerorpc.given import UNCHANGED
from zerorpc.keys import KeyPair
from zerorpc.zmtp.mechanisms import Mechanism, NewMechanism, Null

if TYPE_CHECKING:
    from zerorpc.transport.endpoint_tls import EndpointTls

__all__ = ["UNSECURED", "Security"]


class Security:
    """What each connection of an endpoint begins with.

    One for a socket, and one for each endpoint that was given settings of its own. Never changes. ``mechanism`` makes
    the security mechanism of one connection; ``tls`` its TLS, if it has any. ``asks``: somebody decides whom to let in
    (``Admission``); ValueError where the handshake can't wait for that. ``pairing_keys()``: by which other keys a
    client may know this server at the moment, if there are some.
    """

    __slots__ = ("asks", "curve", "mechanism", "pairing_keys", "tls")

    def __init__(
        self,
        curve: Curve | None = None,
        asks: bool = False,
        pairing_keys: Callable[[], KeyPair | None] = lambda: None,
    ) -> None:
        self.curve: Curve | None = curve
        self.asks: bool = asks
        self.pairing_keys: Callable[[], KeyPair | None] = pairing_keys
        self.mechanism: NewMechanism = functools.partial(Null, asks=True) if asks else Null
        if curve is not None:
            if asks and curve.server is not None:
                raise ValueError(
                    "an authenticator needs the server's role in CURVE, curve=zerorpc.Curve(secret_key): the client's "
                    "side of a handshake can't have the other side wait"
                )
            self.mechanism = _mechanism(curve, asks, pairing_keys)
        self.tls: EndpointTls | None = None

    @property
    def asks_who(self) -> bool:
        """Whether who connects to us has to prove who they are. With CURVE alone, whoever has our public key may."""
        return self.asks or (self.tls is not None and self.tls.asks_who)

    def changed(self, *, curve: Curve | None = UNCHANGED) -> Security:
        """The same with another ``curve``, if one is given. Raises TypeError for what is none."""
        if curve is UNCHANGED or curve == self.curve:
            return self
        made = Security(curve_or_none("curve", curve), self.asks, self.pairing_keys)
        made.tls = self.tls
        return made

    def with_tls(self, tls: EndpointTls) -> Security:
        """The same with TLS around it."""
        made = copy.copy(self)
        made.tls = tls
        return made

    def __repr__(self) -> str:
        parts = [repr(part) for part in (self.curve,) if part is not None] + ["TLS"] * (self.tls is not None)
        return f"<Security {', '.join(parts) or 'none'}>"


UNSECURED = Security()


def _mechanism(curve: Curve, asks: bool, pairing_keys: Callable[[], KeyPair | None]) -> NewMechanism:
    from zerorpc.zmtp.mechanisms.curve import CookieKeys, CurveClient, CurveServer  # with PyNaCl

    if curve.server is not None:
        return functools.partial(CurveClient, *curve.keys, curve.server)
    cookies = CookieKeys()

    def new_server() -> Mechanism:
        return CurveServer(*curve.keys, cookies.take(monotonic()), asks, pairing_keys())

    return new_server
