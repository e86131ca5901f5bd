"""What CURVE does with traffic, in both roles (RFC 26, "The MESSAGE Command"): each frame is sealed by itself.

libzmq sends what is sealed in frames without the command flag, and would take a sealed message for a command if they
had it. So do we, and understand both.

Most frames are small, and then most of the time that a box takes is spent around libsodium. So they go right to it, by
what PyNaCl itself calls it with: small ones in and out of memory that the connection keeps, 1 us for 60 octets, where
PyNaCl's functions take 2 to 2.8 (measured); large ones without copies. Where a later PyNaCl should not have that any
more, its functions are used.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from nacl.bindings import crypto_secretbox_easy, crypto_secretbox_open_easy
from nacl.exceptions import CryptoError

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import Frame, Limits, Message, Oversized

ffi: Any
lib: Any
try:
    from nacl import _sodium

    ffi, lib = _sodium.ffi, _sodium.lib
except (ImportError, AttributeError):
    ffi = lib = None

__all__ = ["SealedTraffic"]

_MESSAGE = b"\7MESSAGE"
_BOX = 16  # octets that a box is larger than what is in it
_HEAD = 16  # name and nonce
_MESSAGE_MIN = _HEAD + _BOX + 1
_SHORT = [bytes((0, size)) + _MESSAGE for size in range(256)]  # heads of short frames
_DELIMITER = 2 + _MESSAGE_MIN  # octets of a sealed empty frame
_SMALL = 255 - _MESSAGE_MIN  # octets of a frame that is a short one when it is sealed
_MORE, _COMMAND = 1, 2


class SealedTraffic:
    """The sealing and opening of one connection. Its nonces only grow, and so have those of the peer to."""

    seals: bool = True
    leaves_out_delimiters: bool = False
    overhead: int = _MESSAGE_MIN

    _sends: bytes  # the nonce's first 16 octets, of what we seal
    _takes: bytes  # and of what the peer does

    def __init__(self) -> None:
        self.limits: Limits = Limits()
        self._session = b""  # the key that both of this connection's pairs give
        self._sent = 0  # the last short nonce of ours,
        self._received = 0  # and of the peer's
        self._parts: Message = []  # of the message under way
        self._size = 0

    def _begin(self, session: bytes) -> None:
        """The key is known. Memory for small boxes is taken now, so that strangers don't have us take it."""
        self._session = session
        if lib is None:
            return
        self._key = ffi.new("unsigned char[]", session)  # which saves a conversion for each box
        out, self._into = ffi.new("unsigned char[]", _DELIMITER + 2 + 255), ffi.new("unsigned char[]", 256)
        self._out, self._opened = ffi.buffer(out), ffi.buffer(self._into)
        self._out[0:10] = _SHORT[_DELIMITER - 2]
        self._out[_DELIMITER : _DELIMITER + 10] = _SHORT[0]
        self._first, self._second = out + 2 + _HEAD, out + _DELIMITER + 2 + _HEAD
        self._kept = out  # as long as there are pointers into it

    # Nonces

    def _next_nonce(self) -> bytes:
        """Each only once. OverflowError after 2**64 - 1 of them, as the RFC wants it."""
        self._sent += 1
        return self._sent.to_bytes(8, "big")

    def _heed_nonce(self, nonce: bytes) -> None:
        number = int.from_bytes(nonce, "big")
        if number <= self._received:
            raise ProtocolError(f"the peer sent nonce {number} after {self._received}: this is a replay, or reordered")
        self._received = number

    # Sealing

    def seal_delimited(self, body: Frame) -> list[Frame]:
        """``seal([b"", body])``, for less: both frames at once, in their places. Or ``seal([body])``, where the peer
        does without the other one: it takes as long as a small body.
        """
        size = len(body)
        if size > _SMALL or lib is None:
            return self.seal((body,) if self.leaves_out_delimiters else (b"", body))
        if self.leaves_out_delimiters:
            self._sent += 1
            nonce, out = self._sent.to_bytes(8, "big"), self._out
            lib.crypto_secretbox_easy(self._second, b"\0" + body, size + 1, self._sends + nonce, self._key)
            out[_DELIMITER + 1] = _OCTETS[size + _MESSAGE_MIN]
            out[_DELIMITER + 10 : _DELIMITER + 18] = nonce
            return [out[_DELIMITER : _DELIMITER + 2 + _MESSAGE_MIN + size]]
        self._sent = last = self._sent + 2
        first_nonce, nonce = (last - 1).to_bytes(8, "big"), last.to_bytes(8, "big")
        sends, session, out = self._sends, self._key, self._out
        lib.crypto_secretbox_easy(self._first, b"\1", 1, sends + first_nonce, session)
        lib.crypto_secretbox_easy(self._second, b"\0" + body, size + 1, sends + nonce, session)
        out[10:18] = first_nonce
        out[_DELIMITER + 1] = _OCTETS[size + _MESSAGE_MIN]
        out[_DELIMITER + 10 : _DELIMITER + 18] = nonce
        return [out[: _DELIMITER + 2 + _MESSAGE_MIN + size]]

    def seal(self, parts: Sequence[Frame]) -> list[Frame]:
        frames: list[Frame] = []
        last = len(parts) - 1
        for index, part in enumerate(parts):
            self._seal_into(b"\1" if index < last else b"\0", part, frames)
        return frames

    def seal_command(self, command: Command) -> list[Frame]:
        frames: list[Frame] = []
        self._seal_into(b"\2", command.body, frames)
        return frames

    def _seal_into(self, flags: bytes, body: Frame, frames: list[Frame]) -> None:
        nonce = self._next_nonce()
        box = _sealed(flags, body, self._sends + nonce, self._session)
        size = _HEAD + len(box)
        if size < 256:
            frames.append(b"".join((_SHORT[size], nonce, box)))
        else:
            frames.append(b"\2" + size.to_bytes(8, "big") + _MESSAGE + nonce)
            frames.append(box)

    # Opening

    def open(self, items: Sequence[Message | Command], out: list[Message | Command]) -> bool:
        """Append what sealed items complete; whether there is a command among it. Raises ProtocolError for one that the
        peer can't have sealed.
        """
        commands = False
        takes, session = self._takes, self._session
        key = session if lib is None else self._key
        for item in items:
            sealed = item[0] if type(item) is list and len(item) == 1 else _sealed_in(item)
            size = len(sealed) - _HEAD
            if not sealed.startswith(_MESSAGE):
                raise ProtocolError(_CLEAR)
            if size <= _BOX:
                raise ProtocolError(f"a sealed message of {len(sealed)} octets is too short")
            number, nonce = _number_in(sealed, 8)[0], bytes(sealed[8:16])
            if number <= self._received:
                self._heed_nonce(nonce)
            self._received = number
            opened: Frame
            if size < 256 and lib is not None:
                if lib.crypto_secretbox_open_easy(self._into, bytes(sealed[16:]), size, takes + nonce, key):
                    raise ProtocolError(_CHANGED)
                opened, flags = self._opened[1 : size - _BOX], ord(self._opened[0])
            else:
                opened, flags = _opened(sealed, takes + nonce, session)
            if not flags and not self._parts and len(opened) <= self.limits.message:
                out.append([opened])
            elif flags <= _MORE:
                self._take_part(opened, flags, out)
            elif flags == _COMMAND and not self._parts:
                out.append(Command.decode(bytes(opened)))
                commands = True
            else:
                raise ProtocolError(f"a sealed frame with flags 0x{flags:02x}")
        return commands

    def _take_part(self, part: Frame, flags: int, out: list[Message | Command]) -> None:
        parts, limits = self._parts, self.limits
        self._size += len(part)
        if self._size > limits.message:
            raise ProtocolError(f"a message of {self._size} octets or more (the limit is {limits.message})")
        parts.append(part)
        if not flags:
            out.append(parts)
            self._parts, self._size = [], 0
        elif len(parts) >= limits.frames:
            raise ProtocolError(f"a message of more than {limits.frames} frames")


def _sealed(flags: bytes, body: Frame, nonce: bytes, key: bytes) -> Frame:
    """The box of a frame."""
    if lib is None:
        return crypto_secretbox_easy(flags + body, nonce, key)
    size = 1 + len(body)
    box = bytearray(_BOX + size)
    box[_BOX : _BOX + 1] = flags
    box[_BOX + 1 :] = body
    with ffi.from_buffer("unsigned char[]", box) as start:
        lib.crypto_secretbox_easy(start, start + _BOX, size, nonce, key)
    return box


def _opened(sealed: Frame, nonce: bytes, key: bytes) -> tuple[Frame, int]:
    """What is in a sealed frame, and its flags. Raises ProtocolError if the peer can't have sealed it, or it is too
    large: then its end is not here.
    """
    if type(sealed) is Oversized:
        raise ProtocolError(sealed.why)
    if lib is None:
        try:
            told = crypto_secretbox_open_easy(bytes(sealed[_HEAD:]), nonce, key)
        except CryptoError:
            raise ProtocolError(_CHANGED) from None
        return told[1:], told[0]
    opened = bytearray(len(sealed) - _HEAD - _BOX)
    with ffi.from_buffer("unsigned char[]", sealed) as box, ffi.from_buffer("unsigned char[]", opened) as start:
        refused = lib.crypto_secretbox_open_easy(start, box + _HEAD, len(sealed) - _HEAD, nonce, key)
    if refused:
        raise ProtocolError(_CHANGED)
    flags = opened[0]
    del opened[0]  # costs nothing: a bytearray's start only moves
    return opened, flags


def _sealed_in(item: Message | Command) -> bytes:
    """What is sealed, if it came in a command frame. Raises ProtocolError for a message of several frames."""
    if isinstance(item, Command):
        return item.body
    raise ProtocolError(_CLEAR)


_number_in = struct.Struct(">Q").unpack_from
_OCTETS = [bytes((octet,)) for octet in range(256)]
_CLEAR = "the peer sent in clear, but CURVE seals all messages and commands"
_CHANGED = "a sealed message that the peer can't have sealed: it was changed on the way"
