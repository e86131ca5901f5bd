"""zerorpc's own door: a request that came over a channel, as an ``Invocation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from msgspec import structs

from zerorpc.doors.keyed_channel import KeyedChannel
from zerorpc.doors.rpc_references import encode_with_references
from zerorpc.errors import SerializationError, ServerOverloaded
from zerorpc.protocol.call_header import readdressed
from zerorpc.protocol.events import (
    CALL_KEY,
    DONE,
    ERR,
    ERROR_KEY,
    OK,
    RAN_KEY,
    RETRY_AFTER_KEY,
    STREAM,
    VERSION,
    decode_header,
    encode,
    encode_item,
    encode_ok,
)
from zerorpc.protocol.server_channel import ServerChannel, as_patience
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation, Runner
from zerorpc.service.rights import Rights
from zerorpc.shown import message_of
from zerorpc.transport.aio_link import AioLink

__all__ = ["RpcInvocation"]

_OWN = ("message_id", "v", "response_to")  # keys of a header that are the protocol's own, and known in other ways


@quick_to_change
class RpcInvocation(Invocation, eq=False):
    """A request of a zerorpc client, of ours or an older one."""

    modules: ClassVar[tuple[str, ...]] = (*Invocation.modules, __name__, "zerorpc.doors.hooked_invocation")

    channel: ServerChannel
    link: AioLink

    # Packing

    def result(self, value: object) -> bytes:
        channel = self.channel
        if self.extras is not None:
            return self.pack("result", self.header(last=True), OK, (value,))
        try:
            return encode_ok(channel.peer.new_id(), channel.event.header.message_id, value)
        except SerializationError:
            return self.pack("result", self.header(last=True), OK, (value,))

    def item(self, value: object) -> bytes:
        channel = self.channel
        if self.extras is not None and not self.extras.told:
            return self.pack("item", self.header(last=False), STREAM, value)
        try:
            return encode_item(channel.peer.new_id(), channel.event.header.message_id, value)
        except SerializationError:
            return self.pack("item", self.header(last=False), STREAM, value)

    def pack(self, what: str, header: dict[str, object], name: str, args: object) -> bytes:
        """Pack a reply. Raises SerializationError, which names the method."""
        try:
            return encode_with_references(self.channel, header, name, args)
        except SerializationError as error:
            raise self.unsendable(what, error) from None

    def done(self) -> bytes:
        return encode(self.header(last=True), DONE, None)

    def header(self, last: bool) -> dict[str, object]:
        """Of a reply, with the metadata that it has to carry."""
        channel, extras = self.channel, self.extras
        header = channel.peer.event_header(channel)
        if extras is None or channel.peer.level < 1:
            return header
        told: dict[str, object] = {}
        if extras.reply_metadata and not extras.told:
            told["metadata"] = extras.reply_metadata
        extras.told = True
        if last and extras.end_metadata:
            told["end"] = extras.end_metadata
        return {**header, CALL_KEY: told} if told else header

    def failure(self, failure: Failure) -> bytes:
        header = {**self.header(last=True), **self.failure_header(failure)}
        return encode(header, ERR, self.failure_args(failure))

    def failure_args(self, failure: Failure) -> tuple[str, ...]:
        """What every client is told of an error (docs/protocol.md, Events)."""
        if self.channel.version < 2:
            return (message_of(failure.error, repr),)
        return failure.name, failure.message, failure.text

    def failure_header(self, failure: Failure) -> dict[str, object]:
        """What clients of ours are told besides."""
        told = self._told_ours(failure.ran, failure.refused)
        error = failure.exc_info[1]
        if told and failure.refused is ServerOverloaded and isinstance(error, ServerOverloaded):
            told[RETRY_AFTER_KEY] = error.retry_after
        return told

    def _told_ours(self, ran: bool | None, refused: type[BaseException] | None) -> dict[str, object]:
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
    def words(self) -> bool:
        call = self.channel.call
        return call is not None and call.words is True

    @property
    def until(self) -> float:
        return self.channel.until

    @property
    def stream_until(self) -> float:
        return self.channel.stream_until

    @property
    def peer(self) -> str | None:
        return self.channel.peer.name

    @property
    def identity(self) -> str | None:
        rights: Rights | None = self.link.peer.rights
        return None if rights is None else rights.identity

    def admits(self, name: str) -> bool:
        rights: Rights | None = self.link.peer.rights
        return rights is None or rights.admits(name)

    @property
    def denied(self) -> bool:
        rights: Rights | None = self.link.peer.rights
        return self.method is None and rights is not None and rights.knows(self.name)

    def tells_denial(self) -> bool:
        rights: Rights = self.link.peer.rights
        return rights.tells_denial(self.name)

    @property
    def attempt(self) -> int:
        call = self.channel.call
        return 1 if call is None or call.attempt is None else call.attempt

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        call = self.channel.call
        return {} if call is None or call.metadata is None else call.metadata

    @property
    def headers(self) -> Mapping[str, object]:
        header = decode_header(self.channel.data)
        return {key: value for key, value in header.items() if key not in _OWN and not key.startswith("_zpc_")}

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
        if channel.outflow is None and channel.pending is None and not channel.closed:
            channel.finished = True  # as ``send`` does it, without the call
            channel.peer.send_event(channel, data, True)
        else:
            channel.send(data, True)  # by keyword it costs 200 instructions more
        if not flush:
            return
        if channel.peer.channels:
            link.flush_soon()
        else:
            link.flush()

    def flush_soon(self) -> None:
        self.link.flush_soon()

    def for_key(self, end: Callable[[bytes, bool], None]) -> RpcInvocation:
        return structs.replace(self, channel=KeyedChannel.of(self.channel, end))

    @property
    def kept_as(self) -> str:
        return self.name

    def give(self, answer: bytes) -> None:
        channel = self.channel
        self.answer(readdressed(answer, channel.peer.event_header(channel)), flush=False)

    # Waiting

    @property
    def caller(self) -> object:
        return self.channel.peer

    @property
    def open_calls(self) -> int:
        return len(self.channel.peer.channels)

    @property
    def parked_calls(self) -> int:
        return self.channel.peer.parked

    def park(self, by: int) -> None:
        self.channel.peer.parked += by

    @property
    def may_begin(self) -> bool:
        return self.channel.peer.writable

    @property
    def patience(self) -> float:
        """As its header says; or what most callers wait."""
        return as_patience(self.channel.event.header.timeout)

    @property
    def octets(self) -> int:
        return len(self.channel.data)
