"""One request's execution: its hooks in order, its result, items or error packed for the wire.

The same steps serve all ways of running a method; where they run (on the loop, on a worker thread) is decided in
``runners``. Whatever a method raises, the caller gets a reply.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from zerorpc.errors import SERVER_ERRORS, RemoteError, SerializationError, UnknownMethod, WrongArguments
from zerorpc.logs import Logger
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import (
    DONE,
    ERR,
    ERROR_KEY,
    OK,
    RAN_KEY,
    STREAM,
    VERSION,
    Event,
    encode,
    encode_item,
    encode_ok,
    no_array,
)
from zerorpc.service.methods import Method
from zerorpc.service.signatures import cannot_begin, misfit
from zerorpc.shown import message_of, name_of, trace_of, traceback_of, without_frames_of

__all__ = ["Execution", "Outlet", "ServerHooks"]

logger: Logger = Logger("zerorpc.server")


class ServerHooks(Protocol):
    """The hooks of ``zerorpc.Context`` that a request passes. Without middleware ``hooks_server`` is false."""

    hooks_server: bool

    def hook_load_task_context(self, event_header: dict[str, Any], /) -> None: ...

    def hook_get_task_context(self) -> dict[str, Any]: ...

    def hook_server_before_exec(self, request_event: Event, /) -> None: ...

    def hook_server_after_exec(self, request_event: Event, reply_event: Event | None, /) -> None: ...

    def hook_server_inspect_exception(
        self, request_event: Event, reply_event: Event | None, exc_infos: object, /
    ) -> None: ...


class ComesFrom(Protocol):
    """What a connection belongs to. It is ``stale`` in a forked child: then its peers are the parent's."""

    stale: bool


class Outlet(Protocol):
    """The connection that a request came by, and its reply goes out by."""

    flush_scheduled: bool

    @property
    def hub(self) -> ComesFrom: ...

    def flush(self) -> None:
        """Send what waits."""

    def flush_soon(self) -> None:
        """Send what waits, at the end of this turn of the loop."""


class Execution(Struct, eq=False):
    """A request and the method that answers it. Each step returns the packed event to send.

    ``begin``, the method and the steps after it run in one thread, so that hooks may use thread-locals.
    """

    channel: ServerChannel
    method: Method | None
    context: ServerHooks
    hooked: bool  # whether the context has hooks to call
    event: Event | None = None
    over: bool = False  # of a call on the loop: its task has nothing to do with it any more
    header_extra: dict[str, Any] | None = None  # for each item of a stream
    ran: bool | None = True  # what an error says of the method: that it ran, or not; None: that isn't known
    refused: type[RemoteError] | None = None  # what the server itself says, in place of the method

    def begin(self) -> Method:
        """Before the method: hooks. Raises NameError for a method that doesn't exist, TypeError for no list.

        May be left out where there is a method, a list, and no hook.
        """
        self.ran = False
        if self.hooked:
            self.event = self.channel.request_event()
            self.context.hook_load_task_context(self.event.header)
        if self.method is None:
            self.refused = UnknownMethod
            raise NameError(self.channel.name)
        if type(self.channel.event.args) is not list:  # type: ignore[union-attr]  # a BadEvent is never begun
            self.refused = WrongArguments
            raise TypeError(no_array(self.channel.name, self.channel.args))
        if self.event is not None:
            self.context.hook_server_before_exec(self.event)
            if self.method.streams:
                self.begin_stream()
        self.ran = True
        return self.method

    def begin_stream(self) -> None:
        """Before the first item. Safe to call twice."""
        if self.event is not None and self.header_extra is None:
            self.header_extra = self.context.hook_get_task_context()

    def result(self, value: object) -> bytes:
        """The method returned."""
        channel = self.channel
        try:
            if self.event is None:
                return encode_ok(channel.peer.new_id(), channel.event.header.message_id, value)
            header = channel.peer.event_header(channel)
            header.update(self.context.hook_get_task_context())
            reply = Event(OK, (value,), header)
            self.context.hook_server_after_exec(self.event, reply)
            return encode(reply.header, reply.name, reply.args)
        except SerializationError as error:
            raise self._unsendable("result", error) from None

    def item(self, value: object) -> bytes:
        """The method yielded."""
        channel = self.channel
        try:
            if self.event is None:
                return encode_item(channel.peer.new_id(), channel.event.header.message_id, value)
            return encode({**channel.peer.event_header(channel), **(self.header_extra or {})}, STREAM, value)
        except SerializationError as error:
            raise self._unsendable("item", error) from None

    def done(self) -> bytes:
        """The method has yielded everything. The hook runs once, here, and not at each item."""
        header = self.channel.peer.event_header(self.channel)
        if self.header_extra:
            header.update(self.header_extra)
        reply = Event(DONE, None, header)
        if self.event is not None:
            self.context.hook_server_after_exec(self.event, reply)
        return encode(reply.header, reply.name, reply.args)

    def error(self, error: BaseException) -> bytes:
        """The method, or a step around it, raised. Never raises, whatever that was."""
        try:
            if type(error) is MemoryError:  # first, since each step needs a little
                traceback.clear_frames(error.__traceback__)  # they hold what the method took
            return self._tell(error)
        except BaseException:  # no memory, or Ctrl-C: a server ends by a handler of that, and by nothing raised here
            pass  # and from here on this one holds no frames either
        BaseException.with_traceback(error, None)  # with its frames goes what the method holds: all memory, perhaps
        logger.error("%.200s raised %s", self.channel.name, name_of(error))
        return self._shortest_reply(error)

    def _tell(self, error: BaseException) -> bytes:
        trace = without_frames_of(_OUR_MODULES, trace_of(error))
        BaseException.with_traceback(error, trace)  # not by assignment: a class may forbid it
        if type(error) is TypeError and trace is None and self.method is not None:
            error = self._heed_misfit(error, self.method)
        told = _Told.of(error, trace)
        if told.usual:
            logger.error("%.200s raised %s", self.channel.name, told.name, exc_info=told.exc_info)
        else:
            logger.error("%.200s raised %s\n%s", self.channel.name, told.name, told.text)
        return self._reply(told)

    def refusal(self, error: RemoteError, logged: bool = False) -> bytes:
        """What the server itself says, as one of ``errors.SERVER_ERRORS``, and not the method. Never raises."""
        self.ran, self.refused = error.ran, type(error)
        plain = _PLAIN[type(error)](error.msg)
        try:
            plain.__cause__ = error.__cause__
            told = _Told.of(plain, None)
            if logged:
                logger.error("%.200s raised %s", self.channel.name, told.name, exc_info=told.exc_info)
            return self._reply(told._replace(exc_info=(type(error), error, None)))
        except BaseException:
            return self._shortest_reply(plain)

    def _reply(self, told: _Told) -> bytes:
        args = told.args if self.channel.version >= 2 else (message_of(told.error, repr),)  # docs/protocol.md, Events
        if self.hooked:
            try:
                reply = Event(ERR, args, self.channel.peer.event_header(self.channel))
                reply.header.update(self.context.hook_get_task_context())
                reply.header.update(self._error_header())
                event = self.event or self.channel.request_event()
                self.context.hook_server_inspect_exception(event, reply, list(told.exc_info))
                return encode(reply.header, reply.name, reply.args)
            except BaseException as failed:
                logger.error("a hook raised while %.200s's error was handled", self.channel.name, raised=failed)
        return encode({**self.channel.peer.event_header(self.channel), **self._error_header()}, ERR, args)

    def _shortest_reply(self, error: BaseException) -> bytes:
        """What can always be made: without a message id, which may be a program's to make."""
        header = {"v": VERSION, "response_to": self.channel.event.header.message_id, **self._error_header()}
        name = name_of(error)
        return encode(header, ERR, (name, "", "") if self.channel.version >= 2 else (name,))

    def _error_header(self) -> dict[str, bool | str | None]:
        """What clients of ours are told of an error besides its three texts."""
        if self.channel.peer.level < 1:
            return {}
        if self.refused is None:
            return {RAN_KEY: self.ran}
        return {RAN_KEY: self.ran, ERROR_KEY: self.refused.__name__}

    def _heed_misfit(self, error: TypeError, method: Method) -> TypeError:
        """The method was called, and no frame of it is left: its arguments don't fit, or it is a built-in.

        Python's message names the function, which may be a lambda; callers know the method.
        """
        args = self.channel.args
        why = misfit(method, args) if type(args) is list else None
        if self.ran:
            self.ran = None  # a built-in has raised, perhaps
        if why is None:
            return error
        self.refused = WrongArguments
        if cannot_begin(method, args):
            self.ran = False
        named = message_of(error).partition("()")[0].rpartition(".")[2]  # as in "Cooler.add_man() takes ..."
        return error if named == method.name else TypeError(f"{method.name}(): {why}")

    def _unsendable(self, what: str, error: SerializationError) -> SerializationError:
        unsendable = SerializationError(f"the {what} of {self.channel.name} can't be sent: {error}")
        unsendable.method, unsendable.ran = self.channel.name, True
        return unsendable


class _Told(NamedTuple):
    """An exception as it is told of."""

    error: BaseException
    name: str
    message: str
    text: str  # the traceback
    usual: bool  # it is as Python prints it
    exc_info: tuple[Any, Any, Any]

    @classmethod
    def of(cls, error: BaseException, trace: TracebackType | None) -> _Told:
        kind = type(error)
        if issubclass(kind, SerializationError):
            name = "TypeError"  # as 0.6 calls it
        elif kind in _PLAIN:
            name = (
                "RemoteError"  # another server's, that the method has called: this one has nothing of the kind to say
            )
        else:
            name = name_of(error)
        text, usual = traceback_of(error, trace)
        if trace is None and not text.startswith(_HEAD):  # raised by a built-in: no frame is left to show
            text = f"{_HEAD}{text}"
        return cls(error, name, message_of(error), text, usual, (kind, error, trace))

    @property
    def args(self) -> tuple[str, str, str]:
        return self.name, self.message, self.text


_HEAD = "Traceback (most recent call last):\n"
# ``str()`` of a RemoteError is more than its message. These are told of in their place, and look the same.
_PLAIN: dict[type[BaseException], type[Exception]] = {
    kind: type(name, (Exception,), {"__module__": kind.__module__}) for name, kind in SERVER_ERRORS.items()
}
_OUR_MODULES = (
    __name__,
    "zerorpc.service.runners",
    "zerorpc.service.coroutines",
    "zerorpc.service.thread_jobs",
    "zerorpc.service.process_jobs",
    "zerorpc.service.process_pool",
    "zerorpc.service.methods",
)
