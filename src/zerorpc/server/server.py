"""Server: any object as a network service. Its life: startup, serving, shutdown.

Longer than most, because that life is lived in one process or in several, and is best followed in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from zerorpc.compat.context import Context
from zerorpc.errors import Closed, EndpointError, LostRemote
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.rpc_peers import ServerPeer
from zerorpc.runtime.loops import close_event_loop, new_event_loop, running_loop
from zerorpc.runtime.signals import ENDING, Signals, children_apart, hold_signals, release_signals
from zerorpc.service import process_pool
from zerorpc.service.methods import Method, collect, on_loop, service_name
from zerorpc.service.runners import Runners
from zerorpc.service.signatures import argspec, describe
from zerorpc.settings import GRACE, HEARTBEAT, ServerSettings, checked
from zerorpc.socket_base import SocketBase
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink

if TYPE_CHECKING:
    from zerorpc.transport.handover import Intake

__all__ = ["Server"]


_CLOSE_TIMEOUT = 1.0  # s that close() waits for the serving thread to close the listeners


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
    - ``max_wait``: seconds that a request may wait for its turn. One that waits longer is refused, at once if that can
      be foreseen. None: half of its caller's timeout.

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
    ) -> None:
        settings = ServerSettings(
            pool_size=pool_size,
            heartbeat=heartbeat,
            grace=grace,
            processes=processes,
            proxy_protocol=proxy_protocol,
            max_wait=max_wait,
        )
        service = self if methods is None else methods
        name, context = name or service_name(service), context or Context.get_instance()
        context.check_ids()
        core = _Service(name, context, checked(settings))
        if core.settings.processes > 1 and hasattr(os, "fork"):
            import zerorpc.server.supervisor  # noqa: F401 - now, for ``run`` to be quick to take signals
        self._core: _Service = core  # all there is: a subclass may name things as it likes
        if not (methods is None and type(self) is Server):
            Server.register(self, service)

    # Before serving

    def register(self, methods: object, prefix: str = "") -> None:
        """Expose another object, module or dict; with a prefix its methods are called ``prefix.method``.

        Call it before the server serves. Raises ValueError when a method of that name is exposed already, and TypeError
        for what can't be a service.
        """
        self._core.register(methods, prefix, Server if isinstance(methods, Server) else None)

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
        processes = self._core.settings.processes
        if running_loop() is not None:
            remedy = "use `await server.serve()`" if processes == 1 else f"processes={processes} can't run inside one"
            raise RuntimeError(f"server.run() would block the running event loop: {remedy}")
        if processes > 1:
            self._core.supervise()
        else:
            self._core.run()

    async def serve(self) -> None:
        """Serve on the running event loop until ``stop`` is called or this is cancelled; then close.

        If it is cancelled, running calls get their ``grace`` too; if it is cancelled again, or while it stops, they end
        at once. In the end it raises CancelledError. It handles no signals. Raises Closed if the server is closed or
        serving already, and RuntimeError with several ``processes``: a running event loop can't be forked.
        """
        if (processes := self._core.settings.processes) > 1:
            raise RuntimeError(f"processes={processes} needs server.run(): a running event loop can't be forked")
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
        """Call one of the exposed methods here, without a client. Raises NameError for an unknown one."""
        return self._core.known(method).functor(*args)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._core.close()

    def __repr__(self) -> str:
        state = "serving" if self._core.serving else "closed" if self._core.hub.closed else "not serving"
        return f"<{type(self).__name__} {self._core.name!r} {state} {list(self._core.hub.listeners)}>"


class _Service:
    """What a server does with its peers. Apart from Server, so that subclasses of it can name methods freely."""

    def __init__(self, name: str, context: Context, settings: ServerSettings) -> None:
        self.name = name
        self.context = context
        self.settings = settings
        self.tap: Callable[[str, Buffer], None] | None = None
        self.hub = AioHub(self, context.hook_resolve_endpoint)
        self.hub.proxied = settings.proxy_protocol
        self.runners: Runners | None = None
        self.methods: dict[str, Method] = {}
        self.builtins = self._make_builtins()
        self.unbound = threading.Event()  # set when nothing listens any more
        self.intake: Intake | None = None  # where connections come from in one of several processes
        self.serving = False
        self._life = threading.RLock()  # whether it serves or is closed; a signal's handler may come in between
        self._stop_asked = False
        self._wake: Callable[[], object] | None = None
        self._raised: BaseException | None = None  # by a handler of the program's, for ``run`` to raise
        self._forced = False
        self._draining: asyncio.Future[None] | None = None

    def register(self, methods: object, prefix: str, hidden_base: type | None) -> None:
        for name, method in collect(methods, hidden_base).items():
            full = f"{prefix}.{name}" if prefix else name
            if full in self.methods:
                raise ValueError(f"a method {full!r} is exposed already; give register() a prefix")
            self.methods[full] = method

    def _make_builtins(self) -> dict[str, Method]:
        """What every zerorpc service answers, for the command line and for tools (docs/protocol.md, Events)."""
        functions: dict[str, Callable[..., Any]] = {
            "_zerorpc_list": lambda: [name for name in self.methods if not name.startswith("_")],
            "_zerorpc_name": lambda: self.name,
            "_zerorpc_ping": lambda: ["pong", self.name],
            "_zerorpc_help": lambda method: self.known(method).doc,
            "_zerorpc_args": lambda method: argspec(self.known(method)),
            "_zerorpc_inspect": lambda: {
                "name": self.name,
                "methods": {name: describe(m) for name, m in self.methods.items() if not name.startswith("_")},
            },
        }
        return {name: Method(name, on_loop(function)) for name, function in functions.items()}

    def known(self, name: str) -> Method:
        method = self.methods.get(name)
        if method is None:
            raise NameError(name)
        return method

    # Its life

    def run(self, mask: set[Any] | None = None) -> None:
        """Serve on a loop of its own. ``mask`` are the signals to hold back meanwhile, if not those of now."""
        with contextlib.ExitStack() as stack:
            held = hold_signals()  # until all is in place that they need
            stack.callback(release_signals, held)
            signals = Signals(*ENDING) if threading.current_thread() is threading.main_thread() else None
            if signals is not None:
                stack.callback(signals.close)
                signals.take()
            loop = new_event_loop()
            serving = loop.create_task(self.serve())
            stack.callback(self._end_loop, loop, serving, signals)
            if signals is not None:
                loop.add_reader(signals.wakeups.fileno(), self._heed, signals)
            release_signals(held if mask is None else mask)
            loop.run_until_complete(serving)
        if self._raised is not None:
            raise self._raised

    def _end_loop(self, loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None], signals: Signals | None) -> None:
        if self.hub.stale:  # a forked child: the loop is the parent's
            return
        close_event_loop(loop, serving)
        if signals is not None:
            self._heed(signals)

    def _heed(self, signals: Signals) -> None:
        """The first signal drains, the second one forces the shutdown."""
        for number, error in signals.arrived():
            if self._raised is None:
                self._raised = error
            if self.intake is None:
                again = self._stop_asked
            elif number == signal.SIGINT and error is None:  # a terminal's Ctrl-C: for the parent, which tells us
                continue
            else:  # the parent tells by the intake; though perhaps at the same moment, to all of us
                again, self.intake.alone = self.intake.alone, True
            if again:
                self.force()
            self.stop()

    async def serve(self) -> None:
        self._begin()
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            self._startup(loop)
            if not self._stop_asked:
                await stopped.wait()
        finally:
            self._wake = None
            try:
                await self._shut_down(loop)
            finally:
                self.serving = False

    def _begin(self) -> None:
        with self._life:
            if self.serving or self.hub.closed:
                raise Closed("this server is closed" if self.hub.closed else "this server is serving already")
            self.serving = True

    def _startup(self, loop: asyncio.AbstractEventLoop) -> None:
        self.runners = Runners(loop, self.context, self.settings)
        self.hub.attach(loop)
        if self.intake is not None:
            self.intake.open(loop, self.hub.adopt)

    async def _shut_down(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a task of its own, to its end: who cancels ``serve`` meanwhile waits for nothing else."""
        cancelled = None
        ending = loop.create_task(self._end())
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError as error:
                cancelled = error
                self.force()
        if cancelled is not None:
            raise cancelled
        ending.result()

    async def _end(self) -> None:
        try:
            if self.runners is None:  # it failed to start
                self.stop_listening()
            else:
                await self._end_running(self.runners)
        finally:
            if self.intake is not None:
                self.intake.close()

    async def _end_running(self, runners: Runners) -> None:
        if self.intake is not None:
            self.intake.leave()
        self.hub.stop_accepting()
        self.unbound.set()
        for link in list(self.hub.links):
            link.peer.send_goaway()
            link.flush()
        self._draining = asyncio.ensure_future(runners.drain(0.0 if self._forced else self.settings.grace))
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by force()
                await self._draining
            await runners.aclose()
        finally:
            await self.hub.aclose(LostRemote("the server stopped"))

    # Its end, from any thread

    def stop(self) -> None:
        if self.hub.stale:  # a forked child, with a handler of the program's: what runs is the parent's
            return
        self._stop_asked = True
        self.hub.leaving = True
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has stopped
                wake()

    def close(self) -> None:
        self.stop()
        with self._life:
            if not self.serving or self.hub.stale:
                self.hub.close_unattached()
                return
        if (loop := running_loop()) is None or loop is not self.hub.loop:
            self.unbound.wait(_CLOSE_TIMEOUT)

    def force(self) -> None:
        """Wait for nothing any more. On the loop."""
        self._forced = True
        if self._draining is not None:
            self._draining.cancel()

    # In several processes

    def supervise(self) -> None:
        """The parent's part."""
        if not hasattr(os, "fork"):
            raise RuntimeError(f"processes={self.settings.processes} needs os.fork(), which this system doesn't have")
        from zerorpc.server.supervisor import Supervisor  # few need it, and multiprocessing along with it

        self._begin()
        try:
            for endpoint in (*self.hub.listeners, *self.hub.dialers):
                if endpoint.startswith("inproc:"):
                    count = self.settings.processes
                    raise EndpointError(endpoint, f"it reaches one process only, not processes={count}")
            listeners = list(self.hub.listeners.values())
            supervisor = Supervisor(listeners, self.settings, self.work, self.stop_listening)
            self.hub.seal()
            self._wake = supervisor.stop
            if self._stop_asked:
                supervisor.stop()
            supervisor.run()
        finally:
            self._wake = None
            self.serving = False

    def stop_listening(self) -> None:
        """Listen no more, without a loop."""
        self.hub.close_unattached()
        self.unbound.set()

    def work(self, intake: Intake, mask: set[Any]) -> None:
        """One of the processes: serve what the parent hands over, until it says stop."""
        self.serving = False
        intake.obey(self.stop, self.force)
        self.intake = intake
        self.hub.leave_listening()
        with contextlib.suppress(KeyboardInterrupt):  # by a handler of the program's; the parent's raises it too
            self.run(mask)

    # The hub tells

    def make_peer(self) -> ServerPeer:
        peer = ServerPeer(self.settings.heartbeat, self.context.next_msgid)
        peer.tap = self.tap
        return peer

    def peer_ready(self, link: AioLink) -> None:
        if self.unbound.is_set():  # it shook hands too late to be told with the others
            link.peer.send_goaway()

    def received(self, link: AioLink, touched: list[ServerChannel]) -> None:
        """New requests to run; running ones that got credit or lost their caller."""
        runners = self.runners
        assert runners is not None
        for channel in touched:
            if channel.runner is not None:
                channel.runner.wake()
            elif not channel.closed:
                name = channel.event.name
                runners.submit(link, channel, self.methods.get(name) or self.builtins.get(name))

    def forked(self) -> None:
        self._life = threading.RLock()  # the parent's may be held by a thread that doesn't exist here
        if self.runners is not None:
            self.runners.forked()

    def peer_writable(self, link: AioLink) -> None:
        for channel in list(link.peer.channels.values()):
            if channel.runner is not None:
                channel.runner.wake()

    def peer_leaves(self, link: AioLink) -> None: ...

    def peer_lost(self, link: AioLink, ended: list[ServerChannel]) -> None:
        if self.intake is not None and link.dialer is None:
            self.intake.lost()
        for channel in ended:
            if channel.runner is not None:
                channel.runner.wake()
