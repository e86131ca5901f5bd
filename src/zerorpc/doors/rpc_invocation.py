"""zerorpc's own door: a request that came over a channel, as an ``Invocation``."""

from __future__ import annotations

from math import inf, isnan
from typing import ClassVar

from zerorpc.errors import SerializationError
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import (
    DONE,
    ERR,
    ERROR_KEY,
    RAN_KEY,
    TIMEOUT_KEY,
    USUAL_TIMEOUT,
    VERSION,
    decode_header,
    encode,
    encode_item,
    encode_ok,
)
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation, Runner
from zerorpc.shown import message_of
from zerorpc.transport.aio_link import AioLink

__all__ = ["RpcInvocation"]


class RpcInvocation(Invocation, eq=False):
    """A request of a zerorpc client, of ours or an older one."""

    modules: ClassVar[tuple[str, ...]] = (*Invocation.modules, __name__, "zerorpc.doors.hooked_invocation")

    channel: ServerChannel
    link: AioLink

    # Packing

    def result(self, value: object) -> bytes:
        channel = self.channel
        try:
            return encode_ok(channel.peer.new_id(), channel.event.header.message_id, value)
        except SerializationError as error:
            raise self.unsendable("result", error) from None

    def item(self, value: object) -> bytes:
        channel = self.channel
        try:
            return encode_item(channel.peer.new_id(), channel.event.header.message_id, value)
        except SerializationError as error:
            raise self.unsendable("item", error) from None

    def done(self) -> bytes:
        return encode(self.channel.peer.event_header(self.channel), DONE, None)

    def failure(self, failure: Failure) -> bytes:
        header = {**self.channel.peer.event_header(self.channel), **self.failure_header(failure)}
        return encode(header, ERR, self.failure_args(failure))

    def failure_args(self, failure: Failure) -> tuple[str, ...]:
        """What every client is told of an error (docs/protocol.md, Events)."""
        if self.channel.version < 2:
            return (message_of(failure.error, repr),)
        return failure.name, failure.message, failure.text

    def failure_header(self, failure: Failure) -> dict[str, bool | str | None]:
        """What clients of ours are told besides."""
        return self._told_ours(failure.ran, failure.refused)

    def _told_ours(self, ran: bool | None, refused: type[BaseException] | None) -> dict[str, bool | str | None]:
        if self.channel.peer.level < 1:
            return {}
        return {RAN_KEY: ran} if refused is None else {RAN_KEY: ran, ERROR_KEY: refused.__name__}

    def failure_in_short(self, name: str) -> bytes:
        """Without a message id, which may be a program's to make."""
        message_id = self.channel.event.header.message_id
        header = {"v": VERSION, "response_to": message_id, **self._told_ours(self.ran, self.refused)}
        return encode(header, ERR, (name, "", "") if self.channel.version >= 2 else (name,))

    # The way back

    @property
    def closed(self) -> bool:
        return self.channel.closed

    @property
    def room(self) -> int:
        channel = self.channel
        return channel.room if channel.peer.writable else 0

    @property
    def runner(self) -> Runner | None:
        return self.channel.runner

    @runner.setter
    def runner(self, runner: Runner | None) -> None:
        self.channel.runner = runner

    def send_item(self, data: bytes) -> None:
        self.channel.send(data)
        link = self.link
        if not link.flush_scheduled:
            link.flush_soon()

    def answer(self, data: bytes, flush: bool = True) -> None:
        channel, link = self.channel, self.link
        channel.send(data, last=True)
        if not flush:
            return
        if channel.peer.channels:
            link.flush_soon()
        else:
            link.flush()

    def flush_soon(self) -> None:
        self.link.flush_soon()

    # Waiting

    @property
    def patience(self) -> float:
        """As its header says; or what most callers wait."""
        timeout = decode_header(self.channel.data).get(TIMEOUT_KEY, USUAL_TIMEOUT)
        if timeout is None:
            return inf
        # a middleware's key may happen to have the same name; and nan would be within every limit
        return timeout if type(timeout) in (int, float) and not isnan(timeout) else USUAL_TIMEOUT

    @property
    def octets(self) -> int:
        return len(self.channel.data)
