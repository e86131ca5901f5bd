"""The hooks of ``Client(…, on_call=…)``, and what those of both clients know of a call.

They and the call run in one context of their own (contextvars): a stream may end long after the call has returned, and
in another thread.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from zerorpc.calls.retry import attempts_of
from zerorpc.client.call_options import CallOptions, take_old_spelling
from zerorpc.client.request import Caller, Request
from zerorpc.client.stream import Stream
from zerorpc.hooks import Around, HookedCall, Manager, enter_here, finish_now
from zerorpc.logs import Logger
from zerorpc.remote_method import method_name
from zerorpc.settings import ClientSettings

__all__ = ["ClientCall", "ClientHook", "Course", "Hooked", "HookedRequest", "hooked_options"]

logger: Logger = Logger("zerorpc")

_USUAL = CallOptions()
_T = TypeVar("_T")


class ClientCall(HookedCall):
    """A call that a client makes, as its hooks see it. Its repeats and hedges are inside of it.

    - ``method``, ``args`` and ``kwargs``; the last two may be changed before the ``yield``.
    - ``metadata``: what goes along with it. A hook may put texts and bytes there, for servers of zerorpc 1 only.
    - ``headers``: keys and values for the request's header, which every server gets; those that don't know them ignore
      them. Not the protocol's own: ``message_id``, ``v`` and what begins with ``_zpc_``.
    - ``result``, which a hook may set, ``answered`` and, of a stream, ``items`` and ``on_item``.
    """

    def __init__(
        self, method: str, args: Sequence[object], kwargs: dict[str, object], options: CallOptions = _USUAL
    ) -> None:
        super().__init__(args, kwargs)
        self.method: str = method
        self.metadata: dict[str, str | bytes] = dict(options.metadata or {})
        self.headers: dict[str, object] = {}
        self.request: Request | None = None  # for the library, once it is made
        self.course: Course | None = None  # the same, of a call in the background

    @property
    def endpoint(self) -> str | None:
        """Where the server is that it was sent to; None as long as that isn't known."""
        peer = None if self.request is None else self.request.channel.peer
        name = getattr(peer, "name", None)
        return name if isinstance(name, str) else None

    @property
    def attempts(self) -> int:
        """How many there were: above 1, it was repeated or hedged."""
        attempts = None if self.request is None else attempts_of(self.request.channel)
        return 1 if attempts is None else attempts.number

    @property
    def reply_metadata(self) -> dict[str, str | bytes]:
        """What the method has sent with the first reply; empty before that."""
        return {} if self.request is None else self.request.metadata

    @property
    def end_metadata(self) -> dict[str, str | bytes]:
        """The same with the last one."""
        return {} if self.request is None else self.request.end_metadata

    def __repr__(self) -> str:
        return f"<ClientCall {self.method}{' answered' if self.answered else ''}>"


ClientHook: TypeAlias = Callable[[ClientCall], Manager]


def hooked_options(call: ClientCall, options: CallOptions) -> CallOptions:
    """The options of a call, as its hooks want them."""
    return options._replace(call=call, metadata=call.metadata or None)


class Hooked:
    """Stands before a blocking client's core. A class of its own, so that a call without hooks costs nothing."""

    settings: ClientSettings
    old_spelling: tuple[str, ...]
    request_class: type[Request]

    def call(
        self,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None = None,
    ) -> Any:
        """``Client.__call__``."""
        if kwargs and options is None:
            options = take_old_spelling(self.old_spelling, kwargs)
        options = options or _USUAL
        call = ClientCall(method_name(method), args, kwargs, options)
        course = Course(Around(self.settings.on_call or (), call, enter_here))
        return course.within(self._begin_in_background if options.in_background else self._call, course, options)

    def _call(self, course: Course, options: CallOptions) -> Any:
        return course.run(lambda: self._send(course.around.call, options))

    def _begin_in_background(self, course: Course, options: CallOptions) -> Any:
        call = course.around.call
        call.course = course
        result = course.begin(lambda: self._send(call, options))
        if result is not None:
            return result
        from zerorpc.client.background import AsyncResult

        answered = AsyncResult(self, None, call.method)  # type: ignore[arg-type]  # the core stands behind it
        answered.settle(call.result, None)
        return answered

    def _send(self, call: ClientCall, options: CallOptions) -> Any:
        return super().call(  # type: ignore[misc]  # the core stands behind it
            call.method, tuple(call.args), dict(call.kwargs), hooked_options(call, options)
        )


class Course:
    """One call with its hooks, from their beginning to their end, in the context that it has for this."""

    def __init__(self, around: Around[ClientCall]) -> None:
        self.around: Around[ClientCall] = around
        self.context: contextvars.Context = contextvars.copy_context()
        self._lock = threading.RLock()  # nobody enters a context that somebody is in
        self._inside = False  # this thread, which has the lock, is in the context
        self._left = False

    def within(self, act: Callable[..., _T], *args: object) -> _T:
        """Do it in the context."""
        with self._lock:
            if self._inside:
                return act(*args)
            self._inside = True
            try:
                return self.context.run(act, *args)
            finally:
                self._inside = False

    # In the context

    def run(self, act: Callable[[], object]) -> Any:
        """What ``act`` returns, or what the hooks have put in its place. A stream comes with the hooks around it."""
        call = self.around.call
        try:
            finish_now(self._entered())
            if not call.answered:
                value = act()
                if isinstance(value, Stream):
                    return HookedStream(value, self)
                call.result = value
        except BaseException as error:
            if self._fail(error) or not call.answered:
                raise
        else:
            finish_now(self.around.leave())
        return call.result

    async def _entered(self) -> None:
        if not self.around.began:
            await self.around.enter()

    def _fail(self, error: BaseException) -> bool:
        return finish_now(self.around.fail(error))

    def begin(self, act: Callable[[], _T]) -> _T | None:
        """Enter the hooks, and have the call begin, which somebody else ends with ``run``; None if one has answered."""
        call = self.around.call
        try:
            finish_now(self.around.enter())
            if not call.answered:
                return act()
        except BaseException as error:
            if self._fail(error) or not call.answered:
                raise
        else:
            finish_now(self.around.leave())
        return None

    # From elsewhere

    def end(self, act: Callable[[], object]) -> Any:
        """``run`` of a call that was begun."""
        return self.within(self.run, act)

    def pass_item(self, item: object, give_up: Callable[[], None]) -> None:
        """An item has come. What a hook's function raises about it ends the stream, which ``give_up`` does, and the
        hooks see it; raises StopIteration if they let it go.
        """
        try:
            self.within(self.around.call.pass_item, item)
        except BaseException as error:
            give_up()
            if self.leave(error):
                raise
            raise StopIteration from None

    def leave(self, error: BaseException | None) -> bool:
        """A stream has ended, with an error or without: whether that is to be raised. Safe to call twice."""
        with self._lock:
            if self._left:
                return True
            self._left = True
            return self.within(self._leave, error)

    def drop(self, what: str) -> None:
        """The same from a finalizer, where nothing may be raised, or waited for: a forked child's locks may be held by
        threads that it doesn't have.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            self.leave(None)
        except BaseException as error:
            logger.error("a hook raised when %s was dropped", what, raised=error)
        finally:
            self._lock.release()

    def _leave(self, error: BaseException | None) -> bool:
        if error is not None:
            return self._fail(error)
        finish_now(self.around.leave())
        return False


class HookedStream(Stream):
    """A stream with the hooks around it: they are left when it has ended, was closed, or is dropped."""

    def __init__(self, stream: Stream, course: Course) -> None:
        super().__init__(stream._core, stream._request)
        stream._ended = True  # this one takes its place
        self._course = course

    def __next__(self) -> Any:
        try:
            item = super().__next__()
        except StopIteration:
            self._course.leave(None)
            raise
        except BaseException as error:
            if not self._ended or self._course.leave(error):  # else another thread reads it
                raise
            raise StopIteration from None
        self._course.pass_item(item, super().close)
        return item

    def close(self) -> None:
        super().close()
        self._course.leave(None)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        super().__del__()
        if not is_finalizing() and "_course" in self.__dict__:
            self._course.drop("a stream")


class HookedRequest(Request):
    """A request in the background: the hooks end with its outcome, wherever that is looked at."""

    __slots__ = ("_course",)

    _course: Course | None

    def __init__(
        self,
        caller: Caller,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None,
        now: float,
    ) -> None:
        super().__init__(caller, method, args, kwargs, options, now)
        call = None if options is None else options.call
        self._course = None
        if isinstance(call, ClientCall):
            self._course, call.course = call.course, None

    def outcome(self) -> Any:
        course, self._course = self._course, None
        return super().outcome() if course is None else course.end(super().outcome)

    def cancelled(self) -> None:
        from concurrent.futures import CancelledError

        course, self._course = self._course, None
        if course is not None:
            course.leave(CancelledError())
