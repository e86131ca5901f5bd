"""The same for a server whose context has hooks: they see the request and the reply as events."""

from __future__ import annotations

from typing import Any, Protocol

from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.logs import Logger
from zerorpc.protocol.events import DONE, ERR, OK, STREAM, Event, encode
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure

__all__ = ["HookedInvocation", "ServerHooks"]

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


class _Seen(RpcInvocation, eq=False, kw_only=True):
    event: Event | None = None  # the request; None before ``begin``
    stream_header: dict[str, Any] | None = None  # for each item


@quick_to_change
class HookedInvocation(_Seen, eq=False):
    """A request of a zerorpc client, and the hooks around it."""

    hooked = True

    context: ServerHooks

    def arrives(self) -> None:
        self.event: Event | None = self.channel.request_event()
        self.context.hook_load_task_context(self.event.header)

    def starts(self) -> None:
        self.context.hook_server_before_exec(self._request)

    @property
    def _request(self) -> Event:
        return self.event or self.channel.request_event()

    def begin_stream(self) -> None:
        if self.stream_header is None:
            self.stream_header: dict[str, Any] | None = self.context.hook_get_task_context()

    def result(self, value: object) -> bytes:
        reply = self._reply(OK, (value,), self.context.hook_get_task_context())
        return self.pack("result", reply.header, reply.name, reply.args)

    def item(self, value: object) -> bytes:
        return self.pack("item", {**self.header(last=False), **(self.stream_header or {})}, STREAM, value)

    def done(self) -> bytes:
        """The hook runs once, here, and not at each item."""
        reply = self._reply(DONE, None, self.stream_header or {})
        return encode(reply.header, reply.name, reply.args)

    def _reply(self, name: str, args: object, context: dict[str, Any]) -> Event:
        reply = Event(name, args, {**self.header(last=True), **context})
        self.context.hook_server_after_exec(self._request, reply)
        return reply

    def failure(self, failure: Failure) -> bytes:
        try:
            reply = Event(ERR, self.failure_args(failure), self.header(last=True))
            reply.header.update(self.context.hook_get_task_context())
            reply.header.update(self.failure_header(failure))
            self.context.hook_server_inspect_exception(self._request, reply, list(failure.exc_info))
            return encode(reply.header, reply.name, reply.args)
        except BaseException as failed:
            logger.error("a hook raised while %.200s's error was handled", self.name, raised=failed)
        return super().failure(failure)
