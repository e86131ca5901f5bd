"""Pusher and Puller, Publisher and Subscriber: events one way, with no reply.

Used from blocking code they work on a background loop (``transport.io_thread``); used with ``async with`` or
``await serve()`` on the running one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar

from zerorpc.errors import SerializationError
from zerorpc.middleware import Context
from zerorpc.protocol.events import VERSION, encode
from zerorpc.remote_method import RemoteMethod, method_name
from zerorpc.service.inbox import Inbox
from zerorpc.service.methods import collect
from zerorpc.service.signals import children_apart
from zerorpc.socket_base import SocketBase
from zerorpc.transport.outbox import LINGER, Outbox
from zerorpc.zmtp import SocketType

__all__ = ["Publisher", "Puller", "Pusher", "Subscriber"]


_Self = TypeVar("_Self", bound=SocketBase)  # typing.Self is Python 3.11's
_PusherT = TypeVar("_PusherT", bound="Pusher")


# Sending


class Pusher(SocketBase):
    """Sends events to pullers, each to one of them in turn. Argument: ``context``, the middleware.

    ::

        pusher = zerorpc.Pusher()
        pusher.connect("tcp://127.0.0.1:4242")
        pusher.lolita(1, 2)                            # blocking code

        async with zerorpc.Pusher() as pusher:         # coroutines
            pusher.connect("tcp://127.0.0.1:4242")
            await pusher.lolita(1, 2)

    Messages wait here while no puller takes them. When 1,000 wait, sending blocks until there is room, or until
    ``close``. Blocking use is safe from any thread, and at any moment: from finalizers, signal handlers and ``atexit``,
    where each push waits until it is sent, for at most a second. In a forked child it makes connections of its own.

    Entered with ``async with`` it belongs to that event loop: used elsewhere it raises RuntimeError. One that blocking
    code has used can't be entered: that raises RuntimeError too.
    """

    _socket_type: ClassVar[SocketType] = SocketType.PUSH

    def __init__(self, context: Context | None = None) -> None:
        self._context = context or Context.get_instance()
        self._core: Outbox = Outbox(self._socket_type, self._context.hook_resolve_endpoint)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(lambda event, args, options: self(event, *args, **options), name)

    def __call__(self, method: str, /, *args: object) -> Awaitable[None] | None:
        """Send an event; inside ``async with``, await it. Returns when it is queued, not when it arrived.

        The method's own arguments are positional. Raises SerializationError for arguments that can't be sent or are
        larger than 128 MiB, and Closed after ``close``.
        """
        name, context = method if type(method) is str else method_name(method), self._context
        header = {**context.hook_get_task_context(), "message_id": context.new_msgid(), "v": VERSION}
        try:
            data = encode(header, name, args)
        except SerializationError as error:
            unsendable = SerializationError(f"the arguments of {name} can't be sent: {error}")
            unsendable.method, unsendable.ran = name, False
            raise unsendable from None
        return self._core.put(data)

    def close(self) -> None:
        """Send what waits, for at most 5 s, and close; what still waits then is lost. Safe to call twice."""
        self._core.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self: _PusherT) -> _PusherT:
        self._core.attach(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._core.aclose(LINGER)

    def __del__(self) -> None:
        core = self.__dict__.get("_core")
        if core is not None and not sys.is_finalizing():
            core.abandon()


class Publisher(Pusher):
    """Sends events to all subscribers that are connected. One that isn't, or reads too slowly, misses them.

    Used as a Pusher; publishing never blocks for long, since no event waits for a subscriber.
    """

    _socket_type = SocketType.PUB


# Receiving


class Puller(SocketBase):
    """Runs a method of an object for each event that a pusher sends, one after the other, in order.

    ::

        puller = zerorpc.Puller(Worker())
        puller.bind("tcp://127.0.0.1:4242")
        puller.run()                    # or: await puller.serve()

    Arguments: ``methods`` an object, a module or a dict of functions, as for Server (TypeError for anything else);
    ``context`` the middleware. A subclass that is given no ``methods`` exposes its own.

    Generators run to their end, and nobody gets their items. Each event's method sees a copy of the context variables
    that the caller of ``run`` or ``serve`` had, and a coroutine has a task of its own.

    ``stop`` and ``close`` are safe from any thread and from the methods. In a forked child that calls ``run`` or
    ``serve`` it makes connections of its own.
    """

    _socket_type: ClassVar[SocketType] = SocketType.PULL

    def __init__(self, methods: object = None, context: Context | None = None) -> None:
        service = self if methods is None else methods
        exposed = collect(service, Puller if isinstance(service, Puller) else None)
        self._core: Inbox = Inbox(self._socket_type, context or Context.get_instance(), exposed)

    def run(self) -> None:
        """Receive until ``stop``, running the methods in this thread; coroutines on an event loop of their own.

        That loop has a thread of its own and lasts until ``run`` returns: tasks that a method leaves behind go on, and
        methods may block, or push and call with blocking sockets. What methods raise is logged. ``run`` handles no
        signals: on the main thread Ctrl-C raises KeyboardInterrupt here, and SIGTERM ends the process.

        After ``stop`` it may be called again. Raises Closed after ``close``, RuntimeError when it is running already.
        """
        self._core.run()

    async def serve(self) -> None:
        """Receive until ``stop`` or cancellation, then close. Coroutine methods run here, plain ones on a thread.

        If it is cancelled during a coroutine method, it cancels that method and waits for its end. Raises what ``run``
        raises.
        """
        with children_apart():
            await self._core.serve()

    def stop(self) -> None:
        """Make ``run`` or ``serve`` return after the current method; doesn't wait for that. Safe to call twice."""
        self._core.stop()

    def close(self) -> None:
        """Stop, and close all connections; events that wait are lost. Safe from any thread, and twice."""
        self._core.close()

    def __call__(self, method: str, /, *args: object) -> Any:
        """Run one of the methods here, and return what it returns. Raises NameError for an unknown one."""
        found = self._core.methods.get(method)
        if found is None:
            raise NameError(method)
        return found.functor(*args)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._core.close()

    def __del__(self) -> None:
        core = self.__dict__.get("_core")
        if core is not None and not sys.is_finalizing():
            core.abandon()


class Subscriber(Puller):
    """Like Puller, for what publishers send; it subscribes to everything."""

    _socket_type = SocketType.SUB
