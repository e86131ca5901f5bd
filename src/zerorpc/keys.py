"""Key pairs for CURVE, and the files that hold them: those of pyzmq (``zmq.auth``), czmq's ZPL format.

A key has 32 octets, or 40 characters in Z85 (RFC 32), as ZeroMQ's programs show it. PyNaCl is only needed to make one.
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = [
    "KEY_SIZE",
    "KeyPair",
    "decode_z85",
    "encode_z85",
    "fingerprint",
    "need_pynacl",
    "read_certificate",
    "said_key",
    "say_key",
    "write_certificates",
    "write_public",
]

KEY_SIZE = 32
_Z85_SIZE = 40
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VALUES = {character: value for value, character in enumerate(_Z85)}
_FILE_MAX = 64 * 1024  # octets; a certificate has some 500
_PUBLIC, _SECRET = "public-key", "secret-key"


class _KeyPairFields(NamedTuple):
    public: bytes
    secret: bytes


class KeyPair(_KeyPairFields):
    """A public and a secret key, 32 octets each. ``repr`` shows the public one only. A tuple, and so never changes."""

    __slots__ = ()

    @classmethod
    def generate(cls) -> KeyPair:
        """A new one. Raises ModuleNotFoundError without PyNaCl, which ``zerorpc[curve]`` installs."""
        need_pynacl()
        from nacl.bindings import crypto_box_keypair

        return cls(*crypto_box_keypair())

    @classmethod
    def of_secret(cls, secret: bytes) -> KeyPair:
        """The pair of a secret key. Raises ModuleNotFoundError without PyNaCl."""
        need_pynacl()
        from nacl.bindings import crypto_scalarmult_base

        return cls(crypto_scalarmult_base(secret), secret)

    def __repr__(self) -> str:
        return f"<KeyPair {encode_z85(self.public)}>"


def need_pynacl() -> None:
    """Raises ModuleNotFoundError without PyNaCl, which says what to do."""
    try:
        import nacl.bindings  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError("CURVE needs PyNaCl: pip install pynacl", name="nacl") from None


def encode_z85(key: bytes) -> str:
    """A key as text: five characters for four octets (RFC 32)."""
    text = []
    for start in range(0, len(key), 4):
        value = int.from_bytes(key[start : start + 4], "big")
        text += [_Z85[value // 85**power % 85] for power in (4, 3, 2, 1, 0)]
    return "".join(text)


def decode_z85(text: str) -> bytes:
    """A key from its text. Raises ValueError for what is none; the error doesn't show it."""
    if len(text) != _Z85_SIZE:
        raise ValueError(f"a key in Z85 has {_Z85_SIZE} characters, not {len(text)}")
    octets = bytearray()
    for start in range(0, _Z85_SIZE, 5):
        value = 0
        for character in text[start : start + 5]:
            if character not in _VALUES:
                raise ValueError(f"a key in Z85 doesn't have the character {character!r}")
            value = value * 85 + _VALUES[character]
        if value >> 32:
            raise ValueError("no key in Z85: five of its characters are more than four octets")
        octets += value.to_bytes(4, "big")
    return bytes(octets)


_SAID = ": its key is "


def say_key(public: bytes) -> str:
    """How a server tells its key, at the end of an ERROR command's reason."""
    return _SAID + encode_z85(public)


def said_key(reason: str) -> str | None:
    """The key in Z85 that the peer tells so; None if it tells none. Nothing proves it."""
    key = reason.rpartition(_SAID)[2]
    try:
        decode_z85(key)
    except ValueError:
        return None
    return key


def fingerprint(public: bytes) -> str:
    """A key to be compared by eye, as ssh shows one: the digest SHA-256 of its octets, in Base64."""
    import base64
    import hashlib

    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")


def read_certificate(path: str | os.PathLike[str]) -> tuple[bytes, bytes | None]:
    """The public and the secret key in a certificate file; None for the latter, if the file has the public one only.

    Raises OSError, and ValueError for what is no certificate.
    """
    with open(path, "rb") as file:
        text = file.read(_FILE_MAX).decode("utf-8", "replace")
    keys: dict[str, bytes] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and (name := name.strip()) in (_PUBLIC, _SECRET) and name not in keys:
            try:
                keys[name] = decode_z85(value.strip(" \t'\""))
            except ValueError as error:
                raise ValueError(f"{os.fspath(path)}: {name}: {error}") from None
    if _PUBLIC not in keys:
        raise ValueError(f"{os.fspath(path)} has no {_PUBLIC}: it is no CURVE certificate, as zmq.auth makes them")
    return keys[_PUBLIC], keys.get(_SECRET)


def write_certificates(folder: str | os.PathLike[str], name: str, pair: KeyPair) -> tuple[str, str]:
    """Write ``name.key``, to be given to others, and ``name.key_secret``, which only its owner may read. Their paths.

    Raises FileExistsError rather than replace one of them, and OSError.
    """
    secret = os.path.join(folder, name + ".key_secret")
    _write(secret, 0o600, _SECRET_HEAD, [*_lines(pair.public), f'    {_SECRET} = "{encode_z85(pair.secret)}"'])
    try:
        public = write_public(folder, name, pair.public)
    except BaseException:
        os.unlink(secret)
        raise
    return public, secret


def write_public(folder: str | os.PathLike[str], name: str, key: bytes) -> str:
    """Write ``name.key`` alone, and return its path. Raises as ``write_certificates``."""
    path = os.path.join(folder, name + ".key")
    _write(path, 0o644, _PUBLIC_HEAD, _lines(key))
    return path


def _lines(public: bytes) -> list[str]:
    return ["metadata", "curve", f'    {_PUBLIC} = "{encode_z85(public)}"']


_PUBLIC_HEAD = ["#   ZeroMQ CURVE Public Certificate, made by zerorpc", "#   Give it to whom you want to talk to.", ""]
_SECRET_HEAD = ["#   ZeroMQ CURVE **Secret** Certificate, made by zerorpc", "#   Keep it to yourself.", ""]


def _write(path: str, mode: int, head: list[str], lines: list[str]) -> None:
    """Nobody else can open it at any moment: the mode is there when the file is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join([*head, *lines, ""]))
