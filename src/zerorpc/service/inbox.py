"""What arrived for a Puller or Subscriber: the events in order, and their execution one by one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import inspect
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from zerorpc.errors import Closed, LostRemote
from zerorpc.logs import Logger
from zerorpc.protocol.events import Buffer, Event, WireEvent, decode_header, no_array
from zerorpc.protocol.one_way import OneWayPeer
from zerorpc.service.execution import ServerHooks
from zerorpc.service.forks import NO_LOOP, end_child
from zerorpc.service.methods import Method
from zerorpc.shown import name_of
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.io_thread import io_loop
from zerorpc.transport.loops import running_loop
from zerorpc.zmtp import SocketType

__all__ = ["Inbox"]

logger = Logger("zerorpc.server")

_QUEUED_MAX = 1000  # events waiting for their method, before the links are read no further: libzmq's high-water mark


class InboxHooks(ServerHooks, Protocol):
    """The hooks of ``zerorpc.Context`` that an event passes on its way in."""

    def hook_resolve_endpoint(self, endpoint: Any, /) -> Any: ...


class Inbox:
    """The events that arrived for a Puller or Subscriber, and their execution."""

    def __init__(self, socket_type: SocketType, context: InboxHooks, methods: dict[str, Method]) -> None:
        self.context = context
        self.tap: Callable[[str, Buffer], None] | None = None
        self.methods = methods
        self.hub = AioHub(self, context.hook_resolve_endpoint)
        self._socket_type = socket_type
        self._arrived: deque[tuple[WireEvent, Buffer]] = deque()
        self._changed = threading.Condition()
        self._wake: Any = threading.Event()  # an asyncio one while serving
        self._stopped = False
        self._paused: list[AioLink] = []
        self._stepping: asyncio.Task[Any] | None = None  # the one on the loop that is in a method

    def run(self) -> None:
        self._check_open()
        loop = io_loop()
        loop.call_soon_threadsafe(self.hub.attach, loop)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._arrived or self._stopped)
                if self._stopped:
                    break
                event, data = self._arrived.popleft()
            self._resume(loop)
            if self._is_coroutine(event):
                asyncio.run_coroutine_threadsafe(self._handle(event, data), loop).result()
            else:
                _finish_now(self._handle(event, data, loop))
        self._stopped = False

    async def serve(self) -> None:
        self._check_open()
        loop = asyncio.get_running_loop()
        self.hub.attach(loop)
        self._wake = asyncio.Event()
        thread = concurrent.futures.ThreadPoolExecutor(1, "zerorpc-puller")
        try:
            while not self._stopped:
                self._wake.clear()
                if not self._arrived:
                    await self._wake.wait()
                    continue
                event, data = self._arrived.popleft()
                self._resume(loop)
                if self._is_coroutine(event):
                    await self._handle(event, data)
                else:
                    await loop.run_in_executor(thread, _finish_now, self._handle(event, data, loop))
        finally:
            thread.shutdown(wait=False)  # when cancelled, a method may still be running: don't block the loop for it
            await self.hub.aclose(LostRemote("this socket was closed"))

    def _check_open(self) -> None:
        if self.hub.closed:
            raise Closed("this socket is closed")

    def _is_coroutine(self, event: WireEvent) -> bool:
        method = self.methods.get(event.name)
        return method is not None and method.on_loop

    async def _handle(self, wire: WireEvent, data: Buffer, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """One event: the hooks and the method, all in one thread. Waits only if the method is a coroutine.

        ``loop`` is given off the loop: there a coroutine that a plain method returns is run, while this blocks.
        """
        event = Event(wire.name, wire.args, decode_header(data))
        try:
            method = self.methods.get(event.name)
            if method is None:
                raise NameError(event.name)
            if not isinstance(event.args, list):
                raise TypeError(no_array(event.name, event.args))
            self.context.hook_load_task_context(event.header)
            self.context.hook_server_before_exec(event)
            result = method.functor(*event.args)
            if inspect.iscoroutine(result):
                coroutine = self._on_loop(result)
                await (coroutine if loop is None else _run_on(loop, coroutine))
            self.context.hook_server_after_exec(event, None)
        except Exception as error:
            logger.exception("%s raised %s", event.name, name_of(error), error=error)
            try:
                self.context.hook_server_inspect_exception(event, None, sys.exc_info())
            except Exception as failed:
                logger.exception("a hook raised while %s's error was handled", event.name, error=failed)
        if self.hub.stale:
            end_child()

    # On the loop

    async def _on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """A method, to its end; a child that it forks ends with it."""
        self._stepping = asyncio.current_task()
        try:
            await coroutine
        except BaseException as error:
            if self.hub.stale:
                end_child(error)
            raise
        finally:
            self._stepping = None
        if self.hub.stale:
            end_child()

    def make_peer(self) -> OneWayPeer:
        peer = OneWayPeer(self._socket_type)
        peer.tap = self.tap
        return peer

    def peer_ready(self, link: AioLink) -> None: ...

    def peer_writable(self, link: AioLink) -> None: ...

    def peer_lost(self, link: AioLink, ended: list[Any]) -> None:
        if link in self._paused:
            self._paused.remove(link)

    def forked(self) -> None:
        """This is a forked child. If a method on the loop forked it, the loop must not turn again."""
        loop = self.hub.loop
        if loop is not None and self._stepping is not None and self._stepping is asyncio.current_task(loop):
            loop.call_soon(end_child, RuntimeError(NO_LOOP))

    def received(self, link: AioLink, touched: list[Any]) -> None:
        """Queue; a link that brings more than the methods get through is read no further for now."""
        with self._changed:
            self._arrived.extend(touched)
            self._changed.notify()
        self._wake.set()
        if len(self._arrived) >= _QUEUED_MAX and link not in self._paused:
            link.pause_reading()
            self._paused.append(link)

    def _resume(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._paused and len(self._arrived) <= _QUEUED_MAX // 2:
            loop.call_soon_threadsafe(self._resume_links)

    def _resume_links(self) -> None:
        paused, self._paused = self._paused, []
        for link in paused:
            link.resume_reading()

    # The end

    def stop(self) -> None:
        if self.hub.stale:  # forked: what runs is the parent's, and so are its loop and its locks
            return
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        loop = self.hub.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        self.stop()
        loop = self.hub.loop
        if loop is None or self.hub.stale:
            self.hub.close_unattached()
        elif not self.hub.closed and loop.is_running() and running_loop() is not loop:
            asyncio.run_coroutine_threadsafe(self.hub.aclose(LostRemote("this socket was closed")), loop).result()


async def _run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """A coroutine's result; blocks this thread until the loop has it, and never waits."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def _finish_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
