"""Context: the middleware hooks, and where message ids come from. Names and order are those of zerorpc 0.6."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from os import getpid
from typing import Any, ClassVar, ParamSpec, TypeVar

from zerorpc.protocol.events import Event, MessageId
from zerorpc.protocol.message_ids import check_id
from zerorpc.protocol.patterns import Pattern
from zerorpc.runtime import forks

__all__ = ["Context", "fork_task_context"]

_CLIENT_HOOKS = (
    "client_handle_remote_error",
    "client_before_request",
    "client_after_request",
    "client_patterns_list",
)
_SERVER_HOOKS = ("load_task_context", "server_before_exec", "server_after_exec", "server_inspect_exception")

_TWO_DIGITS = [b"%02x" % number for number in range(256)]

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Context:
    """The middleware of servers, clients, pushers and pullers that were made with it: hooks that run at every call.

    A middleware is an object with methods, or a dict with functions, named like some of these hooks:

    ================================================================  ===============================================
    ``resolve_endpoint(endpoint)``                                    returns the endpoint(s) to use
    ``load_task_context(event_header)``                               a request arrived: its header, in its thread
    ``get_task_context()``                                            returns header keys for an event to send
    ``server_before_exec(request_event)``                             the method is about to run
    ``server_after_exec(request_event, reply_event)``                 it has run; before the (last) reply is sent
    ``server_inspect_exception(request, reply, context, exc_info)``   it raised; before the error is sent
    ``client_handle_remote_error(event)``                             returns the exception to raise, or None
    ``client_before_request(event)``                                  before a request is sent
    ``client_after_request(request, reply, exception)``               a call has ended
    ``client_patterns_list(patterns)``                                returns the patterns to try on a reply
    ================================================================  ===============================================

    Hooks run in the caller's thread on the client and in the thread that runs the method on the server. Register
    middlewares before the first call; registering is not safe while calls run in other threads.
    """

    next_msgid: Callable[[], MessageId]

    _instance: ClassVar[Context | None] = None

    def __init__(self) -> None:
        self._middlewares: list[object] = []
        self._hooks: dict[str, list[Callable[..., Any]]] = {
            name: [] for name in ("resolve_endpoint", "get_task_context", *_SERVER_HOOKS, *_CLIENT_HOOKS)
        }
        self.own_ids: bool = type(self).new_msgid is not Context.new_msgid  # whether a program makes the message ids
        self._plain = type(self) is Context  # a subclass may override hook_* methods: then they are always called
        self.hooks_client: bool = not self._plain  # whether calls have to build events for hooks
        self.hooks_server: bool = not self._plain
        self.forked()
        forks.watch(self)

    def __setattr__(self, name: str, value: Any) -> None:
        """What is put in the place of a method counts as a subclass's would."""
        super().__setattr__(name, value)
        if name in _REPLACEABLE:
            if name == "new_msgid":
                self.own_ids = True
                self.next_msgid = value
            self._plain = False
            self.hooks_client = self.hooks_server = True

    @staticmethod
    def get_instance() -> Context:
        """The context that everything made without one shares."""
        if Context._instance is None:
            Context._instance = Context()
        return Context._instance

    def register_middleware(self, middleware_instance: object) -> int:
        """Plug in a middleware; returns how many hooks it has."""
        self._middlewares.append(middleware_instance)
        count = 0
        for name, functors in self._hooks.items():
            functor = getattr(middleware_instance, name, None)
            if functor is None and hasattr(middleware_instance, "get"):
                functor = middleware_instance.get(name, None)
            if functor is not None:
                functors.append(functor)
                count += 1
        self.hooks_client = not self._plain or any(self._hooks[name] for name in (*_CLIENT_HOOKS, "get_task_context"))
        self.hooks_server = not self._plain or any(self._hooks[name] for name in (*_SERVER_HOOKS, "get_task_context"))
        return count

    # Message ids: random digits that stay, and ten that count; uuid4 for each would cost 1.7 µs. Digits
    # come from lists, since formatting a number takes twice as long. No iterator here ends by an exception
    # (RecursionError, MemoryError): a generator or itertools.chain would, and with it every later call.

    def new_msgid(self) -> MessageId:
        """A message id: 32 hexadecimal digits, as bytes. Safe from any thread.

        A subclass may make its own: bytes, a str or an int, and never one that a call under way has. What is no id, and
        one that is in use, is a TypeError or ValueError for whoever calls.
        """
        if getpid() != forks.pid:
            forks.catch_up()
        return self._next_msgid()

    def check_ids(self) -> None:
        """Raises TypeError or ValueError if ``new_msgid`` is a program's own and makes what can't be an id."""
        if self.own_ids:
            check_id(self.new_msgid())

    def forked(self) -> None:
        """A forked child must not repeat its parent's message ids."""
        random = uuid.uuid4().hex[:22].encode()
        pools = [[random + digits for digits in _TWO_DIGITS], *[_TWO_DIGITS] * 4]  # a million million ids
        self._next_msgid: Callable[[], bytes] = map(b"".join, itertools.product(*pools)).__next__
        # What has looked for a fork itself, as a client's call has, asks here.
        self.next_msgid = self.new_msgid if self.own_ids else self._next_msgid

    # Endpoints and task context

    def hook_resolve_endpoint(self, endpoint: object) -> Any:
        for functor in self._hooks["resolve_endpoint"]:
            endpoint = functor(endpoint)
        return endpoint

    def hook_load_task_context(self, event_header: dict[str, object]) -> None:
        for functor in self._hooks["load_task_context"]:
            functor(event_header)

    def hook_get_task_context(self) -> dict[str, object]:
        event_header: dict[str, object] = {}
        for functor in self._hooks["get_task_context"]:
            event_header.update(functor())
        return event_header

    # Server side

    def hook_server_before_exec(self, request_event: Event) -> None:
        """A method is about to run."""
        for functor in self._hooks["server_before_exec"]:
            functor(request_event)

    def hook_server_after_exec(self, request_event: Event, reply_event: Event | None) -> None:
        """A method has run. After a stream's last item; ``reply_event`` is None for Puller and Subscriber."""
        for functor in self._hooks["server_after_exec"]:
            functor(request_event, reply_event)

    def hook_server_inspect_exception(self, request_event: Event, reply_event: Event | None, exc_infos: object) -> None:
        """A method raised. ``reply_event`` is None for Puller and Subscriber."""
        task_context = self.hook_get_task_context()
        for functor in self._hooks["server_inspect_exception"]:
            functor(request_event, reply_event, task_context, exc_infos)

    # Client side

    def hook_client_handle_remote_error(self, event: Event) -> BaseException | None:
        exception = None
        for functor in self._hooks["client_handle_remote_error"]:
            exception = functor(event) or exception
        return exception

    def hook_client_before_request(self, event: Event) -> None:
        """A request is about to be sent."""
        for functor in self._hooks["client_before_request"]:
            functor(event)

    def hook_client_after_request(
        self, request_event: Event, reply_event: Event | None, exception: BaseException | None = None
    ) -> None:
        """A call has ended: with a reply, with a remote error, or (``reply_event`` None) with a local one."""
        for functor in self._hooks["client_after_request"]:
            functor(request_event, reply_event, exception)

    def hook_client_patterns_list(self, patterns: list[Pattern]) -> list[Pattern]:
        for functor in self._hooks["client_patterns_list"]:
            patterns = functor(patterns)
        return patterns

    def __repr__(self) -> str:
        return f"<Context middlewares={len(self._middlewares)}>"


_REPLACEABLE = {name for name in vars(Context) if name == "new_msgid" or name.startswith("hook_")}


def fork_task_context(functor: Callable[_P, _R], context: Context | None = None) -> Callable[_P, _R]:
    """Wrap a function so that it runs with the task context of now, in a thread or task that makes calls itself.

    Arguments: the function, and the middleware (the shared one by default). The hook ``get_task_context`` is called
    now, ``load_task_context`` when the function that this returns is called.

    For example ``threading.Thread(target=zerorpc.fork_task_context(work))`` inside a method: the calls that
    ``work`` makes carry the header keys (a trace id, say) of the request that the method is serving.
    """
    context = context or Context.get_instance()
    xheader = context.hook_get_task_context()

    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        context.hook_load_task_context(xheader)
        return functor(*args, **kwargs)

    return wrapped
