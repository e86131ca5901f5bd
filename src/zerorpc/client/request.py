"""A call as both clients make it: packing the request, and what its replies mean. Waiting is the clients' part."""

from __future__ import annotations

import contextlib
import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import structs

from zerorpc.calls.dispatch import Calls
from zerorpc.calls.finding import STREAMS
from zerorpc.calls.retry import attempts_of, take_twin
from zerorpc.client.agreed import Agreed
from zerorpc.client.call_options import CallOptions
from zerorpc.client.lending import Packed, lend_progress, not_sent, pack_specially
from zerorpc.client.uploads import take_stream
from zerorpc.compat.context import Context
from zerorpc.errors import (
    SERVER_ERRORS,
    Cancelled,
    LostRemote,
    ProtocolError,
    RemoteError,
    ServerOverloaded,
    ZeroRPCError,
)
from zerorpc.protocol.call_header import retry_after
from zerorpc.protocol.channel import DEFAULT_SLOTS, STATE_STREAMING, USUAL_TERMS, Answer, ClientChannel
from zerorpc.protocol.events import (
    CALL_KEY,
    DONE,
    ERR,
    ERROR_KEY,
    ITEM_EVENTS,
    OK,
    RAN_KEY,
    STREAM,
    TIMEOUT_KEY,
    USUAL_TIMEOUT,
    VERSION,
    Buffer,
    Event,
    decode_header,
    too_large,
)
from zerorpc.protocol.liveness import FOREVER
from zerorpc.protocol.message_ids import check_id
from zerorpc.protocol.packing import PLAIN, encode_quickly, encode_usual
from zerorpc.protocol.patterns import ReqStream, patterns_list, remote_error, reply_value
from zerorpc.remote_method import method_name
from zerorpc.scope import Scope, current_scope
from zerorpc.zmtp import frames

__all__ = ["Caller", "Request", "answered", "lost_with"]

answered: Callable[[ClientChannel], bool] = operator.attrgetter("answered")


class Caller(Protocol):
    """A client's core."""

    context: Context
    timeout: float | None
    old_spelling: tuple[str, ...]  # the keywords of a call that are its options, as zerorpc 0.6 has it

    def make_stream(self, request: Request) -> object:
        """An iterator of the client's kind over a stream's items."""

    def abandon(self, channel: ClientChannel) -> None:
        """Give a call up. Safe for one that has ended."""

    def drop(self, channel: ClientChannel, error: Exception | None = None) -> None:
        """The same at any moment and in any thread, a little later perhaps."""

    @property
    def calls(self) -> Calls:
        """The open and the waiting ones."""


class Request:
    """One call's request and the hooks around it. ``event`` is None when no middleware wants to see it."""

    __slots__ = ("__weakref__", "_caller", "_end_data", "channel", "event")

    _end_data: Buffer  # unset until a stream has ended

    def __init__(
        self,
        caller: Caller,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None,
        now: float,
    ) -> None:
        """Pack the request. Raises SerializationError, naming the method, TimeoutExpired or Cancelled, if the running
        code has no time left for a call, or nobody to make it for, and whatever a hook raises.
        """
        name = method if type(method) is str else method_name(method)
        context = caller.context
        message_id = context.next_msgid()
        timeout, slots, agreed = caller.timeout, DEFAULT_SLOTS, None
        header: dict[str, object] = {"message_id": message_id, "v": VERSION}
        scope = current_scope()
        if scope is not None or kwargs or options is not None:
            agreed = Agreed.of(name, timeout, options, kwargs, scope)
            timeout, slots = agreed.timeout, agreed.slots
            if agreed.said:
                header[CALL_KEY] = agreed.said
            if options is not None and options.call is not None:
                header = {**options.call.headers, **header}
                options.call.request = self
        if timeout != USUAL_TIMEOUT:
            header[TIMEOUT_KEY] = None if timeout is None else float(timeout)
        self._caller = caller
        self.event: Event | None = None
        if context.hooks_client:
            header = {**context.hook_get_task_context(), **header}  # a whole header of another's call, perhaps
            self.event = event = Event(name, args, header)
            context.hook_client_before_request(event)
            header, args = event.header, event.args
            called, looked_at = event.name, tuple(event.args) if isinstance(event.args, (list, tuple)) else ()
            if context.own_ids or header.get("message_id") is not message_id:
                message_id = check_id(header.get("message_id"))  # of a hook: what the server answers is what it gets
                caller.calls.check_unused(message_id)
        else:
            called, looked_at = name, args
        upload = special = None
        try:
            if kwargs:
                data: Buffer = encode_quickly(header, called, looked_at)
            else:
                for arg in looked_at:
                    if type(arg) not in PLAIN:
                        data = encode_quickly(header, called, looked_at)
                        break
                else:
                    data = encode_usual((header, called, args))
        except Exception:
            upload, args = take_stream(name, header, args)
            special = pack_specially(name, header, called, args)
            data = special.data
        if len(data) > frames.MESSAGE_MAX:
            raise not_sent(name, too_large(len(data)))
        deadline = FOREVER if timeout is None else now + timeout
        self.channel: ClientChannel = ClientChannel(message_id, name, data, timeout, deadline, slots)
        if agreed is not None:
            self.channel.terms = agreed.terms(now)
        if upload is not None:
            self.channel.upload = upload
            self.channel.terms = structs.replace(self.channel.terms, needs=(*self.channel.terms.needs, STREAMS))
        if special is not None and special.needs:
            self._go_specially(special, agreed)
        if options is not None and options.progress is not None:
            lend_progress(self.channel, options.progress)
            if options.hedge:
                raise TypeError(f"{name}: a call that is hedged reports no progress: two attempts would")
        if scope is not None and not (options is not None and options.detached):
            self._end_with(scope)

    def _go_specially(self, special: Packed, agreed: Agreed | None) -> None:
        """A server has to be able to take it."""
        channel, name = self.channel, self.channel.method
        if special.lent is not None:
            if agreed is not None and agreed.hedge:
                raise TypeError(f"{name}: a call that passes functions can't be hedged: both attempts would call them")
            channel.lent = special.lent
        needs = (*channel.terms.needs, *special.needs)
        channel.terms = structs.replace(channel.terms, needs=needs, for_older=special.for_older)

    def _end_with(self, scope: Scope) -> None:
        """Be given up together with the call that the running code answers."""
        try:
            scope.adopt(self)
        except Cancelled as error:
            error.method, error.ran = self.channel.method, False
            raise

    def cancel(self) -> None:
        """The call that it was made for has ended. From any thread; safe when this one is over."""
        method = self.channel.method
        error = Cancelled(
            f"calling remote method {method}: the caller of the method that makes the call waits no longer"
        )
        with contextlib.suppress(ReferenceError):  # the client is gone
            self._caller.drop(self.channel, error)

    def outcome(self) -> Any:
        """What the first reply means: the value, the stream that the caller makes, or the error raised."""
        channel = self.channel
        channel.data = b""  # no further attempt needs it, and the program may keep the call
        if channel.upload is not None and channel.state is not STATE_STREAMING:
            self._raise_own()
        reply = channel.reply
        if channel.terms is not USUAL_TERMS:
            self._end_attempts(channel)
        if reply is None:
            self.complete_error()
            assert channel.error is not None
            self.failed(channel.error)
            raise channel.error
        if self.event is not None:
            return self._hooked_outcome(reply)
        if reply.name == OK:
            args = reply.args
            return args[0] if type(args) is list and args else reply_value(args)
        if reply.name == ERR:
            raise self._remote_error(_event(reply, channel.reply_data))
        if reply.name in (STREAM, DONE):
            return self._caller.make_stream(self)
        self._caller.abandon(channel)
        raise self._no_pattern(reply.name)

    def _end_attempts(self, channel: ClientChannel) -> None:
        """The call has its first reply, or its end: an attempt that goes on beside is over."""
        attempts = attempts_of(channel)
        if attempts is None:
            return
        if attempts.hedge and channel.reply is not None:
            self._caller.calls.hedges.measure(channel.method, channel.last_seen - attempts.begun)
        twin = take_twin(channel)
        if twin is not None:
            self._caller.drop(twin)

    def _hooked_outcome(self, reply: Answer) -> Any:
        """The same through the patterns, which call the hooks and which a hook may replace."""
        assert self.event is not None
        context = self._caller.context
        event = _event(reply, self.channel.reply_data)
        try:
            for pattern in context.hook_client_patterns_list(patterns_list):
                if pattern.accept_answer(event):
                    channel = PatternChannel(self, self._caller)
                    return pattern.process_answer(context, channel, self.event, event, self._handle_remote_error)
        except BaseException:  # of a hook: nobody would take the items of what streams
            self._caller.abandon(self.channel)
            raise
        self._caller.abandon(self.channel)
        unknown = self._no_pattern(reply.name)
        self.failed(unknown)
        raise unknown

    def _no_pattern(self, name: str) -> ProtocolError:
        method = self.channel.method
        error = ProtocolError(f"Unable to find a pattern for: {method} (the first reply is {name!r})")
        error.method = method
        return error

    def item(self, wire: Answer, data: Buffer) -> tuple[bool, Any]:
        """What the stream's next event means: ``(True, item)``, ``(False, None)`` at its end, or its error raised."""
        if wire.name != STREAM:
            self._end_data = data
            self._raise_own()
        if wire.name not in ITEM_EVENTS:
            error = ProtocolError(f"{wire.name!r} in the middle of the stream of {self.channel.method}")
            error.method, error.ran = self.channel.method, True
            self.failed(error)
            raise error
        if self.event is not None:
            return _STREAM.process_event(
                self._caller.context, self.event, _event(wire, data), self._handle_remote_error
            )
        if wire.name == ERR:
            raise self._remote_error(_event(wire, data))
        return (True, wire.args) if wire.name == STREAM else (False, None)

    def _raise_own(self) -> None:
        """What the program's own iterator raised, an argument of the call, comes before what the method says to it."""
        upload = self.channel.upload
        if upload is not None and upload.error is not None:
            error, upload.error = upload.error, None  # or they would be a circle, by way of its traceback
            try:
                self.failed(error)
                raise error
            finally:
                del error

    def complete_error(self) -> None:
        """Before the channel's error is raised: it says which call it is about, and whether the method ran."""
        channel = self.channel
        self._raise_own()
        if isinstance(channel.error, ZeroRPCError) and channel.error.method is None:
            channel.error = error = copy.copy(channel.error)  # when a client is closed, its calls share one
            error.method = channel.method
            attempts = channel.terms.attempts
            if attempts is not None and attempts.doubtful and not error.ran:
                error.ran = None  # an earlier attempt may have
            elif channel.peer is None:
                error.ran = False  # it still waited for a server
            elif channel.inflow is not None:
                error.ran = True  # a stream has begun

    def cancelled(self) -> None:
        """Nobody will ask for the outcome."""

    def failed(self, error: BaseException) -> None:
        """A call ended without a reply: the hook hears of it."""
        if self.event is not None:
            self._caller.context.hook_client_after_request(self.event, None, error)

    def _handle_remote_error(self, event: Event) -> BaseException:
        return self._caller.context.hook_client_handle_remote_error(event) or self._remote_error(event)

    def _remote_error(self, event: Event) -> RemoteError:
        """The exception that an ERR stands for. Only its header tells a server's own error from one of the method's."""
        channel, header = self.channel, event.header
        version, ran, kind = header.get("v", 1), header.get(RAN_KEY), header.get(ERROR_KEY)
        told = remote_error(event.args, version if type(version) is int else 1)
        if not isinstance(ran, bool):
            ran = None if channel.inflow is None else True  # a stream has begun
        attempts = channel.terms.attempts
        if ran is False and attempts is not None and attempts.doubtful:
            ran = None  # this one has not, but an earlier attempt may have
        made = SERVER_ERRORS.get(kind, RemoteError) if isinstance(kind, str) else RemoteError
        error = made(told.name, told.msg, told.traceback, ran=ran, method=channel.method)
        if isinstance(error, ServerOverloaded):
            error.retry_after = retry_after(header)
        error.metadata = {**_metadata(header, "metadata"), **_metadata(header, "end")}
        return error

    @property
    def metadata(self) -> dict[str, str | bytes]:
        """What the method has sent with the first reply (``current_call().reply_metadata``); empty before that."""
        return _metadata(decode_header(self.channel.reply_data), "metadata")

    @property
    def end_metadata(self) -> dict[str, str | bytes]:
        """What it has sent with the last one (``current_call().end_metadata``); empty before that."""
        return _metadata(decode_header(getattr(self, "_end_data", self.channel.reply_data)), "end")


class PatternChannel:
    """The channel as a pattern's ``process_answer`` sees it."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self._request = request
        self._caller = caller

    def iterate(self) -> object:
        """The stream's items, as an iterator of the client's own kind."""
        return self._caller.make_stream(self._request)

    def close(self) -> None:
        """Nothing more is wanted of the call."""
        self._caller.abandon(self._request.channel)


_STREAM = ReqStream()


def _metadata(header: Mapping[str, object], kind: str) -> dict[str, str | bytes]:
    """One kind of metadata in a reply's header."""
    told = header.get(CALL_KEY)
    found = told.get(kind) if isinstance(told, dict) else None
    return {k: v for k, v in found.items() if isinstance(v, (str, bytes))} if isinstance(found, dict) else {}


def lost_with(endpoint: str | None, ended: list[ClientChannel]) -> None:
    """The connection to ``endpoint`` is gone, and ended these calls: their errors tell where that was."""
    for channel in ended:
        if isinstance(channel.error, LostRemote):
            channel.error.endpoint = endpoint


def _event(wire: Answer, data: Buffer) -> Event:
    return Event(wire.name, wire.args, decode_header(data))
