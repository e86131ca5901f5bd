"""What arrived for a Puller or Subscriber: the events in order, and their execution one by one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

from zerorpc.callers import Authenticator, Authorizer, Visitor
from zerorpc.doors.event_invocation import EventHooks, EventInvocation, is_the_programs
from zerorpc.errors import Closed, LostRemote
from zerorpc.logs import Logger
from zerorpc.one_way.arrivals import Arrival, Arrivals, is_void, next_of
from zerorpc.one_way.io_thread import complete, io_loop
from zerorpc.one_way.method_loop import MethodLoop
from zerorpc.protocol.events import Buffer
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.runtime import forks
from zerorpc.runtime.loops import running_loop
from zerorpc.scope import CURRENT
from zerorpc.service.forks import NO_LOOP, end_child
from zerorpc.service.methods import Method, Where
from zerorpc.service.rights import Rights, Rules
from zerorpc.service.thread_jobs import is_for_the_loop
from zerorpc.service.workers import Workers
from zerorpc.transport.admission import Admission
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.authentication import Authentication
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["Inbox"]

logger: Logger = Logger("zerorpc.server")

_Outcome: TypeAlias = "BaseException | None"
_Finish: TypeAlias = Callable[[Method, object], Coroutine[Any, Any, None]]
_Run: TypeAlias = Callable[[Coroutine[Any, Any, _Outcome]], _Outcome]


class Inbox:
    """The events that arrived for a Puller or Subscriber, and their execution.

    The loop of the sockets only queues; it never runs a method, nor waits for one.
    """

    def __init__(
        self,
        socket_type: SocketType,
        context: EventHooks,
        methods: dict[str, Method],
        security: Security = UNSECURED,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
    ) -> None:
        self.context = context
        self.tap: Callable[[str, Buffer], None] | None = None
        self.methods = methods
        self.hub: AioHub = AioHub(self, context.hook_resolve_endpoint, security)
        if authenticator is not None:
            self.hub.admission = Admission(Authentication(authenticator), self._admitted)
        self._rules = Rules(methods, authorizer)
        self._socket_type = socket_type
        self._running = False
        self._set_up()

    def _set_up(self) -> None:
        """State that is new after a fork, too."""
        self._arrived = Arrivals()
        self._arrival = asyncio.Event()  # for ``serve``
        self._stopped = False
        self._paused: list[AioLink] = []
        self._stepping: asyncio.Task[Any] | None = None  # the one that is in a method

    def run(self) -> None:
        pid, base = self._begin(), contextvars.copy_context()
        methods = MethodLoop()
        try:
            loop = io_loop()
            loop.call_soon_threadsafe(self.hub.attach, loop)
            while not self._stopped:
                arrived = next_of(self._arrived)
                if arrived is None:
                    continue
                invocation = self._take(arrived, loop)
                if invocation is None:
                    continue
                try:
                    base.copy().run(self._run_one, invocation, methods)
                except BaseException as error:  # no thread could be started, or the task was cancelled at its last step
                    if is_the_programs(error):
                        raise
                    invocation.error(error)
                self._heed_fork(pid)
        finally:
            methods.close()
            self._stopped = self._running = False

    def _run_one(self, invocation: EventInvocation, methods: MethodLoop) -> None:
        if _is_on_loop(invocation):
            methods.run(self._handle(invocation, None))
        else:
            _finish_now(self._handle(invocation, methods.run))

    async def serve(self) -> None:
        pid, base = self._begin(), contextvars.copy_context()
        loop = asyncio.get_running_loop()
        worker = Workers(loop, _set, 1)
        try:
            self.hub.attach(loop)
            self._arrival = asyncio.Event()
            while not self._stopped:
                self._arrival.clear()
                if self._arrived.empty():
                    await self._arrival.wait()
                    continue
                arrived = self._arrived.get()
                if arrived is None:
                    continue
                invocation = self._take(arrived, loop)
                if invocation is None:
                    continue
                if _is_on_loop(invocation):
                    await _end_of(base.copy().run(loop.create_task, self._handle(invocation, None)))
                else:
                    handling = self._handle(invocation, functools.partial(_run_on, loop))
                    await _on_worker(worker, functools.partial(base.copy().run, _finish_now, handling))
                self._heed_fork(pid)
        finally:
            self._running = False
            worker.close()  # when cancelled, a method may still be running: don't block the loop for it
            await self.hub.aclose(LostRemote("this socket was closed"))

    def _begin(self) -> int:
        """Whoever may run now does; the process id."""
        pid = os.getpid()
        if pid != forks.pid:
            forks.catch_up()
        if self.hub.stale:  # a forked child, which has nothing of its own yet
            self.hub.disown()
            self._set_up()
            self._running = False
        if self.hub.closed:
            raise Closed("this socket is closed")
        if self._running:
            raise RuntimeError("this socket is receiving already, in another thread or task")
        self._running = True
        return pid

    def _heed_fork(self, pid: int) -> None:
        """A child that a method forked is over with the method."""
        if os.getpid() != pid:
            end_child()

    async def _handle(self, invocation: EventInvocation, run: _Run | None) -> None:
        """One event: the hooks and the method, all in one thread.

        Off the loop, ``run`` takes what is to be run there, and blocks; so then this never waits.
        """
        pid = os.getpid()
        self._stepping = asyncio.current_task() if run is None else None
        elsewhere: BaseException | None = None
        token = CURRENT.set(invocation)
        try:
            method = invocation.begin()
            result = method.functor(*invocation.args)
            if run is None:
                await self._finish(method, result)
            elif not is_for_the_loop(result, method):
                _exhaust(method, result)
            elif (elsewhere := _run_elsewhere(run, self._finish, method, result)) is not None:
                raise elsewhere
            invocation.result(None)
        except BaseException as error:
            if os.getpid() != pid:
                end_child(error)
            if (error is not elsewhere and is_the_programs(error)) or (run is None and _was_cancelled(error)):
                raise
            invocation.error(error)
        finally:
            self._stepping = None
            invocation.finished = True
            CURRENT.reset(token)
        self._heed_fork(pid)

    async def _finish(self, method: Method, result: object) -> None:
        """Run what a method returned to its end, on a loop; a child that it forks ends with it."""
        pid = os.getpid()
        self._stepping = asyncio.current_task()
        try:
            await _to_its_end(method, result)
        except BaseException as error:
            if os.getpid() != pid:
                end_child(error)
            raise
        finally:
            self._stepping = None
        self._heed_fork(pid)

    # On the sockets' loop

    def make_peer(self, mechanism: NewMechanism = Null) -> OneWayPeer:
        peer = OneWayPeer(self._socket_type, mechanism)
        peer.tap = self.tap
        peer.on_unreadable = self._arrived.leave_out
        return peer

    def peer_ready(self, link: AioLink) -> None: ...
    def peer_writable(self, link: AioLink) -> None: ...
    def peer_leaves(self, link: AioLink) -> None: ...
    def peer_retires(self, link: AioLink) -> None: ...

    def _admitted(self, link: AioLink, identity: str) -> None:
        rules = self._rules
        if isinstance(identity, Visitor):  # pairing is for servers, which answer
            rules = Rules(self.methods, lambda *_: False)
        link.peer.rights = Rights(rules, identity)

    def peer_lost(self, link: AioLink, ended: list[Any]) -> None:
        if self.hub.admission is not None:
            self.hub.admission.forget(link)
        if link in self._paused:
            self._paused.remove(link)

    def is_idle(self, link: AioLink) -> bool:
        return False  # what a pusher has sent may be on its way: it is the one to close

    def forked(self) -> None:
        """This is a forked child. If a method on a loop forked it, that loop must not turn again."""
        task = self._stepping
        if task is not None and task is asyncio.current_task(task.get_loop()):
            task.get_loop().call_soon(end_child, RuntimeError(NO_LOOP))

    def received(self, link: AioLink, touched: list[Any]) -> None:
        """Queue; a link that brings more than the methods get through is read no further for now."""
        self._arrived.add(touched, link.peer.rights)
        self._arrival.set()
        if self._arrived.is_full and link not in self._paused:
            link.pause_reading()
            self._paused.append(link)
            if self._arrived.has_room:  # who took the last event may not have seen it
                self._resume_links()

    def _take(self, arrived: Arrival, loop: asyncio.AbstractEventLoop) -> EventInvocation | None:
        """An event has its turn, unless its sender may have nothing run any more; what was paused is read on, if there
        is room now.
        """
        event, data, rights = arrived
        self._arrived.count_out(data)
        if self._paused and self._arrived.has_room:
            loop.call_soon_threadsafe(self._resume_links)
        if is_void(arrived):
            return None
        identity = None if rights is None else rights.identity
        return EventInvocation.of(self.methods.get(event.name), event, data, self.context, identity)

    def _resume_links(self) -> None:
        paused, self._paused = self._paused, []
        for link in paused:
            link.resume_reading()

    # The end

    def stop(self) -> None:
        if self._is_stale():  # forked: what runs is the parent's, and so are its loop and its locks
            return
        self._stopped = True
        self._arrived.put(None)
        loop = self.hub.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(self._arrival.set)

    def close(self) -> None:
        self.stop()
        loop = self.hub.loop
        if loop is None or self.hub.stale or sys.is_finalizing():
            self.hub.close_unattached()
        elif not self.hub.closed and loop.is_running() and running_loop() is not loop:
            complete(self.hub.aclose(LostRemote("this socket was closed")), loop)

    def abandon(self) -> None:
        """The socket was dropped without close()."""
        if os.getpid() == forks.pid and not (self.hub.closed or self.hub.stale):
            self.hub.drop(LostRemote("this socket was dropped"))

    def _is_stale(self) -> bool:
        if os.getpid() != forks.pid:
            forks.catch_up()
        return self.hub.stale


def _is_on_loop(invocation: EventInvocation) -> bool:
    method = invocation.method
    return method is not None and method.where is Where.LOOP


def _was_cancelled(error: BaseException) -> bool:
    """Whether it is the end of a task that somebody cancelled, and no error of what the method awaits."""
    task = asyncio.current_task()
    return issubclass(type(error), asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _run_elsewhere(run: _Run, finish: _Finish, method: Method, result: object) -> _Outcome:
    try:
        return run(_outcome(finish, method, result))
    except BaseException:
        if inspect.iscoroutine(result):
            result.close()  # it may not have begun: there was no thread for it
        raise


async def _outcome(finish: _Finish, method: Method, result: object) -> _Outcome:
    """``finish`` for a thread that waits: what it raised is given to it, since a loop ends with some errors."""
    try:
        await finish(method, result)
    except BaseException as error:
        return error
    return None


async def _to_its_end(method: Method, result: Any) -> None:
    """Await what can be awaited, iterate over what has items: nobody wants them, but what happens between them."""
    before: Any = None
    while inspect.isawaitable(result) and result is not before:  # a database's client may give itself
        before, result = result, await result
    if not is_for_the_loop(result, method):
        _exhaust(method, result)
        return
    items = aiter(result)
    try:
        async for _ in items:
            pass
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()  # in this task, and not by the garbage collector in another


def _exhaust(method: Method, result: Any) -> None:
    if method.streams or isinstance(result, Iterator):
        for _ in result:
            pass


def _run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _Outcome]) -> _Outcome:
    """Run it on the loop; blocks this thread until then."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def _finish_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)


async def _end_of(task: asyncio.Task[None]) -> None:
    """Wait for a task, which ends with us, but not we with it."""
    try:
        await asyncio.wait((task,))
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


async def _on_worker(worker: Workers, act: Callable[[], None]) -> None:
    """Run it on the worker, and wait for its end."""
    done = asyncio.get_running_loop().create_future()

    def work(_: None) -> None:
        try:
            act()
        finally:
            worker.post(done)

    worker.submit(work, None)
    await done


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
