"""Frames: the split of a byte stream into messages and commands, and back (RFC 37, "Framing").

This file does not know what a command means, nor whether the handshake is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from zerorpc.errors import ProtocolError
from zerorpc.limits import MESSAGE_MAX, Limits
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.memory import keep_memory_for, memory_for, use_again

__all__ = [
    "DELIMITED",
    "FRAMED",
    "LONG_HEAD",
    "MESSAGE_MAX",
    "SHORT_DELIMITED",
    "Frame",
    "FrameDecoder",
    "Framed",
    "Limits",
    "Message",
    "Oversized",
    "encode_delimited",
    "encode_framed",
    "encode_message",
    "is_mostly_one_frame",
]

Frame: TypeAlias = "bytes | bytearray"
Message: TypeAlias = "list[Frame]"

_MORE, _LONG, _COMMAND = 0x01, 0x02, 0x04
_BODY_FIRST = 16 * 1024  # octets of memory for the body of a long frame, however little of it is here
# and how many times what is here: the 96 KiB that a blocking client reads first make room for 1 MiB, and a little more
_BODY_AHEAD = 11
_HEAD = 4096  # octets that are kept of a frame that is too large: with them whoever waits for an answer can be told
_PASSED_OVER_MAX = 2**31  # octets of such a frame; more ends the connection, which would bring nothing else for long
SHORT_DELIMITED = bytes((_MORE, 0, 0))  # an empty frame, then a short one's flags: how most requests and replies begin
FRAMED = bytes((_MORE, 0, _MORE))  # the same, and further frames follow: how those with large octets begin
DELIMITED = [bytes((_MORE, 0, 0, size)) for size in range(256)]  # an empty frame, then a short one's head
_FRAMED = [bytes((_MORE, 0, _MORE, size)) for size in range(256)]  # the same, and further frames follow
LONG_HEAD = 9  # octets before the body of a long frame


class Oversized(bytes):
    """The first octets of a frame that makes a message larger than it may be; the others were not kept."""

    why: str = ""


class Framed(bytes):
    """The body of a message behind which further frames go, to a peer that takes them. Its length is that of all."""

    buffers: Sequence[Frame] = ()  # set once, before its length is asked for
    _size: int = -1

    def in_band(self) -> bytes:
        """A body that has all in it, for a peer that doesn't."""
        raise NotImplementedError

    def __len__(self) -> int:
        if self._size < 0:
            self._size = bytes.__len__(self) + sum(map(len, self.buffers))
        return self._size


class FrameDecoder:
    """Takes received chunks of any size and gives whole messages and commands, in order.

    The work is linear in the octets received: of an unfinished frame only a short one (under 264 octets) is ever
    joined again with the next chunk; a longer one's body is filled in place (by ``receive``, or by whoever asks for
    ``body_room`` and says ``body_filled``), and is handed over without another copy. One that is too large is passed
    over: its ``Oversized`` first octets tell whose message it was.
    """

    __slots__ = (
        "_end",
        "_filled",
        "_flags",
        "_largest",
        "_limits",
        "_message_size",
        "_parts",
        "_rest",
        "_too_large",
        "body",
        "has_commands",
        "idle",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rest = b""  # the start of a frame whose size is unknown or short
        self.body: bytearray | None = None  # of the long frame under way; its end may not be allocated yet
        self._filled = 0  # what of it is here
        self._end = 0  # the size it will have
        self._largest = 0  # octets of the largest one that came whole: of such a peer another one is believed
        self._flags = 0
        self._too_large = ""  # why the frame under way is passed over, if it is
        self._parts: Message = []  # frames of the message under way
        self._message_size = 0
        self.idle: bool = True  # nothing of a frame or message is held here
        self.has_commands: bool = False  # set when a command was appended, for the user to clear

    @property
    def in_message(self) -> bool:
        """Whether part of an unfinished message is held here."""
        return bool(self._parts) or (self.body is not None and not self._flags & _COMMAND)

    def whole(self, data: bytes | memoryview) -> Message | None:
        """The one message that a chunk is, if it begins with FRAMED, has one long frame, and nothing was held: what
        ``receive`` would give, for less, and copied. None for any other.
        """
        head_end = 4 + data[3] if len(data) > 3 else 0
        start = head_end + 9
        size = len(data) - start
        if size < 0 or data[head_end] != _LONG or size > self._limits.message or self._limits.frames < 3:
            return None
        if int.from_bytes(data[head_end + 1 : start], "big") != size:
            return None
        return [b"", bytes(data[4:head_end]), bytes(data[start:])]

    def receive(self, data: bytes, out: list[Message | Command]) -> None:
        """Take the next chunk and append to ``out``. After a ProtocolError ``out`` has what came before it."""
        position = 0
        if self.body is not None:
            position = self._continue_body(data, out)
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        self.idle = False  # not earlier: a body's end has just set it
        size = len(data)
        last = size - 2
        # Hot: one pass, no call for a frame that is whole, and one step for a short message behind a delimiter.
        while position <= last:
            if data.startswith(SHORT_DELIMITED, position) and not self._parts:
                length_at = position + 3
                start = length_at + 1
                if start <= size and (end := start + data[length_at]) <= size:
                    out.append([b"", data[start:end]])
                    position = end
                    continue
            flags = data[position]
            if flags <= _MORE:
                start = position + 2
                end = start + data[position + 1]
                if end > size:
                    break
            else:
                start = position + 9
                end = start + int.from_bytes(data[position + 1 : start], "big")
                total = self._message_size + end - start
                if flags > _MORE | _LONG or start > size or end > size or total > self._limits.message:
                    position = self._uncommon_frame(data, position, out)
                    if position < 0:
                        return
                    continue
                self._message_size = total
            self._parts.append(data[start:end])
            position = end
            if not flags & _MORE:
                out.append(self._parts)
                self._parts = []
                self._message_size = 0
            elif len(self._parts) >= self._limits.frames:
                raise ProtocolError(f"a message of more than {self._limits.frames} frames")
        if position < size:
            self._rest = data[position:]
        else:
            self.idle = self.body is None and not self._parts

    def _uncommon_frame(self, data: bytes, position: int, out: list[Message | Command]) -> int:
        """A long frame or a command at ``position``, which may be too large, nonsense, or not all here: the position
        after it, or -1 when it isn't complete.
        """
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
        self._too_large = self._size_problem(flags, length)
        if start + length <= len(data):
            self._finish_frame(flags, data[start : start + length], out)
            return start + length
        if flags & _LONG:
            self._flags, self._end = flags, length
            self._begin_body(memoryview(data)[start:])
        else:
            self._rest = data[position:]
        return -1

    def _begin_body(self, arrived: memoryview) -> None:
        """Memory is only taken for a few times what has really arrived, or did so once: the announced size may be a
        lie.
        """
        size = len(arrived)
        if self._too_large:
            self.body = bytearray(_HEAD + _BODY_FIRST)
            self.body[: min(size, _HEAD)] = arrived[:_HEAD]
        else:
            self.body = self._room(max(_BODY_FIRST, _BODY_AHEAD * size, self._largest))
            self.body[:size] = arrived
        self._filled = size

    def _room(self, size: int) -> bytearray:
        """Memory for so much of a frame, or for all of it."""
        return bytearray(size) if size < self._end else memory_for(self._end) or bytearray(self._end)

    def _continue_body(self, data: bytes, out: list[Message | Command]) -> int:
        """Add to the long frame under way; the position after what belongs to it."""
        position = 0
        while self.body is not None and position < len(data):
            room = self.body_room()
            count = min(len(room), len(data) - position)
            room[:count] = memoryview(data)[position : position + count]
            room.release()
            position += count
            self.body_filled(count, out)
        return position

    @property
    def missing(self) -> int:
        """How many octets of the long frame under way aren't here yet."""
        return self._end - self._filled

    def body_room(self) -> memoryview:
        """Where the next octets of the long frame under way belong: at least one, at most ``missing``.

        Only to be used until ``body_filled``; the memory may move then.
        """
        body = self.body
        assert body is not None
        if self._too_large:
            start, end = (self._filled, _HEAD) if self._filled < _HEAD else (_HEAD, len(body))
            return memoryview(body)[start : min(end, start + self.missing)]
        if self._filled == len(body):  # grown in place it would be zeroed apart and copied: twice the time
            self.body = self._room(_BODY_AHEAD * self._filled)
            self.body[: self._filled] = body
            body = self.body
        return memoryview(body)[self._filled :]

    def body_filled(self, count: int, out: list[Message | Command]) -> None:
        """The first ``count`` octets of ``body_room`` are here now. Appends to ``out`` as ``receive`` does."""
        self._filled += count
        if self._filled == self._end:
            body, self.body = self.body, None
            assert body is not None
            if self._too_large:
                del body[self._end :]
            else:
                self._largest = max(self._largest, self._end)
                keep_memory_for(self._end)
                use_again(body)
            self._finish_frame(self._flags, body, out)
            self.idle = not self._parts

    def _size_problem(self, flags: int, length: int) -> str:
        """Why a frame of such a size is passed over, before any of it is kept; empty if it isn't."""
        if flags & _COMMAND:
            if length > self._limits.command:
                raise ProtocolError(f"a command of {length} octets (the limit is {self._limits.command})")
            return ""
        total = self._message_size + length
        if total <= self._limits.message:
            return ""
        why = f"a message of {total} octets or more (the limit is {self._limits.message})"
        if length > _PASSED_OVER_MAX:
            raise ProtocolError(why)
        return why

    def _finish_frame(self, flags: int, body: Frame, out: list[Message | Command]) -> None:
        if flags & _COMMAND:
            self.has_commands = True
            out.append(Command.decode(bytes(body)))
            return
        if self._too_large:
            body = Oversized(body[:_HEAD])
            body.why, self._too_large = self._too_large, ""
        self._parts.append(body)
        self._message_size += len(body)
        if not flags & _MORE:
            out.append(self._parts)
            self._parts = []
            self._message_size = 0
        elif len(self._parts) >= self._limits.frames:
            raise ProtocolError(f"a message of more than {self._limits.frames} frames")


def is_mostly_one_frame(data: bytes, rest: int) -> bool:
    """Whether octets that begin with a frame have, after a few short ones, one long frame and at most ``rest`` more."""
    position, last = 0, len(data) - 9
    for _ in range(4):  # a delimiter, an event and its first buffer
        if position > last:
            return False
        flags = data[position]
        if flags & _LONG:
            return position + 9 + int.from_bytes(data[position + 1 : position + 9], "big") >= len(data) - rest
        position += 2 + data[position + 1]
    return False


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


def encode_framed(body: Framed, out: list[Frame]) -> None:
    """``encode_message([b"", body, *body.buffers])``, for less: large octets are sent so. There have to be some.

    The head of a buffer stands in one piece with what is before it: each piece costs whoever sends it.
    """
    size = bytes.__len__(body)
    if size < 256:
        head = _FRAMED[size] + body
    else:
        out.append(b"\x01\0\x03" + size.to_bytes(8, "big"))
        out.append(bytes(body))
        head = b""
    left = len(body.buffers)
    for buffer in body.buffers:
        left -= 1
        out.append(head + (b"\x03" if left else b"\x02") + len(buffer).to_bytes(8, "big"))
        out.append(buffer)
        head = b""


def encode_delimited(body: Frame, out: list[Frame]) -> None:
    """``encode_message([b"", body])``, the form of every request and reply (RFC 28), for less."""
    size = len(body)
    if size < 256:
        out.append(DELIMITED[size] + body)
    else:
        out.append(b"\x01\0\x02" + size.to_bytes(8, "big"))
        out.append(body)
