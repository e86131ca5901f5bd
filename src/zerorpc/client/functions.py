"""The threads on which the functions run that a blocking client has lent to a call."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from typing import Protocol

from zerorpc.client.lending import Within, tell_outcome
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.lent import CallBack
from zerorpc.runtime.side_thread import SideThreads
from zerorpc.scope import CURRENT

__all__ = ["ThreadFunctions"]


_ASYNC = "is async: an AsyncClient passes such functions, a Client plain ones"


class FunctionCaller(Protocol):
    """What a blocking client knows of its peers."""

    @property
    def lock(self) -> threading.RLock: ...

    @property
    def side_threads(self) -> SideThreads: ...

    def tell_ended(self, functions: ThreadFunctions, /) -> None:
        """They need nobody to lead any more, perhaps. From any thread, at any moment."""

    def send(self, channel: ClientChannel, /) -> None:
        """Send what a call has to send. With the lock held."""


class ThreadFunctions:
    """Runs the functions of one call, each on a thread, in a copy of the caller's context.

    It is also what has the keeper lead as long as the call goes on: the server may call at any time, and between two
    items of a stream no thread waits.
    """

    hooked = False
    cancelled = False

    def __init__(self, peers: FunctionCaller, channel: ClientChannel) -> None:
        """Raises TypeError for functions that can't be called here."""
        assert channel.lent is not None
        if channel.lent.async_functions:
            raise TypeError(f"{channel.method}: {channel.lent.async_functions[0]} {_ASYNC}")
        self._peers = peers
        self._channel = channel
        self._scope = Within(channel)
        self._context = contextvars.copy_context()
        channel.lent.hand = self

    def begin(self, call: CallBack) -> None:
        if self._scope.over:  # it was an earlier attempt's
            self._scope = Within(self._channel)
        self._peers.side_threads.post(functools.partial(self._context.copy().run, self._run, call, self._scope))

    def _run(self, call: CallBack, scope: Within) -> None:
        CURRENT.set(scope)
        what: object
        try:
            returned, what = True, call.run()
            if inspect.isawaitable(what):
                returned, what = False, TypeError(f"what is called {_ASYNC}")
        except BaseException as error:
            returned, what = False, error
        with self._peers.lock:
            tell_outcome(self._channel, scope, call.number, returned, what)
            self._peers.send(self._channel)

    def forget(self, number: int) -> None:
        """A thread can't be stopped."""

    def end(self) -> None:
        self._scope.end()
        self._peers.tell_ended(self)

    # As a background call: there is nothing to finish

    @property
    def answered(self) -> bool:
        return self._channel.over

    def claim(self, cancelled: bool) -> bool:
        return self._channel.over

    def finish(self) -> None: ...

    def forked(self) -> None: ...
