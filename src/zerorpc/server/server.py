"""Server: any object as a network service."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

from zerorpc.callers import Authenticator, Authorizer
from zerorpc.compat.context import Context
from zerorpc.curve import Curve
from zerorpc.given import UNCHANGED
from zerorpc.limits import Limits
from zerorpc.plain import Plain
from zerorpc.runtime.loops import running_loop
from zerorpc.runtime.signals import children_apart
from zerorpc.server.life import Service
from zerorpc.service import process_pool
from zerorpc.service.call_hooks import ServerHook
from zerorpc.service.collecting import service_name
from zerorpc.settings import (
    GRACE,
    HEARTBEAT,
    Answers,
    OnConnection,
    ReadyCheck,
    ServerSettings,
    callable_or_none,
    from_arguments,
)
from zerorpc.socket_base import SocketBase
from zerorpc.tls import TlsGiven

__all__ = ["Server"]


class Server(SocketBase):
    """Exposes the public methods of an object, a module or a dict of functions to every client that connects.

    ::

        server = zerorpc.Server(Cooler())
        server.bind("tcp://127.0.0.1:4242")
        server.run()

    Coroutine methods run on the event loop, plain ones on worker threads, so that a method that blocks stops no other;
    generators and async generators stream. A subclass of Server that is given no ``methods`` exposes its own.

    Arguments:

    - ``methods``: what to expose (``register`` adds more).
    - ``name``: shown to clients; by default that of the module or class.
    - ``context``: the middleware.
    - ``pool_size``: how many methods may run at once; further requests wait for their turn.
    - ``heartbeat``: seconds between heartbeats, None for none. The same as that of clients of zerorpc 0.6.
    - ``grace``: seconds that running calls get when the server stops.
    - ``processes``: how many processes serve, each with its own copy of ``methods`` and its own ``pool_size``.
      Connections are spread evenly, and a process that crashes is replaced. Only ``run`` can do it.
    - ``proxy_protocol``: whether all connections to bound endpoints come from a proxy such as HAProxy, which sends a
      PROXY protocol header (version 2). Others are refused. A hook's ``request.caller`` is the address in that header.
    - ``max_wait``: seconds that a request may wait for its turn, or is refused. None: half of its caller's timeout.
    - ``allow``: expose only methods whose names match this pattern, or one of these, as of ``fnmatch``: ``arm.get_*``.
    - ``deny``: expose no method whose name matches this pattern, or one of these, allowed or not.
    - ``tools``: let language models call, by MCP, methods whose names match this. None: those with ``@zerorpc.tool``.
    - ``anyone_may_call``: other machines may call, and nobody is asked who they are: don't warn if ``bind`` does it.
    - ``answers``: where answers to calls with an idempotency key are kept: the path of an SQLite database, which holds
      across restarts and ``processes``, or a ``zerorpc.Answers``. None: in memory, for an hour.
    - ``tls``: the certificate, a ``zerorpc.Tls`` or an ``ssl.SSLContext``, unless ``bind`` is given another one.
    - ``curve``: a ``zerorpc.Curve``, the keys to encrypt and authenticate with. None: neither.
    - ``plain``: a ``zerorpc.Plain()``, for callers to show a user and a password, which the authenticator checks.
    - ``authenticator``: a function that gets a ``zerorpc.Caller``, what a connection has shown of who is behind it, and
      returns an identity, which is a text, or None to refuse it. A plain function runs on a thread, a coroutine
      function on the event loop; what it raises refuses as well. The client waits meanwhile, for 30 s at most.
    - ``authorizer``: a function that gets an identity and a method's name, for each call, and says at once if it may.
    - ``limits``: a ``zerorpc.Limits``, what one caller may take.
    - ``any_types``: take arguments of any type, also where a method's annotations say which type they have to be.
    - ``strict_types``: an argument has to be what its annotation says: no text for a date, a Decimal or a path. Callers
      of zerorpc 0.6 and Node can't send such values then; words of the command line still become what they mean.
    - ``origins``: web pages of these origins too, such as ``https://*.example.org``, may call by HTTP.
    - ``check_results``: compare results and items of streams with the annotations too: a caller gets an error then.
    - ``log_calls``: a line at level INFO to the logger ``zerorpc.calls`` when a call has ended, with ``caller``,
      ``method``, ``seconds``, and ``outcome``: "ok", an error's name, or "gone" for a caller that waited no longer.
    - ``metrics``: count calls, for Prometheus to read by ``GET /metrics`` at ``http://`` and in ``zerorpc.asgi``.
    - ``console``: a web page at ``/`` by HTTP, to look at the service and call it. Off loopback only where callers are
      asked who they are, or ``anyone_may_call``.
    - ``ready``: a function, plain or coroutine, that says whether the server may be called just now, for ``zerorpc
      health`` and ``GET /readyz``. These say no if it returns False, raises, or takes longer than 2 s.
    - ``on_call``: a function, or several, that gets each call as a ``zerorpc.ServerCall`` and returns a context
      manager, plain or async, which is put around the method.
    - ``on_connection``: a function that is told of connections made and lost, on a thread of its own: it gets a
      ``zerorpc.ConnectionEvent`` of each. Not of connections by HTTP, nor of those that were refused.

    Raises TypeError or ValueError for other values, and TypeError for ``methods`` that can't be a service.

    ``bind``, ``connect``, ``unbind``, ``disconnect`` and ``stop`` are safe from any thread and while serving. With
    several processes the first four raise RuntimeError once ``run`` has begun, and ``stop`` in any process stops all.
    """

    def __init__(
        self,
        methods: object = None,
        name: str | None = None,
        context: Context | None = None,
        pool_size: int | None = None,
        heartbeat: float | None = HEARTBEAT,
        *,
        grace: float = GRACE,
        processes: int = 1,
        proxy_protocol: bool = False,
        max_wait: float | None = None,
        answers: Answers | str | os.PathLike[str] | None = None,
        tls: TlsGiven | None = None,
        allow: Iterable[str] | str | None = None,
        deny: Iterable[str] | str | None = None,
        tools: Iterable[str] | str | None = None,
        anyone_may_call: bool = False,
        curve: Curve | None = None,
        plain: Plain | None = None,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
        any_types: bool = False,
        strict_types: bool = False,
        origins: Iterable[str] | str | None = None,
        check_results: bool = False,
        log_calls: bool = False,
        metrics: bool = False,
        console: bool = True,
        ready: ReadyCheck | None = None,
        on_call: ServerHook | Sequence[ServerHook] | None = None,
        on_connection: OnConnection | None = None,
    ) -> None:
        settings = from_arguments(ServerSettings, locals())
        service = self if methods is None else methods
        name, context = name or service_name(service), context or Context.get_instance()
        context.check_ids()
        if authorizer is not None and authenticator is None:
            raise TypeError("authorizer needs an authenticator, which tells whom it is asked about")
        core = Service(name, context, settings)
        if core.settings.processes > 1 and hasattr(os, "fork"):
            import zerorpc.server.several  # noqa: F401 - now, for ``run`` to be quick to take signals
        self._core: Service = core  # all there is: a subclass may name things as it likes
        if not (methods is None and type(self) is Server):
            Server.register(self, service)

    # Before serving

    def register(self, methods: object, prefix: str = "", *, ready: ReadyCheck | None = None) -> None:
        """Expose another object, module or dict; with a prefix its methods are called ``prefix.method``.

        The prefix is a service to ``zerorpc.health``, which is ready when the server is, or when its own function
        ``ready`` says so, which is as that of the server. Call it before the server serves. Raises ValueError when a
        method of that name is exposed already, or for ``ready`` without a prefix, and TypeError for what can't be a
        service.
        """
        ready = callable_or_none("ready", ready)
        if ready is not None and not prefix:
            raise ValueError("ready is for what is registered with a prefix: that of the whole is Server(ready=)")
        self._core.registry.register(methods, prefix, Server if isinstance(methods, Server) else None)
        if ready is not None:
            self._core.observation.check(prefix, ready)

    # Endpoints: ``http://`` and ``https://`` have a door of their own

    def bind(
        self,
        endpoint: object,
        resolve: bool = True,
        *,
        tls: TlsGiven | None = None,
        mode: int | None = None,
        owner: str | None = None,
        curve: Curve | None = UNCHANGED,
        plain: Plain | None = UNCHANGED,
    ) -> list[str]:
        """Listen on an endpoint, as other sockets do, or on ``http://host:port`` or ``https://`` for callers by HTTP.

        It takes the extra ``http``: NotSupported without. A server that asks who calls isn't bound to an ``http://``
        that other machines reach (EndpointError), unless ``plain=zerorpc.Plain(in_clear=True)``, and not at all where
        callers show keys by CURVE, which HTTP lacks (ValueError).
        """
        if not _is_http(endpoint):
            return super().bind(endpoint, resolve, tls=tls, mode=mode, owner=owner, curve=curve, plain=plain)
        given: dict[str, object] = {"mode": mode, "owner": owner, "curve": curve}
        for name, value in given.items():
            if value is not None and value is not UNCHANGED:
                raise ValueError(f"{name}= does nothing at {endpoint}")
        http = self._core.http_endpoints()
        return http.bind(str(endpoint), tls, self._core.settings.plain if plain is UNCHANGED else plain)

    def unbind(self, endpoint: object, resolve: bool = True) -> None:
        """Undo ``bind``; connections that came through it stay. Raises EndpointError if it isn't bound."""
        if _is_http(endpoint):
            self._core.http_endpoints().unbind(str(endpoint))
        else:
            super().unbind(endpoint, resolve)

    @property
    def endpoints(self) -> list[str]:
        """The endpoints that it is bound to."""
        http = self._core.http
        return super().endpoints if http is None else [*super().endpoints, *http.endpoints]

    # Serving

    def run(self) -> None:
        """Serve until ``stop`` is called, in whichever thread this is.

        On the main thread SIGINT and SIGTERM stop the server too: running calls get their ``grace``; a second
        signal ends them at once. If the program has set a handler for a signal, that is called instead, and a signal
        that it ignores stays ignored. What such a handler raises is raised here, when the server has stopped. On other
        threads no signals are handled.

        In the end it closes the server: it can't be run again. Raises Closed if it is closed or serving already, and
        RuntimeError inside a running event loop.

        With several ``processes`` this one only accepts connections, and forks those that serve. Then ``run`` has to be
        on the main thread, where signals arrive. Best there is no other thread yet: a lock that one holds stays locked
        in the processes. Raises RuntimeError on another thread, or where the system has no ``fork``, and EndpointError
        for ``inproc://``. SIGTERM to one of the processes lets it finish what it runs; then it is replaced.
        """
        process_pool.check_not_importing_main()
        self._core.registry.warn_of_idle_patterns()
        processes = self._core.settings.processes
        if running_loop() is not None:
            remedy = "use `await server.serve()`" if processes == 1 else f"processes={processes} can't run inside one"
            raise RuntimeError(f"server.run() would block the running event loop: {remedy}")
        if processes == 1:
            self._core.run()
            return
        if not hasattr(os, "fork"):
            raise RuntimeError(f"processes={processes} needs os.fork(), which this system doesn't have")
        from zerorpc.server.several import supervise  # few need it, and multiprocessing along with it

        supervise(self._core)

    async def serve(self) -> None:
        """Serve on the running event loop until ``stop`` is called or this is cancelled; then close.

        If it is cancelled, running calls get their ``grace`` too; if it is cancelled again, or while it stops, they end
        at once. In the end it raises CancelledError. It handles no signals. Raises Closed if the server is closed or
        serving already, and RuntimeError with several ``processes``: a running event loop can't be forked.
        """
        if (processes := self._core.settings.processes) > 1:
            raise RuntimeError(f"processes={processes} needs server.run(): a running event loop can't be forked")
        self._core.registry.warn_of_idle_patterns()
        with children_apart():
            await self._core.serve()

    def stop(self) -> None:
        """Ask the server to stop; returns at once. Safe from any thread, method or signal handler, and to call twice.

        Called before ``run`` or ``serve``, it makes these return at once.
        """
        self._core.stop()

    def close(self) -> None:
        """Stop, and free the addresses before this returns. Safe from any thread, and to call twice.

        It doesn't wait for running calls: they still get their ``grace``, in the thread that serves.
        """
        self._core.close()

    def __call__(self, method: str, /, *args: object) -> Any:
        """Call one of the exposed methods here, without a client or hooks. Raises NameError for an unknown one."""
        return self._core.registry.call_here(method, args)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._core.close()

    def __repr__(self) -> str:
        core = self._core
        return f"<{type(self).__name__} {core.registry.name!r} {core.life.shown} {list(core.hub.listeners)}>"


def _is_http(endpoint: object) -> bool:
    return isinstance(endpoint, str) and endpoint.startswith(("http://", "https://"))
