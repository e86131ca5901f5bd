"""Frames: the split of a byte stream into messages and commands, and back (RFC 37, "Framing").

This file does not know what a command means, nor whether the handshake is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.commands import Command

__all__ = ["Frame", "FrameDecoder", "Limits", "Message", "encode_delimited", "encode_message"]

Frame: TypeAlias = "bytes | bytearray"
Message: TypeAlias = "list[Frame]"

_MORE, _LONG, _COMMAND = 0x01, 0x02, 0x04
_SHORT_DELIMITED = bytes((_MORE, 0, 0))  # an empty frame, then a short one's flags: how most requests and replies begin
DELIMITED = [bytes((_MORE, 0, 0, size)) for size in range(256)]  # an empty frame, then a short one's head


class Limits(NamedTuple):
    """What a peer may make us hold, in octets (``frames``: a count).

    ``message`` is above the 100 MiB at which the old implementation's MessagePack reader gave up, so whatever
    worked there still does; it counts frames in the long form, ``frames`` is enough to bound the short ones (255
    octets each). ``command`` bounds the metadata too; libzmq's READY takes under 100 octets. ``subscriptions``
    is for all that one subscriber makes, about 16,000; zerorpc itself makes one.
    """

    message: int = 128 * 1024 * 1024
    frames: int = 256
    command: int = 64 * 1024
    subscriptions: int = 1024 * 1024


class FrameDecoder:
    """Takes received chunks of any size and gives whole messages and commands, in order.

    The work is linear in the octets received: of an unfinished frame only a short one (under 264 octets) is ever
    joined again with the next chunk; a longer one grows in place, and is handed over without another copy.
    """

    __slots__ = ("_body", "_end", "_flags", "_limits", "_message_size", "_parts", "_rest", "has_commands")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest = b""  # the start of a frame whose size is unknown or short
        self._body: bytearray | None = None  # a long frame's body so far
        self._end = 0  # the size it will have
        self._flags = 0
        self._parts: Message = []  # frames of the message under way
        self._message_size = 0
        self.has_commands = False  # set when a command was appended, for the user to clear

    @property
    def in_message(self) -> bool:
        """Whether part of an unfinished message is held here."""
        return bool(self._parts) or (self._body is not None and not self._flags & _COMMAND)

    def receive(self, data: bytes, out: list[Message | Command]) -> None:
        """Take the next chunk and append to ``out``. After a ProtocolError ``out`` has what came before it."""
        position = 0
        if self._body is not None:
            position = self._continue_body(data, out)
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        size = len(data)
        # Hot: one pass, no call per short frame, and one step for a short message behind a delimiter.
        while position + 2 <= size:
            if data.startswith(_SHORT_DELIMITED, position) and not self._parts:
                start = position + 4
                if start <= size and (end := start + data[position + 3]) <= size:
                    out.append([b"", data[start:end]])
                    position = end
                    continue
            flags = data[position]
            if flags > _MORE:
                position = self._uncommon_frame(data, position, out)
                if position < 0:
                    return
                continue
            start = position + 2
            position = start + data[position + 1]
            if position > size:
                position = start - 2
                break
            self._parts.append(data[start:position])
            if not flags:
                out.append(self._parts)
                self._parts = []
                self._message_size = 0
            elif len(self._parts) >= self._limits.frames:
                raise ProtocolError(f"a message of more than {self._limits.frames} frames")
        if position < size:
            self._rest = data[position:]

    def _uncommon_frame(self, data: bytes, position: int, out: list[Message | Command]) -> int:
        """A long frame or a command at ``position``: the position after it, or -1 when it isn't complete."""
        flags = data[position]
        if flags & ~(_MORE | _LONG | _COMMAND) or (flags & _COMMAND and flags & _MORE):
            raise ProtocolError(f"a frame with flags 0x{flags:02x}")
        if not flags & _LONG:
            start, length = position + 2, data[position + 1]
        elif len(data) < position + 9:
            self._rest = data[position:]
            return -1
        else:
            start, length = position + 9, int.from_bytes(data[position + 1 : position + 9], "big")
        self._check_size(flags, length)
        if start + length <= len(data):
            self._finish_frame(flags, data[start : start + length], out)
            return start + length
        if flags & _LONG:
            self._flags, self._end = flags, length
            self._body = bytearray(memoryview(data)[start:])
        else:
            self._rest = data[position:]
        return -1

    def _continue_body(self, data: bytes, out: list[Message | Command]) -> int:
        """Add to the long frame under way; the position after what belongs to it."""
        body = self._body
        assert body is not None
        missing = self._end - len(body)
        if len(data) < missing:
            body += data
            return len(data)
        body += memoryview(data)[:missing]
        self._body = None
        self._finish_frame(self._flags, body, out)
        return missing

    def _check_size(self, flags: int, length: int) -> None:
        """Refuse a frame by its announced size, before any of it is kept."""
        if flags & _COMMAND:
            if length > self._limits.command:
                raise ProtocolError(f"a command of {length} octets (the limit is {self._limits.command})")
            return
        if self._message_size + length > self._limits.message:
            total = self._message_size + length
            raise ProtocolError(f"a message of {total} octets or more (the limit is {self._limits.message})")

    def _finish_frame(self, flags: int, body: Frame, out: list[Message | Command]) -> None:
        if flags & _COMMAND:
            self.has_commands = True
            out.append(Command.decode(bytes(body)))
            return
        self._parts.append(body)
        self._message_size += len(body)
        if not flags & _MORE:
            out.append(self._parts)
            self._parts = []
            self._message_size = 0
        elif len(self._parts) >= self._limits.frames:
            raise ProtocolError(f"a message of more than {self._limits.frames} frames")


def encode_message(parts: Sequence[Frame], out: list[Frame]) -> None:
    """Append the octets of one message: buffers to send in order; a large frame is one of them, not copied."""
    last = len(parts) - 1
    for index, body in enumerate(parts):
        flags = _MORE if index < last else 0
        size = len(body)
        if size < 256:
            out.append(bytes((flags, size)) + body)
        else:
            out.append(bytes((flags | _LONG,)) + size.to_bytes(8, "big"))
            out.append(body)


def encode_delimited(body: Frame, out: list[Frame]) -> None:
    """``encode_message([b"", body])``, the form of every request and reply (RFC 28), for less."""
    size = len(body)
    if size < 256:
        out.append(DELIMITED[size] + body)
    else:
        out.append(b"\x01\0\x02" + size.to_bytes(8, "big"))
        out.append(body)
