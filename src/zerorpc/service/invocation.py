"""A request to run a method, whatever door it came by: its steps in order, and what becomes of it.

A door makes one for each request, of a subclass that says how an outcome is packed and where it goes. What runs methods
(``runners``: on the loop, on threads, in worker processes) takes the steps below and knows no door. Whatever a
method raises, the caller gets a reply.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, ClassVar

from zerorpc.errors import (
    Cancelled,
    InvalidArguments,
    PermissionDenied,
    RemoteError,
    SerializationError,
    UnknownMethod,
    WrongArguments,
)
from zerorpc.logs import Logger
from zerorpc.protocol.server_channel import Runner
from zerorpc.scope import Cancellable
from zerorpc.service.call_scope import CallScope
from zerorpc.service.failure import Failure, plain, refusal_of
from zerorpc.service.methods import Method
from zerorpc.service.rights import DeniedError
from zerorpc.service.schema import Misgiven, Misreturned
from zerorpc.service.signatures import cannot_begin, misfit, no_array
from zerorpc.shown import line, message_of, name_of, trace_of, without_frames_of

__all__ = ["Invocation", "Runner"]

logger: Logger = Logger("zerorpc.server")

_MISTAKES = (InvalidArguments, PermissionDenied, UnknownMethod, WrongArguments)


class _Door(CallScope, eq=False):
    """What a door says of a request and its outcome, in a subclass of Invocation."""

    # The door's: the steps that hooks see

    def arrives(self) -> None:
        """Before anything is known of the method."""

    def starts(self) -> None:
        """There is a method, and it is about to run."""

    def begin_stream(self) -> None:
        """Before the first item. Safe to call twice."""

    # The door's: what becomes of it, packed

    def result(self, value: object) -> bytes:
        """The method returned."""
        raise NotImplementedError

    def item(self, value: object) -> bytes:
        """The method yielded."""
        raise NotImplementedError

    def done(self) -> bytes:
        """The method has yielded everything."""
        raise NotImplementedError

    def failure(self, failure: Failure) -> bytes:
        """The method, or a step around it, raised."""
        raise NotImplementedError

    def failure_in_short(self, name: str) -> bytes:
        """The shortest error, for when ``failure`` itself raised."""
        raise NotImplementedError

    def propagates(self, error: BaseException) -> bool:
        """Whether what came in the middle of telling is the program's, and no business of the caller's."""
        return False

    # The door's: what is known of the caller

    @property
    def peer(self) -> str | None:
        """Where it is."""
        return None

    @property
    def identity(self) -> str | None:
        """Who it is, if somebody was asked."""
        return None

    def admits(self, name: str) -> bool:
        """Whether the caller may call a method of this name."""
        return True

    @property
    def words(self) -> bool:
        """Whether the arguments are texts that somebody typed."""
        return False

    @property
    def denied(self) -> bool:
        """Whether it has no method since the caller may not call it."""
        return False

    def tells_denial(self) -> bool:
        """It is ``denied``, which is logged: whether the caller may know that there is such a method."""
        raise NotImplementedError

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """What it sent along."""
        return {}

    @property
    def headers(self) -> Mapping[str, object]:
        """What else stands in the header of its request, of a zerorpc caller's."""
        return {}

    @property
    def attempt(self) -> int:
        """Which one of the call this is."""
        return 1

    @property
    def stream_until(self) -> float:
        """When it waits no longer for the end of a stream."""
        return inf

    # The door's: the way back, on the loop

    @property
    def room(self) -> int:
        """How many items may be sent now."""
        raise NotImplementedError

    @property
    def runner(self) -> Runner | None:
        """Whom the door wakes."""
        raise NotImplementedError

    @runner.setter
    def runner(self, runner: Runner | None) -> None:
        raise NotImplementedError

    def send_item(self, data: bytes) -> None:
        """Send one, at the end of this turn of the loop at the latest."""
        raise NotImplementedError

    def answer(self, data: bytes, flush: bool = True) -> None:
        """Send the last of it. Without ``flush`` the door does so: it is still handing requests in."""
        raise NotImplementedError

    def gone(self) -> None:
        """There will be no answer: its caller gave up, or is gone."""

    def flush_soon(self) -> None:
        """Send what was answered without a flush, and not while the door hands requests in."""
        raise NotImplementedError

    # The door's: for calls with an idempotency key

    def for_key(self, end: Callable[[bytes, bool], None]) -> Invocation:
        """One like this that runs for its key: its answer goes to ``end``, with whether the method has run."""
        raise NotImplementedError

    @property
    def kept_as(self) -> str:
        """The name of the method in the keeping of answers: those of other doors are packed in another way."""
        raise NotImplementedError

    def give(self, answer: bytes) -> None:
        """Answer with what another one of this key has given to its ``end``."""
        raise NotImplementedError

    # The door's: for those that wait for their turn

    @property
    def caller(self) -> object:
        """Whose request it is, compared by identity."""
        raise NotImplementedError

    @property
    def open_calls(self) -> int:
        """How many calls the caller has open, those that wait included."""
        raise NotImplementedError

    @property
    def parked_calls(self) -> int:
        """How many of these are streams on threads that wait for their readers."""
        return 0

    def park(self, by: int) -> None:
        """One more of these (1), or less (-1). With a lock held, from any thread."""

    @property
    def may_begin(self) -> bool:
        """Whether the caller takes answers just now."""
        return True

    @property
    def patience(self) -> float:
        """Seconds that the caller waits for the first reply."""
        raise NotImplementedError

    @property
    def octets(self) -> int:
        """How much memory the request takes."""
        raise NotImplementedError


class Invocation(_Door, eq=False):
    """A request and the method that answers it. ``begin``, the method and the steps after it run in one thread, so that
    hooks may use thread-locals. What a step returns is packed, as the door has it.
    """

    hooked: ClassVar[bool] = False  # whether ``begin`` calls hooks
    within: ClassVar[None] = None  # as a scope: it is no function that was lent to a call
    modules: ClassVar[tuple[str, ...]] = (  # whose frames no traceback shows
        __name__,
        "zerorpc.service.runners",
        "zerorpc.service.coroutines",
        "zerorpc.service.thread_jobs",
        "zerorpc.service.process_jobs",
        "zerorpc.service.process_pool",
        "zerorpc.service.methods",
        "zerorpc.service.call_hooks",
        "zerorpc.hooks",
        "zerorpc.service.schema",
        "zerorpc.service.stream_parameters",
    )

    method: Method | None
    name: str
    args: Any  # a list, if the caller is sane

    def begin(self) -> Method:
        """Before the method. Raises NameError for one that doesn't exist, TypeError for arguments that are no list.

        May be left out where there is a method, a list, and no hook.
        """
        self.ran = False
        self.arrives()
        if self.method is None:
            self.refused: type[RemoteError] | None = UnknownMethod
            if self.denied and self.tells_denial():
                self.refused = PermissionDenied
                raise PermissionError(f"{self.identity} may not call {self.name}")
            raise NameError(self.name)
        if type(self.args) is not list:
            self.refused = WrongArguments
            raise TypeError(no_array(self.name, self.args))
        self.starts()
        if self.method.streams:
            self.begin_stream()
        self.ran = True
        return self.method

    def error(self, error: BaseException) -> bytes:
        """The method, or a step around it, raised. Never raises, whatever that was, but for what ``propagates``."""
        try:
            if type(error) is MemoryError:  # first, since each step needs a little
                traceback.clear_frames(error.__traceback__)  # they hold what the method took
            return self._tell(error)
        except BaseException as failed:  # no memory, or Ctrl-C
            if self.propagates(failed):
                raise
        BaseException.with_traceback(error, None)  # with its frames goes what the method holds: all memory, perhaps
        logger.error("%.200s raised %s", self.name, name_of(error))
        return self.failure_in_short(name_of(error))

    def not_run(self, error: BaseException) -> None:
        """A hook has raised this, and so the method isn't called."""
        self.ran = False
        if (refusal := refusal_of(error)) is not None:
            refusal.ran, self.refused = False, type(refusal)

    def _tell(self, error: BaseException) -> bytes:
        if type(error) is self.refused and isinstance(error, RemoteError):
            return self.refusal(error)
        if self.method is not None and self.method.forwards and (failure := Failure.of_other(error)) is not None:
            self.ran, self.refused = failure.ran, failure.refused  # no log: it is in that of the other server
            return self.failure(failure)
        trace = without_frames_of(self.modules, trace_of(error))
        BaseException.with_traceback(error, trace)  # not by assignment: a class may forbid it
        if type(error) is Misgiven and trace is None:
            self.ran, self.refused = False, InvalidArguments
            error = TypeError(*error.args)
        elif type(error) is Misreturned:
            error = TypeError(*error.args)
        elif type(error) is DeniedError:
            self.ran, self.refused, trace = False, PermissionDenied, None
            error = PermissionError(*error.args)
        elif type(error) is TypeError and trace is None and self.method is not None:
            error = self._heed_misfit(error, self.method)
        failure = Failure.of(error, trace, self.ran, self.refused)
        if self.refused in _MISTAKES and not self.denied:  # of the caller, and nothing to look for in the method
            told = f"{failure.name}: {line(failure.message)}"
            logger.warning("refused %.200s of %s: %s", line(self.name), self.peer or "a caller", told)
        elif not self.denied:  # else it was logged, if not each
            logger.error("%.200s raised %s", self.name, failure.name, failure=failure)
        return self.failure(failure)

    def refusal(self, error: RemoteError, logged: bool = False) -> bytes:
        """What the server itself says, as one of ``errors.SERVER_ERRORS``, and not the method. Never raises."""
        self.ran, self.refused = error.ran, type(error)
        stand_in = plain(error)
        try:
            failure = Failure.of(stand_in, None, self.ran, self.refused)._replace(name=error.name)
            if logged:
                logger.error("%.200s raised %s", self.name, failure.name, failure=failure)
            return self.failure(failure._replace(exc_info=(type(error), error, None)))
        except BaseException:
            return self.failure_in_short(name_of(stand_in))

    def _heed_misfit(self, error: TypeError, method: Method) -> TypeError:
        """The method was called, and no frame of it is left: its arguments don't fit, or it is a built-in.

        Python's message names the function, which may be a lambda; callers know the method.
        """
        args, kwargs = self.args, self.kwargs or {}
        why = misfit(method, args, kwargs) if type(args) is list else None
        if self.ran:
            self.ran = None  # a built-in has raised, perhaps
        if why is None:
            return error
        self.refused = WrongArguments
        if cannot_begin(method, args, kwargs):
            self.ran = False
        named = message_of(error).partition("()")[0].rpartition(".")[2]  # as in "Cooler.add_man() takes ..."
        return error if named == method.name else TypeError(f"{method.name}(): {why}")

    def unsendable(self, what: str, error: SerializationError) -> SerializationError:
        """The error of a result or item that can't be packed."""
        unsendable = SerializationError(f"the {what} of {self.name} can't be sent: {error}")
        unsendable.method, unsendable.ran = self.name, True
        return unsendable

    # As a scope

    @property
    def answers(self) -> Invocation:
        return self

    def adopt(self, call: Cancellable) -> None:
        """The same. Raises Cancelled if nobody waits for what the call is made for."""
        super().adopt(call)
        if self.cancelled:
            raise Cancelled(f"the caller of {self.name} waits no longer, so that it can't make a call for it")
