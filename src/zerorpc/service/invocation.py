"""A request to run a method, whatever door it came by: its steps in order, and what becomes of it.

A door makes one for each request, of a subclass that says how an outcome is packed and where it goes. What runs methods
(``runners``: on the loop, on threads, in worker processes) takes the steps below and knows no door. Whatever a
method raises, the caller gets a reply.
"""

from __future__ import annotations

import traceback
from typing import Any, ClassVar

from msgspec import Struct

from zerorpc.errors import RemoteError, SerializationError, UnknownMethod, WrongArguments
from zerorpc.logs import Logger
from zerorpc.protocol.channel import Runner
from zerorpc.protocol.events import no_array
from zerorpc.service.failure import Failure, plain
from zerorpc.service.methods import Method
from zerorpc.service.signatures import cannot_begin, misfit
from zerorpc.shown import message_of, name_of, trace_of, without_frames_of

__all__ = ["Invocation", "Runner"]

logger: Logger = Logger("zerorpc.server")


class _Progress(Struct, eq=False, kw_only=True):
    over: bool = False  # its task on the loop is finished with it
    ran: bool | None = True  # what an error says of the method: that it ran, or not; None: that isn't known
    refused: type[RemoteError] | None = None  # what the server itself says, in place of the method


class Invocation(_Progress, eq=False):
    """A request and the method that answers it. ``begin``, the method and the steps after it run in one thread, so that
    hooks may use thread-locals. What a step returns is packed, as the door has it.
    """

    hooked: ClassVar[bool] = False  # whether ``begin`` calls hooks
    modules: ClassVar[tuple[str, ...]] = (  # whose frames no traceback shows
        __name__,
        "zerorpc.service.runners",
        "zerorpc.service.coroutines",
        "zerorpc.service.thread_jobs",
        "zerorpc.service.process_jobs",
        "zerorpc.service.process_pool",
        "zerorpc.service.methods",
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

    def _tell(self, error: BaseException) -> bytes:
        trace = without_frames_of(self.modules, trace_of(error))
        BaseException.with_traceback(error, trace)  # not by assignment: a class may forbid it
        if type(error) is TypeError and trace is None and self.method is not None:
            error = self._heed_misfit(error, self.method)
        failure = Failure.of(error, trace, self.ran, self.refused)
        if failure.usual:
            logger.error("%.200s raised %s", self.name, failure.name, exc_info=failure.exc_info)
        else:
            logger.error("%.200s raised %s\n%s", self.name, failure.name, failure.text)
        return self.failure(failure)

    def refusal(self, error: RemoteError, logged: bool = False) -> bytes:
        """What the server itself says, as one of ``errors.SERVER_ERRORS``, and not the method. Never raises."""
        self.ran, self.refused = error.ran, type(error)
        stand_in = plain(error)
        try:
            failure = Failure.of(stand_in, None, self.ran, self.refused)
            if logged:
                logger.error("%.200s raised %s", self.name, failure.name, exc_info=failure.exc_info)
            return self.failure(failure._replace(exc_info=(type(error), error, None)))
        except BaseException:
            return self.failure_in_short(name_of(stand_in))

    def _heed_misfit(self, error: TypeError, method: Method) -> TypeError:
        """The method was called, and no frame of it is left: its arguments don't fit, or it is a built-in.

        Python's message names the function, which may be a lambda; callers know the method.
        """
        args = self.args
        why = misfit(method, args) if type(args) is list else None
        if self.ran:
            self.ran = None  # a built-in has raised, perhaps
        if why is None:
            return error
        self.refused = WrongArguments
        if cannot_begin(method, args):
            self.ran = False
        named = message_of(error).partition("()")[0].rpartition(".")[2]  # as in "Cooler.add_man() takes ..."
        return error if named == method.name else TypeError(f"{method.name}(): {why}")

    def unsendable(self, what: str, error: SerializationError) -> SerializationError:
        """The error of a result or item that can't be packed."""
        unsendable = SerializationError(f"the {what} of {self.name} can't be sent: {error}")
        unsendable.method, unsendable.ran = self.name, True
        return unsendable

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

    # The door's: the way back, on the loop, but for ``closed``

    @property
    def closed(self) -> bool:
        """Whether the caller is gone, or gave up: what still works for it should stop."""
        raise NotImplementedError

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

    def flush_soon(self) -> None:
        """Send what was answered without a flush, and not while the door hands requests in."""
        raise NotImplementedError

    # The door's: for those that wait for their turn

    @property
    def patience(self) -> float:
        """Seconds that the caller waits for the first reply."""
        raise NotImplementedError

    @property
    def octets(self) -> int:
        """How much memory the request takes."""
        raise NotImplementedError
