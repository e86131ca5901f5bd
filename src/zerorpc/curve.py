"""``zerorpc.Curve``: the keys of a socket, or of one of its endpoints."""

from __future__ import annotations

import os
from typing import NoReturn

from zerorpc.given import described
from zerorpc.keys import KEY_SIZE, KeyPair, decode_z85, encode_z85, read_certificate

__all__ = ["Curve", "curve_or_none"]


class Curve:
    """Encryption and authentication by CURVE (ZeroMQ's own, RFC 26): ``Server(…, curve=Curve("server.key_secret"))``.

    ::

        Server(Cooler(), curve=zerorpc.Curve("server.key_secret"))             # whoever has its public key may call
        Client(endpoint, curve=zerorpc.Curve(server_key="server.key"))         # this client has a new key each time
        Client(endpoint, curve=zerorpc.Curve("me.key_secret", "server.key"))   # this one is known by its key

    Arguments: ``secret_key`` ours; ``server_key`` the public key of the server. With a ``server_key`` this side has the
    client's role, without one the server's, whichever of them binds and which connects. Each is a key in Z85 (40
    characters), 32 bytes, or the path of a certificate file, as pyzmq's ``zmq.auth.create_certificates`` makes them. A
    text of 40 characters that can be a key is taken for one; for a path of that length give a ``pathlib.Path``.

    Files are read once, here. Never changes; ``repr`` and errors show no secret. Raises TypeError or ValueError for
    what is no key, OSError for a file that can't be read, ModuleNotFoundError without PyNaCl (``zerorpc[curve]``).
    """

    __slots__ = ("keys", "server")

    keys: KeyPair
    server: bytes | None

    def __init__(
        self,
        secret_key: str | bytes | os.PathLike[str] | None = None,
        server_key: str | bytes | os.PathLike[str] | None = None,
    ) -> None:
        if secret_key is None and server_key is None:
            raise TypeError("Curve needs a secret_key (a server's, or a client's own), or a server_key (for a client)")
        keys = KeyPair.generate() if secret_key is None else KeyPair.of_secret(_secret("secret_key", secret_key))
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "server", None if server_key is None else _public("server_key", server_key))

    @property
    def public_key(self) -> str:
        """Our public key, in Z85."""
        return encode_z85(self.keys.public)

    @property
    def server_key(self) -> str | None:
        """The server's public key, in Z85; None if this is the server."""
        return None if self.server is None else encode_z85(self.server)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Curve can't be changed: make another one for another {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Curve can't be changed")

    def __reduce__(self) -> tuple[type[Curve], tuple[bytes, bytes | None]]:
        return type(self), (self.keys.secret, self.server)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Curve) and (self.keys, self.server) == (other.keys, other.server)

    def __hash__(self) -> int:
        return hash((self.keys.public, self.server))

    def __repr__(self) -> str:
        server = f", server_key={self.server_key!r}" if self.server is not None else ""
        return f"<Curve public_key={self.public_key!r}{server}>"


def curve_or_none(name: str, value: object) -> Curve | None:
    """A setting that is a Curve, or None for none. Raises TypeError for what isn't; the error doesn't show it."""
    if value is not None and not isinstance(value, Curve):
        raise TypeError(f"{name} has to be a zerorpc.Curve, or None, not {described(value)}")
    return value


def _public(name: str, given: object) -> bytes:
    key = _key(name, given)
    return key if isinstance(key, bytes) else read_certificate(key)[0]


def _secret(name: str, given: object) -> bytes:
    key = _key(name, given)
    if isinstance(key, bytes):
        return key
    secret = read_certificate(key)[1]
    if secret is None:
        raise ValueError(f"{key} has a public key only: {name} needs the file whose name ends in .key_secret")
    return secret


def _key(name: str, given: object) -> bytes | str:
    """A key's octets, or the path of the file that has it. No error shows what was given: it may be a mistyped key."""
    if isinstance(given, bytes):
        if len(given) == KEY_SIZE:
            return given
        try:
            return decode_z85(given.decode("ascii"))
        except ValueError as error:
            raise ValueError(f"{name} as bytes has to have {KEY_SIZE}, or be Z85: {error}") from None
    if isinstance(given, str):
        try:
            return decode_z85(given)
        except ValueError as error:
            if not os.path.exists(given):
                raise ValueError(f"{name} is neither the path of a file that is there, nor a key: {error}") from None
            return given
    if isinstance(given, os.PathLike) and isinstance(path := os.fspath(given), str):
        return path
    raise TypeError(f"{name} has to be a key in Z85, {KEY_SIZE} bytes or a path, not {described(given)}")
