"""Puller and Subscriber: a method runs for each event that comes, and nobody gets a reply."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from zerorpc.callers import Authenticator, Authorizer
from zerorpc.compat.context import Context
from zerorpc.curve import Curve, curve_or_none
from zerorpc.exposure import Patterns, patterns
from zerorpc.one_way.inbox import Inbox
from zerorpc.plain import Plain, plain_or_none
from zerorpc.runtime.signals import children_apart
from zerorpc.service.collecting import service_name
from zerorpc.service.openness import Openness
from zerorpc.service.registry import Registry
from zerorpc.settings import callable_or_none
from zerorpc.socket_base import SocketBase
from zerorpc.tls import TlsGiven, tls_or_none
from zerorpc.transport.security import Security
from zerorpc.zmtp import SocketType

__all__ = ["Puller", "Subscriber"]


class Puller(SocketBase):
    """Runs a method of an object for each event that a pusher sends, one after the other, in order.

    ::

        puller = zerorpc.Puller(Worker())
        puller.bind("tcp://127.0.0.1:4242")
        puller.run()                    # or: await puller.serve()

    Arguments: ``methods`` an object, a module or a dict of functions, as for Server (TypeError for anything else);
    ``context`` the middleware; ``tls`` a ``zerorpc.Tls`` or an ``ssl.SSLContext`` for endpoints ``tls+tcp://``;
    ``curve`` a ``zerorpc.Curve``, the keys to encrypt and authenticate with by CURVE; ``allow``, ``deny``,
    ``anyone_may_call``, ``plain``, ``authenticator``, ``authorizer``, ``any_types`` and ``strict_types`` as for Server:
    what is denied, or has arguments that aren't what the annotations say, isn't run, which the log says. A subclass
    that is given no ``methods`` exposes its own.

    Generators run to their end, and nobody gets their items. Each event's method sees a copy of the context variables
    that the caller of ``run`` or ``serve`` had, and a coroutine has a task of its own.

    ``stop`` and ``close`` are safe from any thread and from the methods. In a forked child that calls ``run`` or
    ``serve`` it makes connections of its own.
    """

    _socket_type: ClassVar[SocketType] = SocketType.PULL

    def __init__(
        self,
        methods: object = None,
        context: Context | None = None,
        *,
        tls: TlsGiven | None = None,
        curve: Curve | None = None,
        allow: Iterable[str] | str | None = None,
        deny: Iterable[str] | str | None = None,
        anyone_may_call: bool = False,
        plain: Plain | None = None,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
        any_types: bool = False,
        strict_types: bool = False,
    ) -> None:
        service = self if methods is None else methods
        chosen = Patterns(patterns("allow", allow), patterns("deny", deny))
        registry = Registry(service_name(service), chosen, any_types, strict_types=strict_types)
        registry.register(service, "", Puller if isinstance(service, Puller) else None)
        if registry.sources is not None:
            raise TypeError(f"{service!r} is for a Server: here nobody waits for an answer")
        registry.warn_of_idle_patterns()
        authenticator = callable_or_none("authenticator", authenticator)
        authorizer = callable_or_none("authorizer", authorizer)
        if authorizer is not None and authenticator is None:
            raise TypeError("authorizer needs an authenticator, which tells whom it is asked about")
        asks = authenticator is not None
        security = Security(curve_or_none("curve", curve), plain_or_none("plain", plain), asks)
        context = context or Context.get_instance()
        self._core: Inbox = Inbox(self._socket_type, context, registry.methods, security, authenticator, authorizer)
        self._core.hub.tls = tls_or_none("tls", tls)
        self._core.hub.on_bound = Openness(anyone_may_call).warn

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

    def __enter__(self) -> Self:
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
