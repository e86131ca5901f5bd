"""Methods marked with ``@zerorpc.process``: the call's steps on a thread of the server, the method in a process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextvars import Context
from typing import Any

from zerorpc.errors import SerializationError, WorkerDied
from zerorpc.protocol.call_header import Metadata
from zerorpc.service.carried_call import pack_call
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Method
from zerorpc.service.process_pool import WorkerProcess, died
from zerorpc.service.process_worker import Outcome
from zerorpc.service.thread_jobs import Posted
from zerorpc.shown import message_of

__all__ = ["ProcessJob"]


class ProcessJob:
    """A request whose method runs in a worker process. Hooks run in the server, around it, all on one thread."""

    __slots__ = ("_context", "_post", "_worker", "invocation")

    def __init__(self, invocation: Invocation, post: Callable[[Posted], None], context: Context) -> None:
        self.invocation: Invocation = invocation
        self._post = post
        self._context = context
        self._worker: WorkerProcess | None = None

    # In the pool's thread

    def run(self, worker: WorkerProcess) -> None:
        self._context.run(self._run, worker)

    def _run(self, worker: WorkerProcess) -> None:
        data = None
        if not self.invocation.closed:
            try:
                data = self._answer(self.invocation.begin(), worker)
            except BaseException as error:
                data = self.invocation.error(error)
        self._post((self, data, True))

    def _answer(self, method: Method, worker: WorkerProcess) -> bytes | None:
        """The reply to send; None if the caller is gone."""
        invocation, name = self.invocation, self.invocation.name
        invocation.ran = False  # until it is handed over
        args, kwargs = invocation.args, invocation.kwargs or {}
        if method.schema is not None:
            args, kwargs = method.schema.convert(args, kwargs)
        try:
            what = (method.functor, args, kwargs, pack_call(invocation))
            request = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        except BaseException as error:
            raise TypeError(f"{name} can't be sent to a worker process: {message_of(error)}; {_WHAT_CAN}") from None
        try:
            with worker.lent_to(self):
                self._worker = worker  # first, so that wake() either finds it or has closed the channel by now
                if invocation.closed:
                    return None
                invocation.ran = None
                reply = worker.call(name, request)
        except WorkerDied as error:
            if invocation.closed:
                return None  # cancelled: nobody wants to know
            return invocation.refusal(error, logged=True)
        return self._reply(*_load(reply))

    def _reply(self, outcome: Outcome, value: Any, metadata: tuple[Metadata, Metadata] | None = None) -> bytes:
        invocation, name = self.invocation, self.invocation.name
        if metadata is not None:
            invocation.reply_metadata.update(metadata[0])
            invocation.end_metadata.update(metadata[1])
        invocation.ran = outcome is not Outcome.UNLOADABLE
        method = invocation.method
        if outcome is Outcome.VALUE:
            if method is not None and method.schema is not None:
                method.schema.check_result(value)
            return invocation.result(value)
        if outcome is Outcome.RAISED:
            return invocation.error(value.unpack())
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
