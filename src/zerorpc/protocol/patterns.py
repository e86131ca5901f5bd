"""The two patterns of a call, request/reply and stream, each with its client half and its server half.

The halves stand side by side, as in the reference implementation. They decide; the shells wait. ``context`` is
anything with the hooks of ``zerorpc.Context``; nothing here knows how a reply travels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from zerorpc.errors import RemoteError
from zerorpc.protocol.events import DONE, ERR, OK, STREAM, Event

__all__ = ["Pattern", "ReqRep", "ReqStream", "patterns_list", "remote_error", "reply_value"]


class Hooks(Protocol):
    """The hooks that a pattern calls."""

    def hook_client_after_request(
        self, request_event: Event, reply_event: Event | None, exception: BaseException | None = None
    ) -> None: ...


HandleRemoteError = Callable[[Event], BaseException]


class CallChannel(Protocol):
    """What a pattern knows of the client's channel."""

    def iterate(self) -> object:
        """An iterator over the stream's items, of the client's own kind."""

    def close(self) -> None:
        """Nothing more is wanted of the call."""


class Pattern(Protocol):
    """What a first reply may belong to. The hook ``client_patterns_list`` may bring others than the two below."""

    def accept_answer(self, event: Event, /) -> bool:
        """Whether a first reply belongs to this pattern."""

    def process_answer(
        self,
        context: Hooks,
        channel: CallChannel,
        request_event: Event,
        reply_event: Event,
        handle: HandleRemoteError,
        /,
    ) -> Any:
        """The client's half: what the call returns."""


class ReqRep:
    """One request, one reply."""

    def accept_answer(self, event: Event) -> bool:
        """Whether a first reply belongs to this pattern."""
        return event.name in (OK, ERR)

    def process_answer(
        self,
        context: Hooks,
        channel: CallChannel,
        request_event: Event,
        reply_event: Event,
        handle: HandleRemoteError,
    ) -> Any:
        """The client's half: the reply's value, or its error raised."""
        try:
            if reply_event.name == ERR:
                exception = handle(reply_event)
                context.hook_client_after_request(request_event, reply_event, exception)
                raise exception
            context.hook_client_after_request(request_event, reply_event)
            return reply_value(reply_event.args)
        finally:
            channel.close()


class ReqStream:
    """One request, many replies, then STREAM_DONE."""

    def accept_answer(self, event: Event) -> bool:
        return event.name in (STREAM, DONE)

    def process_answer(
        self,
        context: Hooks,
        channel: CallChannel,
        request_event: Event,
        reply_event: Event,
        handle: HandleRemoteError,
    ) -> Any:
        """The client's half: an iterator over the items, which goes by ``process_event``.

        ``channel`` makes it, blocking or asynchronous.
        """
        return channel.iterate()

    def process_event(
        self, context: Hooks, request_event: Event, event: Event, handle: HandleRemoteError
    ) -> tuple[bool, Any]:
        """What the stream's next event means: ``(True, item)``, ``(False, None)`` at its end, or its error raised.

        The hook runs once, when the stream is over, not at each item.
        """
        if event.name == ERR:
            exception = handle(event)
            context.hook_client_after_request(request_event, event, exception)
            raise exception
        if event.name == DONE:
            context.hook_client_after_request(request_event, event)
            return False, None
        return True, event.args


patterns_list: list[Pattern] = [ReqStream(), ReqRep()]


def reply_value(args: object) -> Any:
    """The value that an OK event carries: an array of one. A peer that forgot the array is understood."""
    return args[0] if isinstance(args, list) and args else args


def remote_error(args: object, version: int) -> RemoteError:
    """The exception that an ERR event carries: three strings, or one from a peer of protocol 1."""
    fields = args if isinstance(args, list) else [args]
    if version >= 2 and len(fields) == 3:
        name, message, traceback = fields
        return RemoteError(_text(name), _text(message), None if traceback is None else _text(traceback))
    return RemoteError("RemoteError", ", ".join(_text(field) for field in fields), None)


def _text(value: object) -> str:
    """A string, or what can be said of a value where one should be."""
    if isinstance(value, bytes):  # of a peer of protocol 1 or 2, not in UTF-8
        return value.decode("utf-8", "backslashreplace")
    try:
        return str(value)
    except RecursionError:  # as deep as msgspec reads may be too deep for repr
        return f"<a {type(value).__name__}>"
