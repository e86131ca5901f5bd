"""Methods marked with ``@zerorpc.process``: the call's steps on a thread of the server, the method in a process."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, Protocol

from zerorpc.errors import Cancelled, SerializationError, WorkerDied
from zerorpc.protocol.call_header import Metadata
from zerorpc.scope import CURRENT
from zerorpc.service.carried_call import pack_call
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Method
from zerorpc.service.process_pool import WorkerProcess, died
from zerorpc.service.process_worker import Outcome, run_within
from zerorpc.service.thread_jobs import Posted
from zerorpc.shown import message_of

__all__ = ["ProcessJob"]


class HookedInProcess(Protocol):
    """What hooks have made of a call (``ServerCall``)."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    in_process: Callable[[], AbstractContextManager[object]] | None


class ProcessJob:
    """A request whose method runs in a worker process. Hooks run in the server, around it, all on one thread."""

    __slots__ = ("_context", "_died", "_post", "_worker", "invocation")

    def __init__(self, invocation: Invocation, post: Callable[[Posted], None], context: Context) -> None:
        self.invocation: Invocation = invocation
        self._post = post
        self._context = context
        self._worker: WorkerProcess | None = None
        self._died: WorkerDied | None = None

    # In the pool's thread

    def run(self, worker: WorkerProcess) -> None:
        self._context.run(self._run, worker)

    def _run(self, worker: WorkerProcess) -> None:
        invocation, data = self.invocation, None
        CURRENT.set(invocation)
        if not invocation.closed:
            try:
                data = invocation.result(self._value(invocation.begin(), worker))
            except BaseException as error:
                if not (invocation.closed and isinstance(error, (Cancelled, WorkerDied))):  # else nobody wants to know
                    data = self._error(error)
        self._post((self, data, True))

    def _error(self, error: BaseException) -> bytes:
        if error is self._died and isinstance(error, WorkerDied):
            return self.invocation.refusal(error, logged=True)
        return self.invocation.error(error)

    def _value(self, method: Method, worker: WorkerProcess) -> object:
        invocation, hooks = self.invocation, method.hooks
        invocation.ran = False  # until it is handed over
        args, kwargs = invocation.args, invocation.kwargs or {}
        if method.schema is not None:
            args, kwargs = method.schema.convert(args, kwargs)
        if hooks is None:
            value = self._hand_over(worker, method.functor, args, kwargs)
        else:
            value = hooks.run_process(args, kwargs, functools.partial(self._hand_over_hooked, worker, method.functor))
        return value if method.schema is None else method.schema.check_result(value)

    def _hand_over_hooked(self, worker: WorkerProcess, functor: Callable[..., object], call: HookedInProcess) -> Any:
        """As the hooks want it."""
        if call.in_process is not None:
            functor = functools.partial(run_within, call.in_process, functor)
        return self._hand_over(worker, functor, call.args, call.kwargs)

    def _hand_over(
        self,
        worker: WorkerProcess,
        functor: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> Any:
        """What the function returns there, or what it raises."""
        invocation, name = self.invocation, self.invocation.name
        what = (functor, list(args), dict(kwargs), pack_call(invocation))
        try:
            request = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        except BaseException as error:
            raise TypeError(f"{name} can't be sent to a worker process: {message_of(error)}; {_WHAT_CAN}") from None
        try:
            with worker.lent_to(self):
                self._worker = worker  # first, so that wake() either finds it or has closed the channel by now
                if invocation.closed:
                    raise Cancelled(f"the caller of {name} waits no longer")
                invocation.ran = None
                reply = worker.call(name, request)
        except WorkerDied as error:
            self._died = error
            raise
        return self._heed(*_load(reply))

    def _heed(self, outcome: Outcome, value: Any, metadata: tuple[Metadata, Metadata] | None = None) -> Any:
        invocation, name = self.invocation, self.invocation.name
        if metadata is not None:
            invocation.reply_metadata.update(metadata[0])
            invocation.end_metadata.update(metadata[1])
        invocation.ran = outcome is not Outcome.UNLOADABLE
        if outcome is Outcome.VALUE:
            return value
        if outcome is Outcome.RAISED:
            raise value.unpack()
        if outcome is Outcome.UNSENDABLE:
            raise SerializationError(f"the result of {name} can't be sent: {value}")
        raise TypeError(f"{name} can't be loaded in a worker process: {value}; {_WHAT_CAN}")

    # On the loop

    def refuse(self, why: str) -> None:
        """There is no thread to run it."""
        error = died(self.invocation.name, why, ran=False)
        self._post((self, self.invocation.refusal(error, logged=True), True))

    def wake(self) -> None:
        if self.invocation.closed and self._worker is not None:
            self._worker.cancel(self)


_WHAT_CAN = (
    "it has to be a function of a module that a new process can import, a static method, or a method of an object "
    "that can be pickled"
)


def _load(reply: bytes) -> tuple[Any, ...]:
    try:
        loaded: tuple[Any, ...] = pickle.loads(reply)
    except BaseException as error:  # of a class that only the worker can import
        return Outcome.UNSENDABLE, message_of(error)
    return loaded
