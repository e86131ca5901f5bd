"""The mechanisms that targets choose from, each with its other side, and CURVE without chance."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from nacl.bindings import crypto_box_seed_keypair

from zerorpc.zmtp.mechanisms import NewMechanism, Null, curve
from zerorpc.zmtp.mechanisms.curve import CookieKey, CurveClient, CurveServer
from zerorpc.zmtp.mechanisms.plain import PlainClient, PlainServer

__all__ = ["MECHANISMS", "PASSWORD", "SERVER_KEYS", "USER", "Mechanisms", "drawn_from"]

USER, PASSWORD = b"robot", b"secret"


class Mechanisms(NamedTuple):
    """Makes the mechanism of either side. ``key`` is what ours has to find out of the other's."""

    ours: NewMechanism
    theirs: NewMechanism
    key: bytes = b""


def _pair(name: str) -> tuple[bytes, bytes]:
    return crypto_box_seed_keypair(hashlib.sha256(name.encode()).digest())


SERVER_KEYS, _CLIENT = _pair("server"), _pair("client")  # public and secret


def _curve_server(asks: bool) -> NewMechanism:
    return lambda: CurveServer(*SERVER_KEYS, CookieKey(), asks)


def _curve_client(asks: bool) -> NewMechanism:
    return lambda: CurveClient(*_CLIENT, SERVER_KEYS[0], asks)


def _knows(user: bytes, password: bytes) -> bool:
    return (user, password) == (USER, PASSWORD)


def _plain_client(asks: bool) -> NewMechanism:
    return lambda: PlainClient(USER, PASSWORD, asks)


def _plain_server(check: Callable[[bytes, bytes], bool] | None) -> NewMechanism:
    return lambda: PlainServer(check)


MECHANISMS = (
    Mechanisms(Null, Null),
    Mechanisms(lambda: Null(asks=True), Null),
    Mechanisms(_plain_server(_knows), _plain_client(False)),
    Mechanisms(_plain_server(None), _plain_client(False)),
    Mechanisms(_plain_client(False), _plain_server(_knows)),
    Mechanisms(_plain_client(True), _plain_server(_knows)),
    Mechanisms(_curve_server(False), _curve_client(False), _CLIENT[0]),
    Mechanisms(_curve_server(True), _curve_client(False), _CLIENT[0]),
    Mechanisms(_curve_client(False), _curve_server(False), SERVER_KEYS[0]),
    Mechanisms(_curve_client(True), _curve_server(False), SERVER_KEYS[0]),
)


@contextlib.contextmanager
def drawn_from(start: bytes) -> Iterator[None]:
    """CURVE draws its keys and nonces from here: so a run can be repeated to the octet."""
    numbers = itertools.count()

    def octets(count: int) -> bytes:
        return hashlib.shake_256(start + next(numbers).to_bytes(4, "big")).digest(count)

    drawn = {"randombytes": octets, "crypto_box_keypair": lambda: crypto_box_seed_keypair(octets(32))}
    kept = {name: getattr(curve, name) for name in drawn}
    vars(curve).update(drawn)
    try:
        yield
    finally:
        vars(curve).update(kept)
