"""One request's execution: its hooks in order, its result, items or error packed for the wire.

The same steps serve all ways of running a method; where they run (on the loop, on a worker thread) is decided in
``runners``. Whatever a method raises, the caller gets a reply.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from msgspec import Struct

from zerorpc.errors import SerializationError
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import DONE, ERR, OK, STREAM, Event, encode, encode_item, encode_ok
from zerorpc.service.methods import Method
from zerorpc.service.signatures import misfit

__all__ = ["Execution", "ServerHooks"]

logger = logging.getLogger("zerorpc.server")


class ServerHooks(Protocol):
    """The hooks of ``zerorpc.Context`` that a request passes. Without middleware ``hooks_server`` is false."""

    hooks_server: bool

    def hook_load_task_context(self, event_header: dict[str, Any], /) -> None: ...

    def hook_get_task_context(self) -> dict[str, Any]: ...

    def hook_server_before_exec(self, request_event: Event, /) -> None: ...

    def hook_server_after_exec(self, request_event: Event, reply_event: Event | None, /) -> None: ...

    def hook_server_inspect_exception(
        self, request_event: Event, reply_event: Event | None, exc_infos: Any, /
    ) -> None: ...


class Execution(Struct, eq=False):
    """A request and the method that answers it. Each step returns the packed event to send.

    ``begin``, the method and the steps after it run in one thread, so that hooks may use thread-locals.
    """

    channel: ServerChannel
    method: Method | None
    context: ServerHooks
    hooked: bool  # whether the context has hooks to call
    event: Event | None = None
    coroutine: Any = None  # the method's, once it is called
    header_extra: dict[str, Any] | None = None  # for each item of a stream

    def begin(self) -> Method:
        """Before the method: hooks. Raises NameError for a method that doesn't exist, TypeError for no list.

        May be left out where there is a method, a list, and no hook.
        """
        if self.hooked:
            self.event = self.channel.request_event()
            self.context.hook_load_task_context(self.event.header)
        if self.method is None:
            raise NameError(self.channel.name)
        if type(self.channel.event.args) is not list:  # type: ignore[union-attr]  # a BadEvent is never begun
            kind = type(self.channel.args).__name__
            raise TypeError(f"{self.channel.name}: the arguments have to be an array, not {kind}")
        if self.event is not None:
            self.context.hook_server_before_exec(self.event)
            if self.method.streams:
                self.header_extra = self.context.hook_get_task_context()
        return self.method

    def result(self, value: Any) -> bytes:
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

    def item(self, value: Any) -> bytes:
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
        """The method, or a step around it, raised."""
        error.__traceback__ = _without_our_frames(error.__traceback__)
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # or they would hold what the method took while we tell of it
        if type(error) is TypeError and error.__traceback__ is None and self.method is not None:
            error = self._naming_the_method(error, self.method)
        exc_info = (type(error), error, error.__traceback__)
        logger.error("%s raised %s", self.channel.name, type(error).__name__, exc_info=exc_info)
        return self.refusal(error)

    def refusal(self, error: BaseException) -> bytes:
        """Why the method is not run: an error for the caller, and none of the method's own, to be logged as such."""
        exc_info = (type(error), error, error.__traceback__)
        reply = Event(ERR, self._error_args(error), self.channel.peer.event_header(self.channel))
        if self.hooked:
            try:
                reply.header.update(self.context.hook_get_task_context())
                event = self.event or self.channel.request_event()
                self.context.hook_server_inspect_exception(event, reply, list(exc_info))
                return encode(reply.header, reply.name, reply.args)
            except Exception:
                logger.exception("a hook raised while %s's error was handled", self.channel.name)
                reply = Event(ERR, self._error_args(error), self.channel.peer.event_header(self.channel))
        return encode(reply.header, reply.name, reply.args)

    def _naming_the_method(self, error: TypeError, method: Method) -> TypeError:
        """Arguments that don't fit: Python names the function, which may be a lambda; callers know the method."""
        why = misfit(method, self.channel.args)
        named = str(error).partition("()")[0].rpartition(".")[2]  # as in "Cooler.add_man() takes ..."
        return error if why is None or named == method.name else TypeError(f"{method.name}(): {why}")

    def _error_args(self, error: BaseException) -> tuple[str, ...]:
        """Always three strings; one for a peer of protocol 1 (wire.md §3)."""
        if self.channel.version < 2:
            return (_clean(_message(error, repr)),)
        name = "TypeError" if isinstance(error, SerializationError) else type(error).__name__  # as 0.6 calls it
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        if error.__traceback__ is None:  # raised by a built-in: no frame is left to show
            text = f"Traceback (most recent call last):\n{text}"
        return (name, _clean(_message(error)), _clean(text))

    def _unsendable(self, what: str, error: SerializationError) -> SerializationError:
        return SerializationError(f"the {what} of {self.channel.name} can't be sent: {error}")


def _message(error: BaseException, show: Callable[[BaseException], str] = str) -> str:
    try:
        return show(error)
    except Exception as nested:
        return f"<its message can't be shown: {type(nested).__name__}>"


def _clean(text: str) -> str:
    """Text that UTF-8 can carry, whatever an exception's message holds."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the method's own first frame on; what is above it is ours and helps nobody."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in _OUR_MODULES:
        trace = trace.tb_next
    return trace


_OUR_MODULES = (
    __name__,
    "zerorpc.service.runners",
    "zerorpc.service.coroutines",
    "zerorpc.service.thread_jobs",
    "zerorpc.service.process_jobs",
    "zerorpc.service.process_pool",
    "zerorpc.service.methods",
)
