"""How the connections of a socket, or of one of its endpoints, are secured."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from zerorpc.curve import Curve, curve_or_none
from zerorpc.errors import EndpointError
from zerorpc.given import UNCHANGED
from zerorpc.keys import KeyPair
from zerorpc.plain import Plain, plain_or_none
from zerorpc.transport.endpoints import Endpoint
from zerorpc.zmtp.mechanisms import Mechanism, NewMechanism, Null

if TYPE_CHECKING:
    from zerorpc.transport.endpoint_tls import EndpointTls

__all__ = ["UNSECURED", "Security"]


class Security:
    """What each connection of an endpoint begins with.

    One for a socket, and one for each endpoint that was given settings of its own. Never changes. ``mechanism`` makes
    the security mechanism of one connection, by ``curve`` or ``plain``; ``tls`` its TLS, if it has any. ``asks``:
    somebody decides whom to let in (``Admission``). ``pairing_keys()``: by which other keys a client may know this
    server at the moment, if there are some.

    Raises ValueError where the settings exclude each other, or a handshake can't wait for whoever decides.
    """

    __slots__ = ("asks", "curve", "mechanism", "pairing_keys", "plain", "tls")

    def __init__(
        self,
        curve: Curve | None = None,
        plain: Plain | None = None,
        asks: bool = False,
        pairing_keys: Callable[[], KeyPair | None] = lambda: None,
    ) -> None:
        self.curve: Curve | None = curve
        self.plain: Plain | None = plain
        self.asks: bool = asks
        self.pairing_keys: Callable[[], KeyPair | None] = pairing_keys
        self.tls: EndpointTls | None = None
        self.mechanism: NewMechanism = self._mechanism()

    def _mechanism(self) -> NewMechanism:
        curve, plain = self.curve, self.plain
        if curve is not None and plain is not None:
            raise ValueError("an endpoint has either CURVE or PLAIN: give curve= or plain=, not both")
        if curve is not None:
            if self.asks and curve.server is not None:
                raise ValueError(_WRONG_ROLE.format("CURVE, curve=zerorpc.Curve(secret_key)"))
            return _by_curve(curve, self.asks, self.pairing_keys)
        if plain is not None:
            if self.asks and plain.user is not None:
                raise ValueError(_WRONG_ROLE.format("PLAIN, plain=zerorpc.Plain()"))
            if not self.asks and plain.user is None:
                raise ValueError("users and passwords have to be checked: plain=zerorpc.Plain() needs an authenticator")
            return _by_plain(plain)
        return functools.partial(Null, asks=True) if self.asks else Null

    @property
    def asks_who(self) -> bool:
        """Whether who connects to us has to prove who they are. With CURVE alone, whoever has our public key may."""
        return self.asks or (self.tls is not None and self.tls.asks_who)

    def changed(self, *, curve: Curve | None = UNCHANGED, plain: Plain | None = UNCHANGED) -> Security:
        """The same with another ``curve`` or ``plain``, if one is given; it stands in for the other. Raises TypeError
        for what is none, and ValueError for both.
        """
        if curve is UNCHANGED and plain is UNCHANGED:
            return self
        if curve is UNCHANGED:
            curve = self.curve if plain is None else None
        elif plain is UNCHANGED:
            plain = self.plain if curve is None else None
        made = Security(curve_or_none("curve", curve), plain_or_none("plain", plain), self.asks, self.pairing_keys)
        made.tls = self.tls
        return made

    def check(self, endpoint: Endpoint) -> None:
        """Raises EndpointError where a password would go over the network in clear."""
        if self.plain is not None and endpoint.scheme == "tcp" and not self.plain.in_clear:
            raise EndpointError(
                endpoint.text,
                "PLAIN would send passwords in clear there: use tls+tcp://, or zerorpc.Plain(…, in_clear=True)",
            )

    def with_tls(self, tls: EndpointTls) -> Security:
        """The same with TLS around it."""
        made = copy.copy(self)
        made.tls = tls
        return made

    def __repr__(self) -> str:
        parts = [repr(part) for part in (self.curve, self.plain) if part is not None] + ["TLS"] * (self.tls is not None)
        return f"<Security {', '.join(parts) or 'none'}>"


UNSECURED = Security()

_WRONG_ROLE = (
    "an authenticator needs the server's role in {}: the client's side of a handshake can't have the other side wait"
)


def _by_curve(curve: Curve, asks: bool, pairing_keys: Callable[[], KeyPair | None]) -> NewMechanism:
    from zerorpc.zmtp.mechanisms.curve import CookieKeys, CurveClient, CurveServer  # with PyNaCl

    if curve.server is not None:
        return functools.partial(CurveClient, *curve.keys, curve.server)
    cookies = CookieKeys()

    def new_server() -> Mechanism:
        return CurveServer(*curve.keys, cookies.take(monotonic()), asks, pairing_keys())

    return new_server


def _by_plain(plain: Plain) -> NewMechanism:
    from zerorpc.zmtp.mechanisms.plain import PlainClient, PlainServer  # few need it

    if plain.user is None or plain.password is None:
        return PlainServer
    user, password = (text.encode("utf-8", "surrogateescape") for text in (plain.user, plain.password))
    return functools.partial(PlainClient, user, password)
