"""A call that goes on in the background: what ``async_=True`` returns."""

from __future__ import annotations

import threading
import weakref
from os import getpid
from time import monotonic
from typing import Any, Protocol

from zerorpc.client.request import Request, answered
from zerorpc.errors import LostRemote, TimeoutExpired
from zerorpc.protocol.channel import STATE_REFUSED, ClientChannel
from zerorpc.runtime import threads
from zerorpc.settings import seconds
from zerorpc.transport.blocking import BlockingHub
from zerorpc.transport.waking import Gate

__all__ = ["AsyncResult"]


class TriesElsewhere(Protocol):
    """What a blocking client knows of its peers."""

    hub: BlockingHub

    def try_elsewhere(self, channel: ClientChannel) -> None:
        """Wait for the reply of another server to a call that one has refused."""


class BackgroundCaller(Protocol):
    """The core of a blocking client."""

    hub: BlockingHub

    @property
    def peers(self) -> TriesElsewhere: ...


class AsyncResult:
    """What ``async_=True`` returns: the call goes on in the background, and ``get`` waits for its outcome.

    Safe from any thread.
    """

    def __init__(self, core: BackgroundCaller, request: Request) -> None:
        self._core = core  # whose connections would be closed if nobody kept it
        self._method = request.channel.method
        self._pid = getpid()
        self._done = Gate()
        self._value: Any = None
        self._error: BaseException | None = None
        args = (weakref.ref(self), core.peers, request)
        threads.start(threading.Thread(target=_finish_in_background, args=args, name="zerorpc-async-call", daemon=True))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Wait for the call's result and return it, or raise its error; may be called again.

        Raises TimeoutExpired if there is no outcome after ``timeout`` seconds (None: wait for the call's own timeout),
        or now if not ``block``; the call goes on.
        """
        timeout = seconds("timeout", timeout)
        self._wait(timeout if block else 0)
        if not self._done.is_open:
            late = TimeoutExpired(timeout, f"waiting for the result of {self._method}")
            late.method = self._method
            raise late
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # or the error, its traceback, this frame and the result would be a circle
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the outcome, whatever it is, at most ``timeout`` seconds."""
        self._wait(seconds("timeout", timeout))

    def _wait(self, timeout: float | None) -> None:
        if not self._done.is_open and self._pid != getpid():
            lost = LostRemote("the process was forked, and the call is the parent's")
            lost.method = self._method
            self.settle(None, lost)
        if not self._done.is_open and (timeout is None or timeout > 0):
            self._core.hub.leading.wait_for(self._done, timeout)

    def settle(self, value: object, error: BaseException | None) -> None:
        """This is the outcome."""
        self._value, self._error = value, error
        self._done.open()

    def ready(self) -> bool:
        """Whether the outcome is there."""
        return self._done.is_open

    def successful(self) -> bool:
        """Whether the outcome is there and is a result."""
        return self.ready() and self._error is None

    @property
    def value(self) -> Any:
        """The result; None as long as there is none."""
        return self._value

    @property
    def exception(self) -> BaseException | None:
        """The error; None as long as there is none."""
        return self._error


def _finish_in_background(reference: weakref.ref[AsyncResult], peers: TriesElsewhere, request: Request) -> None:
    """Keeps neither the result nor its client: nobody may want them any more."""
    hub = peers.hub
    value = failed = None
    try:
        hub.leading.wait(request.channel, answered, monotonic())
        if request.channel.state is STATE_REFUSED:
            peers.try_elsewhere(request.channel)
        value = request.outcome()
    except BaseException as error:
        failed = error
        request.channel.error = None
    result = reference()
    if result is not None:
        result.settle(value, failed)
    del value, failed, result  # a frame that a traceback keeps
