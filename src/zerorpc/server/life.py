"""A server's life: startup, serving, drain, end. As a table first, then as the steps in one process."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zerorpc.allowed_keys import AllowedKeys
from zerorpc.compat.context import Context
from zerorpc.doors.keyed_calls import KeyedCalls
from zerorpc.doors.rpc import RpcDoor
from zerorpc.errors import Closed, LostRemote
from zerorpc.exposure import Patterns
from zerorpc.runtime import forks
from zerorpc.runtime.loops import close_event_loop, new_event_loop, running_loop
from zerorpc.runtime.signals import ENDING, Signals, hold_signals, release_signals
from zerorpc.server.observation import Observation
from zerorpc.server.systemd import Systemd
from zerorpc.service.call_hooks import CallHooks
from zerorpc.service.openness import Openness
from zerorpc.service.registry import Registry
from zerorpc.service.rights import Rules
from zerorpc.service.runners import Runners
from zerorpc.settings import ServerSettings
from zerorpc.transport.aio import AioHub
from zerorpc.transport.authentication import Authentication
from zerorpc.transport.handover import Intake
from zerorpc.transport.security import Security
from zerorpc.transport.watching import ConnectionWatch

if TYPE_CHECKING:
    from zerorpc.server.http_endpoints import HttpEndpoints

__all__ = ["Act", "Life", "Service", "State"]

_CLOSE_TIMEOUT = 1.0  # s that close() waits for the serving thread to close the listeners


class State(enum.Enum):
    """Where a server stands."""

    NEW = "not serving"
    DISMISSED = "not serving, and asked to stop"  # it will return at once
    SERVING = "serving"
    DRAINING = "stopping"  # what runs gets its grace
    FORCED = "stopping at once"
    CLOSED = "closed"


class Act(enum.Enum):
    """What may happen to it."""

    BEGIN = "run() or serve()"
    STOP = "stop(), the first signal, a cancellation, the parent's word"
    CLOSE = "close()"
    FORCE = "a second signal or cancellation"
    CALL_OFF = "it couldn't begin, and may be tried again"
    END = "the last step of who serves"


_NEW, _DISMISSED, _SERVING, _DRAINING, _FORCED, _CLOSED = State
_BEGIN, _STOP, _CLOSE, _FORCE, _CALL_OFF, _END = Act

_NEXT: dict[State, dict[Act, State]] = {
    _NEW: {_BEGIN: _SERVING, _STOP: _DISMISSED, _CLOSE: _CLOSED, _FORCE: _DISMISSED},
    _DISMISSED: {_BEGIN: _DRAINING, _STOP: _DISMISSED, _CLOSE: _CLOSED, _FORCE: _DISMISSED},
    _SERVING: {_STOP: _DRAINING, _CLOSE: _DRAINING, _FORCE: _FORCED, _CALL_OFF: _NEW, _END: _CLOSED},
    _DRAINING: {_STOP: _DRAINING, _CLOSE: _DRAINING, _FORCE: _FORCED, _CALL_OFF: _DISMISSED, _END: _CLOSED},
    _FORCED: {_STOP: _FORCED, _CLOSE: _FORCED, _FORCE: _FORCED, _CALL_OFF: _DISMISSED, _END: _CLOSED},
    _CLOSED: {_STOP: _CLOSED, _CLOSE: _CLOSED, _FORCE: _CLOSED, _END: _CLOSED},
}


class Life:
    """A server's state. Safe from any thread, and in a signal handler that comes in the middle of a step.

    Anyone may ask to stop at any moment: another thread, a method, a signal's handler between two instructions of the
    main thread. So ``take`` only changes the state, under a lock that its own thread may take again. If a handler has
    changed it in the middle of that, ``take`` starts again. The code that serves reads the state later; ``woken`` ends
    its longest wait. No step undoes another: a stop that comes while the shutdown is forced leaves it forced, and one
    that comes before ``run`` makes that return at once.
    """

    def __init__(self) -> None:
        self.state: State = State.NEW
        self.woken: Callable[[], object] | None = None  # called when it is asked to stop
        self._lock = threading.RLock()
        forks.watch(self)

    def forked(self) -> None:
        self._lock = threading.RLock()  # the parent's may be held by a thread that doesn't exist here

    def take(self, act: Act) -> State:
        """The state that this leads to. Raises Closed where it can't begin."""
        with self._lock:
            while True:
                before = self.state
                after = _NEXT[before].get(act)
                if after is None:
                    why = "is closed" if before is State.CLOSED else "is serving already"
                    raise Closed(f"this server {why}")
                if self.state is before:  # no signal's handler came in between; none does from here to the next line
                    self.state = after
                    break
        if act in (Act.STOP, Act.CLOSE) and (woken := self.woken) is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has stopped
                woken()
        return after

    @property
    def serving(self) -> bool:
        return self.state in (State.SERVING, State.DRAINING, State.FORCED)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self.state in (State.DISMISSED, State.DRAINING, State.FORCED)

    @property
    def shown(self) -> str:
        """For a ``repr``."""
        return "serving" if self.serving else "closed" if self.state is State.CLOSED else "not serving"

    def __repr__(self) -> str:
        return f"<Life {self.state.value}>"


def _security(settings: ServerSettings) -> Security:
    keys = settings.authenticator
    if isinstance(keys, AllowedKeys):
        return Security(settings.curve, settings.plain, asks=True, pairing_keys=lambda: keys.pairing_keys)
    return Security(settings.curve, settings.plain, asks=keys is not None)


def _registry(name: str, settings: ServerSettings, hooks: CallHooks | None) -> Registry:
    return Registry(
        name,
        Patterns(settings.allow, settings.deny),
        settings.any_types,
        settings.check_results,
        settings.strict_types,
        None if settings.tools is None else Patterns(settings.tools, name="tools"),
        hooks,
    )


class Service:
    """What stands behind a Server, so that subclasses of it can name methods freely."""

    def __init__(self, name: str, context: Context, settings: ServerSettings) -> None:
        self.settings: ServerSettings = settings
        self.hooks: CallHooks | None = None if settings.on_call is None else CallHooks(settings.on_call)
        self.registry: Registry = _registry(name, settings, self.hooks)
        asked = settings.authenticator
        self.authentication: Authentication | None = None if asked is None else Authentication(asked)
        self.rules: Rules = Rules(self.registry.answering, settings.authorizer)
        self.door: RpcDoor = RpcDoor(
            self.registry,
            context,
            settings.heartbeat,
            self.rules,
            settings.limits,
            _security(settings),
            self.authentication,
        )
        if settings.on_connection is not None:
            self.door.watch = ConnectionWatch(settings.on_connection, "server")
        self.hub: AioHub = self.door.hub
        self.hub.proxied = settings.proxy_protocol
        self.hub.on_bound = Openness(settings.anyone_may_call).warn
        self.hub.tls = settings.tls
        self.http: HttpEndpoints | None = None  # until the first is bound: others don't pay for its imports
        self.life: Life = Life()
        self.observation: Observation = Observation(self)
        self.unbound: threading.Event = threading.Event()  # set when nothing listens any more
        self.systemd: Systemd | None = None  # if it has started this program, which does nothing but ``run``
        self.intake: Intake | None = None  # where connections come from in one of several processes
        self.on_signal: Callable[[int, BaseException | None], None] = self._heed_signal
        self._lock = threading.Lock()  # of ``http``
        self._raised: BaseException | None = None  # by a handler of the program's, for ``run`` to raise
        self._draining: asyncio.Future[None] | None = None

    def http_endpoints(self) -> HttpEndpoints:
        """Those that it is bound to, or will be. Safe from any thread."""
        with self._lock:
            if self.http is None:
                from zerorpc.server.http_endpoints import HttpEndpoints

                self.http = HttpEndpoints(self)
                if self.life.serving and self.hub.loop is not None:
                    self.http.start(self.hub.loop)
            return self.http

    @property
    def runners(self) -> Runners | None:
        return self.door.runners

    @property
    def running(self) -> Runners:
        """What runs methods, while it serves."""
        assert self.door.runners is not None
        return self.door.runners

    @property
    def keyed(self) -> KeyedCalls:
        """The calls with an idempotency key, while it serves."""
        assert self.door.keyed is not None
        return self.door.keyed

    @property
    def tap(self) -> Callable[[str, Any], None] | None:
        return self.door.tap

    @tap.setter
    def tap(self, value: Callable[[str, Any], None] | None) -> None:
        self.door.tap = value

    # Serving

    def run(self, mask: set[Any] | None = None) -> None:
        """Serve on a loop of its own. ``mask`` are the signals to hold back meanwhile, if not those of now."""
        with contextlib.ExitStack() as stack:
            held = hold_signals()  # until all is in place that they need
            stack.callback(release_signals, held)
            if self.intake is None:  # else it is the parent that tells
                self.systemd = Systemd.of(os.environ)
            signals = Signals(*ENDING) if threading.current_thread() is threading.main_thread() else None
            if signals is not None:
                stack.callback(signals.close)
                signals.take()
            loop = new_event_loop()
            serving = loop.create_task(self.serve())
            stack.callback(self._end_loop, loop, serving, signals)
            if signals is not None:
                loop.add_reader(signals.wakeups.fileno(), self._take_signals, signals)
            release_signals(held if mask is None else mask)
            loop.run_until_complete(serving)
        if self._raised is not None:
            raise self._raised

    def _end_loop(self, loop: asyncio.AbstractEventLoop, serving: asyncio.Task[None], signals: Signals | None) -> None:
        if self.hub.stale:  # a forked child: the loop is the parent's
            return
        close_event_loop(loop, serving)
        if signals is not None:
            self._take_signals(signals)

    def _take_signals(self, signals: Signals) -> None:
        for number, error in signals.arrived():
            if self._raised is None:
                self._raised = error
            self.on_signal(number, error)

    def _heed_signal(self, *_: object) -> None:
        """The first one drains, the second one forces the shutdown."""
        if self.life.stopping:
            self.force()
        self.stop()

    async def serve(self) -> None:
        """Startup, serving until ``stop``, shutdown."""
        self.life.take(Act.BEGIN)
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        self.life.woken = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            self._startup(loop)
            if self.systemd is not None:
                self.systemd.ready()
                self.systemd.watch_on(loop)
            if not self.life.stopping:
                await stopped.wait()
        finally:
            self.life.woken = None
            self.life.take(Act.STOP)  # this may be a cancellation, or a startup that failed
            if self.systemd is not None:
                self.systemd.stopping()
            try:
                await self._shut_down(loop)
            finally:
                self.life.take(Act.END)
                if self.systemd is not None:
                    self.systemd.close()

    def _startup(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.hooks is not None:
            self.hooks.loop = loop
        self.door.runners = Runners(loop, self.settings)
        self.door.keyed = KeyedCalls(loop, self.door.runners.submit, self.settings)
        self.registry.answers = self.door.keyed.id
        self.observation.start(loop)
        self.hub.attach(loop)
        with self._lock:
            if self.http is not None:
                self.http.start(loop)
        if self.intake is not None:
            self.intake.open(loop, self.hub.adopt)
        if self.registry.sources is not None:
            self.rules.table = self.registry.sources
            self.registry.sources.begin()

    async def _shut_down(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a task of its own, to its end: who cancels ``serve`` meanwhile waits for nothing else."""
        if loop.is_closed():  # ``serve`` was thrown away with it: nothing ends in order any more
            self.hub.drop(LostRemote("the server's event loop was closed"))
            self.unbound.set()
            return
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
            if self.registry.sources is not None:
                await self.registry.sources.aclose()
            self.observation.close()
            if self.intake is not None:
                self.intake.close()

    async def _end_running(self, runners: Runners) -> None:
        if self.intake is not None:
            self.intake.leave()
        runners.stopping = True  # first: what comes from now on is refused
        if self.http is not None:
            self.http.leave()
        self.door.close()
        self.unbound.set()
        grace = 0.0 if self.life.state is State.FORCED else self.settings.grace
        self._draining = asyncio.ensure_future(runners.drain(grace))
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by force()
                await self._draining
            await runners.aclose()
            if self.door.keyed is not None:
                await self.door.keyed.settle()
            if self.life.state is not State.FORCED:
                await self.door.until_heard()
        finally:
            if self.http is not None:
                await self.http.aclose()
            await self.hub.aclose(LostRemote("the server stopped"))
            if self.door.keyed is not None:
                self.door.keyed.close()

    # Its end, from any thread

    def stop(self) -> None:
        """Ask for it; returns at once."""
        if self.hub.stale:  # a forked child, with a handler of the program's: what runs is the parent's
            return
        self.hub.leaving = True
        self.life.take(Act.STOP)

    def force(self) -> None:
        """End the grace of what runs. On the loop."""
        self.life.take(Act.FORCE)
        if self._draining is not None:
            self._draining.cancel()

    def close(self) -> None:
        """Stop, and free the addresses before this returns: unless the loop is this thread's, which then does it next,
        or so busy that it doesn't come to it for a second.
        """
        self.hub.leaving = True
        if self.http is not None and not self.life.serving:
            self.http.close()
        if self.hub.stale or self.life.take(Act.CLOSE) is State.CLOSED:
            self.hub.close_unattached()
        elif (loop := running_loop()) is None or loop is not self.hub.loop:
            self.unbound.wait(_CLOSE_TIMEOUT)

    def stop_listening(self) -> None:
        """Listen no more, without a loop."""
        if self.http is not None:
            self.http.close()
        self.hub.close_unattached()
        self.unbound.set()

    def __repr__(self) -> str:
        return f"<Service {self.registry.name!r} {self.life.state.value}>"
