"""Server: any object as a network service. Its life: startup, serving, shutdown.

Longer than most, because that life is lived in one process or in several, and is best followed in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from zerorpc.errors import Closed, EndpointError, LostRemote
from zerorpc.middleware import Context
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.rpc_peers import ServerPeer
from zerorpc.service import process_pool
from zerorpc.service.methods import Method, collect, on_loop, service_name
from zerorpc.service.runners import Runners
from zerorpc.service.signatures import argspec, describe
from zerorpc.service.turns import check_limits
from zerorpc.socket_base import SocketBase, check_heartbeat
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.loops import close_event_loop, hold_signals, new_event_loop, release_signals, running_loop

if TYPE_CHECKING:
    from zerorpc.transport.handover import Intake

__all__ = ["Server"]

_Self = TypeVar("_Self", bound="Server")  # typing.Self is Python 3.11's
_CLOSE_TIMEOUT = 1.0  # s that close() waits for the serving thread to close the listeners
_GRACE = 10.0  # s that running calls get when the server is asked to stop, as common process managers give


class Server(SocketBase):
    """Exposes the public methods of an object, a module or a dict of functions to every client that connects.

    ::

        server = zerorpc.Server(Cooler())
        server.bind("tcp://127.0.0.1:4242")
        server.run()

    Coroutine methods run on the event loop, plain ones on worker threads, so that one that blocks stops nobody;
    generators and async generators stream. A subclass of Server that is given no ``methods`` exposes its own.

    Arguments: ``methods`` what to expose (``register`` adds more); ``name`` shown to clients; ``context`` the
    middleware; ``pool_size`` how many methods may run at once (further requests wait their turn); ``heartbeat`` in
    seconds, the same as the clients' of zerorpc 0.6, or None for none; ``max_wait`` seconds after which a turn comes
    too late: the request is refused, at once if that can be told (None: half of its caller's timeout); ``grace``
    seconds that running calls get when the server stops; ``processes`` how many serve, each with its own copy of
    ``methods`` and ``pool_size``: connections are spread evenly, and one that crashes is replaced (by ``run`` only);
    ``proxy_protocol`` whether a proxy such as HAProxy makes all connections to where it is bound, each with a PROXY
    protocol header (version 2) that says for whom; others are refused. ``caller`` of a request that hooks see tells.

    ``bind``, ``connect``, ``unbind``, ``disconnect`` and ``stop`` are safe from any thread and while serving; with
    several processes the first four raise RuntimeError once ``run`` has begun, and ``stop`` in any of them stops all.
    """

    def __init__(
        self,
        methods: Any = None,
        name: str | None = None,
        context: Context | None = None,
        pool_size: int | None = None,
        heartbeat: float | None = 5,
        *,
        grace: float = _GRACE,
        processes: int = 1,
        proxy_protocol: bool = False,
        max_wait: float | None = None,
    ) -> None:
        check_limits(pool_size, max_wait)
        if processes < 1:
            raise ValueError(f"processes has to be at least 1, not {processes}")
        check_heartbeat(heartbeat)
        service = self if methods is None else methods
        name, context = name or service_name(service), context or Context.get_instance()
        core = _Service(name, context, heartbeat, pool_size, max_wait)
        core.processes, core.hub.proxied = processes, proxy_protocol
        self._core: _Service = core
        self._grace = grace
        self._stop_asked = threading.Event()
        self._wake: Callable[[], object] | None = None
        self._serving = False
        if not (methods is None and type(self) is Server):
            Server.register(self, service)

    # Before serving

    def register(self, methods: Any, prefix: str = "") -> None:
        """Expose another object, module or dict; with a prefix its methods are called ``prefix.method``.

        Raises ValueError when a method of that name is exposed already.
        """
        self._core.register(methods, prefix, Server if isinstance(methods, Server) else None)

    # Serving

    def run(self) -> None:
        """Serve until ``stop`` is called, in whichever thread this is.

        On the main thread SIGINT and SIGTERM stop the server too: running calls get their ``grace``; a second
        signal ends it at once. Closes the server in the end.

        With several ``processes`` this one only accepts, and forks those that serve. It has to be on the main
        thread, where signals arrive, best with no other thread yet: locks that it holds stay locked in the processes.
        Raises RuntimeError on another thread, or where the system has no ``fork``, and EndpointError for ``inproc://``.
        SIGTERM to one of the processes lets it finish what it runs, and replaces it.
        """
        process_pool.check_not_importing_main()
        processes = self._core.processes
        if running_loop() is not None:
            remedy = "use `await server.serve()`" if processes == 1 else f"processes={processes} can't run inside one"
            raise RuntimeError(f"server.run() would block the running event loop: {remedy}")
        if processes > 1:
            Server._supervise(self)
        else:
            Server._run_on_loop(self, self._signals)

    def _run_on_loop(self, signals: Callable[[asyncio.AbstractEventLoop], AbstractContextManager[None]]) -> None:
        held = hold_signals()  # one that raises KeyboardInterrupt right now would leave an open loop behind
        try:
            loop = new_event_loop()
            serving = loop.create_task(Server._serve(self))
        except BaseException:  # no descriptors left, perhaps
            release_signals(held)
            raise
        try:
            release_signals(held)
            with signals(loop):
                loop.run_until_complete(serving)
        finally:
            if not self._core.hub.stale:  # in a forked child, the loop is the parent's
                close_event_loop(loop, serving)

    async def serve(self) -> None:
        """Serve on the running event loop until ``stop`` is called or this is cancelled; then close.

        Raises RuntimeError with several ``processes``: a running event loop can't be forked.
        """
        if (processes := self._core.processes) > 1:
            raise RuntimeError(f"processes={processes} needs server.run(): a running event loop can't be forked")
        await Server._serve(self)

    async def _serve(self) -> None:
        if self._serving or self._core.hub.closed:
            raise Closed("this server is closed" if self._core.hub.closed else "this server is serving already")
        self._serving = True
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(stopped.set)
        self._core.startup(loop)
        try:
            if not self._stop_asked.is_set():
                await stopped.wait()
        finally:
            self._wake = None
            await self._core.shutdown(self._grace)
            self._serving = False

    def stop(self) -> None:
        """Ask the server to stop; returns at once. Safe from any thread, from handlers, and to call twice."""
        self._stop_asked.set()
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has stopped
                wake()

    def close(self) -> None:
        """Stop, and listen no more: when this returns, the addresses are free. Safe from any thread, and twice.

        Running calls still get their ``grace``, in the thread that serves.
        """
        self.stop()
        if not self._serving or self._core.hub.stale:
            self._core.hub.close_unattached()
        elif (loop := running_loop()) is None or loop is not self._core.hub.loop:
            self._core.deaf.wait(_CLOSE_TIMEOUT)

    # Several processes

    def _supervise(self) -> None:
        """The parent's part."""
        core = self._core
        if not hasattr(os, "fork"):
            raise RuntimeError(f"processes={core.processes} needs os.fork(), which this system doesn't have")
        from zerorpc.processes import Supervisor  # few need it, and multiprocessing along with it

        if self._serving or core.hub.closed:
            raise Closed("this server is closed" if core.hub.closed else "this server is serving already")
        for endpoint in (*core.hub.listeners, *core.hub.dialers):
            if endpoint.startswith("inproc:"):
                raise EndpointError(endpoint, f"it reaches one process only, not processes={core.processes}")
        listeners = list(core.hub.listeners.values())
        work = functools.partial(Server._work, self)
        supervisor = Supervisor(listeners, core.processes, work, core.deafen, self._grace)
        core.hub.seal()
        self._serving = True
        self._wake = supervisor.stop
        try:
            if self._stop_asked.is_set():
                supervisor.stop()
            supervisor.run()
        finally:
            self._wake = None
            self._serving = False

    def _work(self, intake: Intake, mask: set[Any]) -> None:
        """One of the processes: serve what the parent hands over, until it says stop."""
        self._serving = False
        intake.obey(functools.partial(Server.stop, self), self._core.hurry)
        self._core.intake = intake
        self._core.hub.leave_listening()

        @contextlib.contextmanager
        def signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
            loop.add_signal_handler(signal.SIGTERM, on_signal)
            before = signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

        def on_signal() -> None:
            """Not from the parent, which tells by the intake; though perhaps at the same moment, to all of us."""
            if intake.alone:
                self._core.hurry()
            intake.alone = True
            Server.stop(self)

        Server._run_on_loop(self, signals)

    # Signals

    @contextlib.contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Take SIGINT and SIGTERM for the time of ``run``, if this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.getsignal(number)
                loop.add_signal_handler(number, self._on_signal)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt instead
            before.clear()
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _on_signal(self) -> None:
        if self._stop_asked.is_set():
            self._core.hurry()
        self.stop()

    def __call__(self, method: str, /, *args: Any) -> Any:
        """Call one of the exposed methods here, without a client. Raises NameError for an unknown one."""
        return self._core.known(method).functor(*args)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "serving" if self._serving else "closed" if self._core.hub.closed else "not serving"
        return f"<{type(self).__name__} {self._core.name!r} {state} {list(self._core.hub.listeners)}>"


class _Service:
    """What a server does with its peers. Apart from Server, so that subclasses of it can name methods freely."""

    def __init__(
        self, name: str, context: Context, heartbeat: float | None, pool_size: int | None, max_wait: float | None
    ) -> None:
        self.name = name
        self.context = context
        self.heartbeat = heartbeat
        self.pool_size = pool_size
        self.processes = 1
        self.max_wait = max_wait
        self.tap: Callable[[str, Buffer], None] | None = None
        self.hub = AioHub(self, context.hook_resolve_endpoint)
        self.runners: Runners | None = None
        self.methods: dict[str, Method] = {}
        self.builtins = self._make_builtins()
        self.deaf = threading.Event()  # set when nothing listens any more
        self.intake: Intake | None = None  # where connections come from in one of several processes
        self._hurried = False
        self._draining: asyncio.Future[None] | None = None

    def register(self, methods: Any, prefix: str, hidden_base: type | None) -> None:
        for name, method in collect(methods, hidden_base).items():
            full = f"{prefix}.{name}" if prefix else name
            if full in self.methods:
                raise ValueError(f"a method {full!r} is exposed already; give register() a prefix")
            self.methods[full] = method

    def _make_builtins(self) -> dict[str, Method]:
        """What every zerorpc service answers, for the command line and for tools (wire.md §3)."""
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

    def startup(self, loop: asyncio.AbstractEventLoop) -> None:
        cores = max(1, process_pool.usable_cores() // self.processes)
        self.runners = Runners(loop, self.context, self.pool_size, cores, self.max_wait)
        self.hub.attach(loop)
        if self.intake is not None:
            self.intake.open(loop, self.hub.adopt)

    async def shutdown(self, grace: float) -> None:
        assert self.runners is not None
        if self.intake is not None:
            self.intake.leave()
        self.hub.stop_accepting()
        self.deaf.set()
        for link in list(self.hub.links):
            link.peer.send_goaway()
            link.flush()
        self._draining = asyncio.ensure_future(self.runners.drain(0.0 if self._hurried else grace))
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by hurry(), or because serve() is cancelled
                await self._draining
            await self.runners.aclose()
        finally:
            await self.hub.aclose(LostRemote("the server stopped"))
            if self.intake is not None:
                self.intake.close()

    def deafen(self) -> None:
        """Listen no more, without a loop."""
        self.hub.close_unattached()
        self.deaf.set()

    def hurry(self) -> None:
        """Wait for nothing any more."""
        self._hurried = True
        if self._draining is not None:
            self._draining.cancel()

    # The hub tells

    def make_peer(self) -> ServerPeer:
        peer = ServerPeer(self.heartbeat, self.context.next_msgid)
        peer.tap = self.tap
        return peer

    def peer_ready(self, link: AioLink) -> None:
        if self.deaf.is_set():  # it shook hands too late to be told with the others
            link.peer.send_goaway()

    def received(self, link: AioLink, touched: list[ServerChannel]) -> None:
        """New requests to run; running ones that got credit or lost their caller."""
        runners = self.runners
        assert runners is not None
        try:
            for channel in touched:
                if channel.runner is not None:
                    channel.runner.wake()
                elif not channel.closed:
                    name = channel.event.name
                    runners.submit(link, channel, self.methods.get(name) or self.builtins.get(name))
        finally:
            runners.leave_spare()

    def forked(self) -> None:
        if self.runners is not None:
            self.runners.forked()

    def peer_writable(self, link: AioLink) -> None:
        for channel in list(link.peer.channels.values()):
            if channel.runner is not None:
                channel.runner.wake()

    def peer_lost(self, link: AioLink, ended: list[ServerChannel]) -> None:
        if self.intake is not None and link.dialer is None:
            self.intake.lost()
        for channel in ended:
            if channel.runner is not None:
                channel.runner.wake()
