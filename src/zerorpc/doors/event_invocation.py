"""The door of a Puller or Subscriber: an event that a method runs for, and nobody gets a reply."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from zerorpc.doors.hooked_invocation import ServerHooks
from zerorpc.logs import Logger
from zerorpc.protocol.events import Buffer, Event, WireEvent, decode_header
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Method

__all__ = ["EventHooks", "EventInvocation", "is_the_programs"]

logger: Logger = Logger("zerorpc.server")

_NOTHING = b""


class EventHooks(ServerHooks, Protocol):
    """The hooks of ``zerorpc.Context`` that an event passes on its way in."""

    def hook_resolve_endpoint(self, endpoint: object, /) -> object: ...


class EventInvocation(Invocation, eq=False):
    """An event and the method for it. Its outcome is for hooks and the log."""

    hooked = True

    data: Buffer
    event: Event
    context: EventHooks
    sender: str | None

    @classmethod
    def of(
        cls, method: Method | None, wire: WireEvent, data: Buffer, context: EventHooks, sender: str | None = None
    ) -> EventInvocation:
        """``sender``: the identity of whoever has sent it, if somebody was asked."""
        return cls(method, wire.name, wire.args, data, Event(wire.name, wire.args, {}), context, sender)

    @property
    def identity(self) -> str | None:
        return self.sender

    @property
    def closed(self) -> bool:
        return False

    def arrives(self) -> None:
        self.event.header = decode_header(self.data)

    def starts(self) -> None:
        self.context.hook_load_task_context(self.event.header)
        self.context.hook_server_before_exec(self.event)
        self.args: Any = self.event.args  # the hook may have put others there

    def result(self, value: object) -> bytes:
        self.context.hook_server_after_exec(self.event, None)
        return _NOTHING

    def failure(self, failure: Failure) -> bytes:
        try:
            self.context.hook_server_inspect_exception(self.event, None, failure.exc_info)
        except BaseException as failed:
            if self.propagates(failed):
                raise
            logger.error("a hook raised while %s's error was handled", self.name, raised=failed)
        return _NOTHING

    def failure_in_short(self, name: str) -> bytes:
        return _NOTHING

    def propagates(self, error: BaseException) -> bool:
        return is_the_programs(error)


def is_the_programs(error: BaseException) -> bool:
    """Ctrl-C, or a ``sys.exit`` of a signal handler: what comes to the main thread in a method is not the method's."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and issubclass(type(error), (KeyboardInterrupt, SystemExit))
