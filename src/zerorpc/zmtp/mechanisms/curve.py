"""The CURVE mechanism (RFC 26), as libzmq speaks it.

Each side has a pair of long-term keys, and another one for each connection, called short here. What is done with them
is PyNaCl's (libsodium's) to do; random octets are its own, too.
"""

from __future__ import annotations

import contextlib
import weakref

from nacl.bindings import (
    crypto_box_beforenm,
    crypto_box_keypair,
    crypto_secretbox_easy,
    crypto_secretbox_open_easy,
    randombytes,
)
from nacl.exceptions import CryptoError

from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.keys import KeyPair, say_key
from zerorpc.zmtp.commands import Command, decode_metadata
from zerorpc.zmtp.mechanisms.base import Credentials
from zerorpc.zmtp.mechanisms.curve_traffic import SealedTraffic

__all__ = ["CookieKey", "CookieKeys", "CurveClient", "CurveServer"]

_VERSION = b"\1\0"
_PADDING = bytes(72)  # makes HELLO larger than WELCOME
_HELLO_SIZE = 200 - 6  # octets behind the name, as all of these
_WELCOME_SIZE = 168 - 8
_INITIATE_MIN = 257 - 9
_READY_MIN = 30 - 6


class CookieKey:
    """What a server seals cookies with for a while. Several handshakes share it."""

    __slots__ = ("__weakref__", "key")

    def __init__(self) -> None:
        self.key: bytes = randombytes(32)


class CookieKeys:
    """The cookie keys of a server, each thrown away after a while (RFC 26: "for example 60 seconds").

    A handshake that has sent its cookie refers to its key; when the last of them is over nothing has it any more. New
    handshakes get a new key after ``LIFETIME`` seconds.
    """

    LIFETIME = 60.0

    __slots__ = ("_current", "_made")

    def __init__(self) -> None:
        self._current: weakref.ref[CookieKey] | None = None
        self._made = 0.0

    def take(self, now: float) -> CookieKey:
        """The key for a connection that begins at the time ``now``, in seconds of a clock that never goes back."""
        key = None if self._current is None else self._current()
        if key is None or now - self._made >= self.LIFETIME:
            key = CookieKey()
            self._current, self._made = weakref.ref(key), now
        return key


class _Curve(SealedTraffic):
    """What both roles have."""

    name: str = "CURVE"
    symmetric: bool = False

    def __init__(self, asks: bool) -> None:
        super().__init__()
        self.asks: bool = asks
        self.credentials: Credentials | None = None
        self.properties: dict[str, bytes] | None = None
        self._metadata = b""


class CurveClient(_Curve):
    """The client's role.

    Arguments: ``public`` and ``secret`` are our long-term keys, ``server`` the server's public one, 32 octets each.
    ``asks``: whether somebody decides about the server, which has shown by then that it has that key.
    """

    as_server: bool = False
    tells_errors: bool = False  # RFC 26: "A client peer SHALL NOT send ERROR to the server"
    credentials: Credentials | None
    properties: dict[str, bytes] | None

    _sends: bytes = b"CurveZMQMESSAGEC"
    _takes: bytes = b"CurveZMQMESSAGES"

    def __init__(self, public: bytes, secret: bytes, server: bytes, asks: bool = False) -> None:
        super().__init__(asks)
        self._public, self._secret, self._server = public, secret, server
        self._expected = b"WELCOME"

    def start(self, metadata: bytes) -> list[Command]:
        self._metadata = metadata
        self._short_public, self._short_secret = crypto_box_keypair()
        try:
            self._hello_key = crypto_box_beforenm(self._server, self._short_secret)
        except CryptoError:
            raise HandshakeFailed("the server's key that was given is no key") from None
        nonce = self._next_nonce()
        box = crypto_secretbox_easy(bytes(64), b"CurveZMQHELLO---" + nonce, self._hello_key)
        return [Command(b"HELLO", b"".join((_VERSION, _PADDING, self._short_public, nonce, box)))]

    def receive(self, command: Command) -> list[Command]:
        name = command.name
        if name == b"HELLO":
            raise HandshakeFailed("both sides have the client's role in CURVE: only one may have the other's key")
        if name != self._expected:
            raise ProtocolError(f"the peer sent {name!r} where {self._expected.decode()} was expected")
        if name == b"WELCOME":
            self._expected = b"READY"
            return [self._initiate(command.data)]
        self._take_ready(command.data)
        return []

    def _initiate(self, welcome: bytes) -> Command:
        if len(welcome) != _WELCOME_SIZE:
            raise ProtocolError(f"a WELCOME of {len(welcome) + 8} octets")
        try:
            opened = crypto_secretbox_open_easy(welcome[16:], b"WELCOME-" + welcome[:16], self._hello_key)
            server, cookie = opened[:32], opened[32:]
            session = crypto_box_beforenm(server, self._short_secret)
            vouch_key = crypto_box_beforenm(server, self._secret)
        except CryptoError:
            raise HandshakeFailed("the server has another key than the one that was given") from None
        vouch_nonce = randombytes(16)
        vouch = crypto_secretbox_easy(self._short_public + self._server, b"VOUCH---" + vouch_nonce, vouch_key)
        nonce = self._next_nonce()
        told = b"".join((self._public, vouch_nonce, vouch, self._metadata))
        box = crypto_secretbox_easy(told, b"CurveZMQINITIATE" + nonce, session)
        self._begin(session)
        del self._short_secret, self._hello_key
        return Command(b"INITIATE", cookie + nonce + box)

    def _take_ready(self, ready: bytes) -> None:
        if len(ready) < _READY_MIN:
            raise ProtocolError(f"a READY of {len(ready) + 6} octets")
        nonce = ready[:8]
        self._heed_nonce(nonce)
        try:
            metadata = crypto_secretbox_open_easy(ready[8:], b"CurveZMQREADY---" + nonce, self._session)
        except CryptoError:
            raise ProtocolError("a READY that the server can't have sealed: it was changed on the way") from None
        self.properties = decode_metadata(metadata)
        self.credentials = Credentials(self.name, self._server)


class CurveServer(_Curve):
    """The server's role.

    Arguments: ``public`` and ``secret`` are our long-term keys, 32 octets each. ``cookie_key`` seals the cookie.
    ``asks``: whether somebody decides about the client, by its ``credentials``: by then it has shown that it has that
    key. ``also``: other keys of ours by which a client may know us.

    Between WELCOME and INITIATE it keeps no key of this connection; the client brings them back in the cookie. What it
    keeps is the cookie's nonce, so that a recorded INITIATE is of no use on another connection: with the messages that
    followed it, calls could be made once more.
    """

    as_server: bool = True
    tells_errors: bool = True
    credentials: Credentials | None
    properties: dict[str, bytes] | None

    _sends: bytes = b"CurveZMQMESSAGES"
    _takes: bytes = b"CurveZMQMESSAGEC"

    def __init__(
        self, public: bytes, secret: bytes, cookie_key: CookieKey, asks: bool = False, also: KeyPair | None = None
    ) -> None:
        super().__init__(asks)
        self._public, self._secret = public, secret
        self._also = also
        self._cookie_key: CookieKey | None = cookie_key
        self._cookie_nonce = b""
        self._expected = b"HELLO"

    def start(self, metadata: bytes) -> list[Command]:
        self._metadata = metadata
        return []

    def receive(self, command: Command) -> list[Command]:
        name = command.name
        if name != self._expected:
            raise ProtocolError(f"the peer sent {name!r} where {self._expected.decode() or 'nothing'} was expected")
        if name == b"HELLO":
            self._expected = b"INITIATE"
            return [self._welcome(command.data)]
        self._expected = b""
        return [self._take_initiate(command.data)]

    def _welcome(self, hello: bytes) -> Command:
        if len(hello) != _HELLO_SIZE or hello[2:74] != _PADDING:
            raise ProtocolError("malformed HELLO")
        if hello[:2] != _VERSION:
            raise ProtocolError(f"CURVE in version {hello[0]}.{hello[1]}, here it is 1.0")
        client, nonce = hello[74:106], hello[106:114]
        self._heed_nonce(nonce)
        key, signature = self._open_hello(client, nonce, hello[114:])
        if signature != bytes(64):
            raise ProtocolError("malformed HELLO")
        short_public, short_secret = crypto_box_keypair()
        assert self._cookie_key is not None
        self._cookie_nonce = randombytes(16)
        cookie = crypto_secretbox_easy(client + short_secret, b"COOKIE--" + self._cookie_nonce, self._cookie_key.key)
        welcome_nonce = randombytes(16)
        told = b"".join((short_public, self._cookie_nonce, cookie))
        return Command(b"WELCOME", welcome_nonce + crypto_secretbox_easy(told, b"WELCOME-" + welcome_nonce, key))

    def _open_hello(self, client: bytes, nonce: bytes, box: bytes) -> tuple[bytes, bytes]:
        """The key that a HELLO is sealed with, and what is in it. Raises HandshakeFailed."""
        for public, secret in filter(None, ((self._public, self._secret), self._also)):
            with contextlib.suppress(CryptoError):
                key = crypto_box_beforenm(client, secret)
                signature = crypto_secretbox_open_easy(box, b"CurveZMQHELLO---" + nonce, key)
                self._public, self._secret = public, secret
                return key, signature
        told = say_key(self._public) if self.asks else ""  # else whoever has the key may call, and it is told to nobody
        raise HandshakeFailed(f"this server has another key than the one that the client was given{told}")

    def _take_initiate(self, initiate: bytes) -> Command:
        if len(initiate) < _INITIATE_MIN:
            raise ProtocolError(f"an INITIATE of {len(initiate) + 9} octets")
        cookie_nonce, cookie, nonce, box = initiate[:16], initiate[16:96], initiate[96:104], initiate[104:]
        if cookie_nonce != self._cookie_nonce:
            raise ProtocolError("a cookie that was not made for this connection")
        self._heed_nonce(nonce)
        assert self._cookie_key is not None
        try:
            keys = crypto_secretbox_open_easy(cookie, b"COOKIE--" + cookie_nonce, self._cookie_key.key)
            self._cookie_key = None
            client, short_secret = keys[:32], keys[32:]
            session = crypto_box_beforenm(client, short_secret)
            told = crypto_secretbox_open_easy(box, b"CurveZMQINITIATE" + nonce, session)
            public, vouch_nonce, vouch = told[:32], told[32:48], told[48:128]
            vouch_key = crypto_box_beforenm(public, short_secret)
            vouched = crypto_secretbox_open_easy(vouch, b"VOUCH---" + vouch_nonce, vouch_key)
        except CryptoError:
            raise ProtocolError("an INITIATE that can't be opened") from None
        if vouched != client + self._public:
            raise ProtocolError("the client vouches for another key, or another server")
        self.properties = decode_metadata(told[128:])
        self.credentials = Credentials(self.name, public)
        self._begin(session)
        ready_nonce = self._next_nonce()
        sealed = crypto_secretbox_easy(self._metadata, b"CurveZMQREADY---" + ready_nonce, self._session)
        return Command(b"READY", ready_nonce + sealed)
