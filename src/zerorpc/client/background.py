"""A call that goes on in the background: what ``async_=True`` returns.

Imported with the first such call: ``concurrent.futures`` brings ``logging`` along, which takes 3 ms.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from os import getpid
from threading import get_ident
from time import monotonic
from typing import Any, Protocol

from zerorpc.client.request import Request
from zerorpc.errors import LostRemote, TimeoutExpired
from zerorpc.logs import Logger
from zerorpc.not_picklable import NotPicklable
from zerorpc.number_checks import seconds
from zerorpc.protocol.channel import STATE_REFUSED, ClientChannel
from zerorpc.runtime import forks
from zerorpc.transport.blocking import BlockingHub
from zerorpc.transport.waking import Gate

__all__ = ["AsyncResult"]

logger: Logger = Logger("concurrent.futures")  # which tells of a callback that raises


class StartsAgain(Protocol):
    """What a blocking client knows of its peers."""

    hub: BlockingHub

    def start_again(self, channel: ClientChannel, now: float) -> None:
        """Ask another server, if there is one, about a call that one has refused. With the hub's lock held."""

    def abandon(self, channel: ClientChannel) -> None:
        """Nobody wants the rest of a call. With the hub's lock held."""


class BackgroundCaller(Protocol):
    """The core of a blocking client."""

    hub: BlockingHub

    @property
    def peers(self) -> StartsAgain: ...

    def abandon(self, channel: ClientChannel) -> None:
        """Give a call up. Safe for one that has ended."""


class AsyncResult(NotPicklable, Future[Any]):
    """What ``async_=True`` returns: the call goes on in the background, and ``get`` waits for its outcome.

    It is a ``concurrent.futures.Future`` with, besides, what zerorpc 0.6 had: ``get``, ``wait``, ``ready``,
    ``successful``, ``value``. So ``as_completed``, ``wait`` and ``asyncio.wrap_future`` take it. No thread is started
    for it.

    Callbacks of ``add_done_callback`` run one after the other, on a thread of the client's, where they may call, and
    wait. ``running()`` is always False: until it is done, the call can be cancelled.

    Safe from any thread. In a forked child it raises LostRemote, unless it was done before. When nobody refers to it
    any more, and it has no callbacks, the call goes on as long as something else keeps the client.
    """

    _outcome: tuple[object, BaseException | None] | None = None  # result and error, once one of them is there

    def __init__(self, core: BackgroundCaller, request: Request | None, method: str = "") -> None:
        """Without a request there is an outcome already, of a call to ``method``: ``settle`` is next."""
        super().__init__()
        self._core = core  # whose connections would be closed if nobody kept it
        self._gate = gate = Gate()
        super().add_done_callback(lambda _: gate.open())  # before the program's, which may ask for the outcome
        self.metadata: dict[str, str | bytes] = {}  # what the method has sent along, once the outcome is there
        self.end_metadata: dict[str, str | bytes] = {}
        self.call: _Call = _Call(self, core.peers, request, method)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Wait for the call's result and return it, or raise its error; may be called again.

        Raises TimeoutExpired if there is no outcome after ``timeout`` seconds (None: wait for the call's own timeout),
        or now if not ``block``; the call goes on. Raises ``concurrent.futures.CancelledError`` if it was cancelled.
        """
        try:
            self._until_done(seconds("timeout", timeout), block)
            return super().result(0)
        finally:
            del self  # or an error, its traceback, this frame and the result would be a circle

    def result(self, timeout: float | None = None) -> Any:
        """The same as ``get(timeout=timeout)``."""
        try:
            self._until_done(seconds("timeout", timeout))
            return super().result(0)
        finally:
            del self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait as ``get`` does and return the error, None if there is a result."""
        self._until_done(seconds("timeout", timeout))
        return super().exception(0)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the outcome, whatever it is, at most ``timeout`` seconds."""
        self._wait(seconds("timeout", timeout))

    def ready(self) -> bool:
        """Whether the outcome is there."""
        return self.done()

    def successful(self) -> bool:
        """Whether the outcome is there and is a result."""
        return self.done() and not self.cancelled() and super().exception(0) is None

    @property
    def value(self) -> Any:
        """The result; None as long as there is none."""
        return super().result(0) if self.successful() else None

    def cancel(self) -> bool:
        """Give the call up, unless its outcome is there; whether it is cancelled.

        A server of ours is told at once, and cancels the method. Who waits gets ``concurrent.futures.CancelledError``.
        """
        if getpid() != forks.pid:
            forks.catch_up()
        self.call.given_up = True  # first: if this is interrupted, the keeper does the rest
        if not super().cancel():
            return False
        request = self.call.request
        if request is not None:
            self._core.abandon(request.channel)  # and so the keeper comes, and tells those who wait for several
        return True

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """Have ``fn(result)`` called when the outcome is there: at once, and here, if it is there already."""
        if getpid() != forks.pid:
            forks.catch_up()
        self.call.kept = self  # nobody else may
        callback = _Callback(fn, self._core.hub)
        super().add_done_callback(callback)
        callback.adder = None
        if self.done():
            self.call.kept = None

    def _until_done(self, timeout: float | None, block: bool = True) -> None:
        self._wait(timeout if block else 0)
        if not (self._gate.is_open or self.done()):  # it is done a moment before it opens
            raise self._late(timeout)

    def _late(self, timeout: float | None) -> TimeoutExpired:
        """Made here: who raises it has no name for it, or they would be a circle, by way of its traceback."""
        late = TimeoutExpired(timeout, f"waiting for the result of {self.call.method}")
        late.method = self.call.method
        return late

    def _wait(self, timeout: float | None) -> None:
        if getpid() != forks.pid:
            forks.catch_up()
        # Not ``done()``: that takes the future's lock, for which the keeper would wait, and for the keeper a signal
        # handler or finalizer that comes in the middle, and waits for another call.
        if not self._gate.is_open and (timeout is None or timeout > 0):
            self._core.hub.background.wait_for(self.call, self._gate, timeout)

    # The keeper's

    def settle(self, value: object, error: BaseException | None) -> None:
        """This is the outcome, unless it was cancelled."""
        try:
            if self.set_running_or_notify_cancel():
                self._outcome = value, error  # first: a fork finds it as soon as anybody sees that this is done
                if error is None:
                    self.set_result(value)
                else:
                    self.set_exception(error)
        finally:
            self._gate.open()

    def forked(self) -> None:
        """In a forked child: a lock may be held by a thread that doesn't exist here. So it is made anew.

        It may be done all the same: the keeper has given it its outcome, or is to see that it was cancelled.
        """
        outcome = self._outcome
        super().__init__()
        if outcome is None:
            lost = LostRemote("the process was forked, and the call is the parent's")
            lost.method = self.call.method
            outcome = None, lost
            if self.call.given_up:
                super().cancel()  # then ``settle`` only opens the gate
        self.settle(*outcome)


class _Callback:
    """What stands for a callback of the program's: it has it run on a thread for that."""

    __slots__ = ("_fn", "_hub", "adder")

    def __init__(self, fn: Callable[[Future[Any]], object], hub: BlockingHub) -> None:
        self._fn = fn
        self._hub = hub
        self.adder: int | None = get_ident()  # the thread that is just adding it

    def __call__(self, result: Future[Any]) -> None:
        if self.adder == get_ident():
            self._fn(result)
        else:
            self._hub.background.callbacks.post(functools.partial(self._run, result))

    def _run(self, result: Future[Any]) -> None:
        try:
            self._fn(result)
        except BaseException as error:
            logger.error("exception calling callback for %r", result, raised=error)


class _Call:
    """The call behind a result, as long as it goes on: the waiter of its channel.

    Keeps neither the result nor its client, unless there are callbacks: nobody may want them any more.
    """

    __slots__ = ("_peers", "_result", "given_up", "hooked", "kept", "method", "request")

    def __init__(self, result: AsyncResult, peers: StartsAgain, request: Request | None, method: str) -> None:
        self._result = weakref.ref(result)
        self._peers = peers
        self.request: Request | None = request  # until it is finished: the program may keep the result for long
        self.method: str = method if request is None else request.channel.method
        # whether ``finish`` calls hooks of the program's
        self.hooked: bool = request is not None and (request.event is not None or type(request) is not Request)
        self.kept: AsyncResult | None = None
        self.given_up: bool = False  # unless it had its outcome
        if request is not None:
            request.channel.waiter = self

    @property
    def answered(self) -> bool:
        return self.request is None or self.request.channel.answered or self.given_up

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more. Without the hub's lock: it takes the future's."""
        result = self._result() if self.given_up else None
        return result is not None and result.cancelled()

    def set_result(self, result: None) -> None:
        """As a waiter: there is a reply, or an end."""
        self._peers.hub.background.tell(self)

    def claim(self, cancelled: bool) -> bool:
        """Whether it is over: of one that a server has refused another may be asked. With the hub's lock held."""
        assert self.request is not None
        channel = self.request.channel
        while channel.state is STATE_REFUSED:
            channel.waiter = self
            try:
                self._peers.start_again(channel, monotonic())
            except Exception as error:
                channel.fail(error)
        if cancelled and not channel.answered:
            self._peers.abandon(channel)
        if channel.answered:
            channel.waiter = None
        return channel.answered

    def finish(self) -> None:
        """Give it its outcome. Without the hub's lock."""
        result, request = self._result(), self.request
        assert request is not None
        value = failed = None
        if result is None or not result.cancelled():
            try:
                value = request.outcome()
            except BaseException as error:
                failed = error
                request.channel.error = None
        else:
            request.cancelled()
        if result is not None:
            result.metadata, result.end_metadata = request.metadata, request.end_metadata
            result.settle(value, failed)
        self.kept = self.request = None
        del value, failed, result, request  # a frame that a traceback keeps

    def forked(self) -> None:
        """In a forked child. ``kept`` stays: what would go with it may take locks."""
        result = self._result()
        if result is not None:
            result.forked()

    def __repr__(self) -> str:
        return f"<background call of {self.method}{'' if self.answered else ': waits'}>"
