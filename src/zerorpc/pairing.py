"""Pairing: with a code that is good once, a client and a server tell each other their keys.

Two pairs of keys are made of the code, one for each side, and the client connects by CURVE with them. That succeeds
only where both sides have the code: so neither can be anybody else, and the client needs no key of the server before.
Then each tells the other the key that it really has, and the code is worth nothing any more.

A code has 60 bits, made slow to try by Argon2 (RFC 9106; 64 MiB of memory and some 0.1 s each). Who is on the way has
to find it while it is good. Who finds it later learns what the two have told each other, which is public keys.
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable
from time import monotonic

from zerorpc.keys import KEY_SIZE, KeyPair, encode_z85, need_pynacl

__all__ = ["Pairing", "keys_of_code", "new_code"]

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: none of them is taken for another one,
_READ_AS = str.maketrans("oil", "011", "- ")  # and of those that are left out it is known what was meant
_SIZE = 12
_SALT = b"zerorpc pairing."  # 16 octets. Each code is used once, so that nobody can have tried them all before


def new_code() -> str:
    """A new one, such as ``k7qf-9xm2-wzt4``."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_SIZE))
    return "-".join(letters[start : start + 4] for start in range(0, _SIZE, 4))


def keys_of_code(code: str) -> tuple[KeyPair, KeyPair]:
    """The server's and the client's keys for a code. Takes 0.1 s.

    Raises ValueError for what is no code, and ModuleNotFoundError without PyNaCl.
    """
    letters = code.lower().translate(_READ_AS)
    if len(letters) != _SIZE or not set(letters) <= set(_LETTERS):
        raise ValueError(f"a pairing code has {_SIZE} letters and digits, such as k7qf-9xm2-wzt4")
    need_pynacl()
    from nacl.pwhash import argon2id

    cost = argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE
    made = argon2id.kdf(2 * KEY_SIZE, letters.encode(), _SALT, *cost)
    return KeyPair.of_secret(made[:KEY_SIZE]), KeyPair.of_secret(made[KEY_SIZE:])


class Pairing:
    """The server's side of one pairing: it is open until somebody has paired, or for ``seconds``.

    Arguments: ``server_key``, the public key that the server really has; ``admit(name, key)`` lets a client in from now
    on, and returns by which name. Safe in any thread. In several processes that were forked after this was made one
    client can pair, in one of them.
    """

    def __init__(
        self,
        server_key: bytes,
        admit: Callable[[str, bytes], str],
        seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.code: str = new_code()
        server, client = keys_of_code(self.code)
        self.server: KeyPair = server
        self.client_key: str = encode_z85(client.public)
        self._server_key = server_key
        self._admit = admit
        self._clock = clock
        self._until = clock() + seconds
        self._over = False
        # Who reads the octet in it may pair: a thread of this process, or of one that was forked
        self._turn, put = os.pipe()
        os.set_blocking(self._turn, False)
        os.write(put, b"1")
        self._put = put
        weakref.finalize(self, _close, self._turn, put)

    @property
    def is_open(self) -> bool:
        return not self._over and self._clock() < self._until

    def pair(self, name: object, key: object) -> tuple[bytes, str]:
        """Called by the client: what it wants to be called, and its public key. Returns the server's key, and by which
        name it knows the client.

        Raises ValueError for what is no name or no key, what ``admit`` raises, and PermissionError when the code is
        good no more. Who could not be admitted may try again.
        """
        if not (isinstance(key, bytes) and len(key) == KEY_SIZE and isinstance(name, str)):
            raise ValueError("a name and a key are needed")
        if not self.is_open or not self._takes_turn():
            self._over = True
            raise PermissionError("the code was used already, or is too old")
        try:
            known_as = self._admit(name, key)
        except BaseException:
            os.write(self._put, b"1")
            raise
        self._over = True  # not before: who isn't let in any more loses its connection, and would not get the answer
        return self._server_key, known_as

    def end(self) -> None:
        """The code is good no more, also for who has connected with it."""
        self._over = True
        self._takes_turn()

    def _takes_turn(self) -> bool:
        try:
            return bool(os.read(self._turn, 1))
        except BlockingIOError:
            return False

    def __repr__(self) -> str:
        return f"<Pairing for {self.client_key} {'open' if self.is_open else 'over'}>"


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
