"""The channel of what runs for an idempotency key, and not for a caller."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from zerorpc.protocol.events import ERR, RAN_KEY, decode_header, encode
from zerorpc.protocol.framed import FramedEvent
from zerorpc.protocol.references import Pending
from zerorpc.protocol.server_channel import ServerChannel

__all__ = ["KeyedChannel"]


class _KeyedFields(ServerChannel, eq=False, kw_only=True):
    end: Callable[[bytes, bool], None]  # with the answer, and whether the method has run
    streamed: bool = False


class KeyedChannel(_KeyedFields, eq=False):
    """The channel of what runs for a key. Nobody closes it."""

    @classmethod
    def of(cls, channel: ServerChannel, end: Callable[[bytes, bool], None]) -> KeyedChannel:
        made = cls(channel.peer, channel.key, channel.event, channel.data, channel.routing, end=end)
        made.call, made.until = channel.call, inf
        made.pending = Pending()  # of which there are none; so that its answer goes through ``send``, always
        return made

    def send(self, data: bytes, last: bool = False) -> None:
        if not last:
            self.streamed = True  # what a plain method returned is an iterator
            return
        self.finished = True
        if self.streamed:
            why = f"{self.name}: an idempotency key is for methods that give one reply, and this one gave an iterator"
            data = encode(
                {**self.peer.event_header(self), RAN_KEY: True}, ERR, ("TypeError", why, f"{_HEAD}TypeError: {why}\n")
            )
        if isinstance(data, FramedEvent):
            data = data.in_band()  # it may be kept in a file
        self.end(data, decode_header(data).get(RAN_KEY) is not False)


_HEAD = "Traceback (most recent call last):\n"
