"""Functions and objects among the arguments of a call: lending them, and what is needed to run one for the server."""

from __future__ import annotations

import contextlib
import inspect
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple

from msgspec.msgpack import Ext

from zerorpc.calls.finding import REFERENCES
from zerorpc.errors import Cancelled, SerializationError
from zerorpc.logs import Logger
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.events import CALL_KEY, encode_with
from zerorpc.protocol.lent import LentToCall
from zerorpc.protocol.packing import Forms, Lend, unsendable
from zerorpc.protocol.references import OUTCOME, PROGRESS
from zerorpc.remote_objects import ByReference, name_if_function
from zerorpc.scope import Cancellable
from zerorpc.shown import message_of, name_of, traceback_of

__all__ = ["Packed", "Within", "lend_progress", "not_sent", "pack_specially", "tell_outcome"]

logger: Logger = Logger("zerorpc.client")


class Packed(NamedTuple):
    """A request that has values which don't travel as they are."""

    data: bytes
    lent: LentToCall | None
    needs: tuple[str, ...]  # what its server has to be able to do
    for_older: bytes | None = None  # the same for one that isn't, if there is such


def pack_specially(method: str, header: dict[str, object], called: str | bytes, args: object) -> Packed:
    """Raises SerializationError, naming the method, for what can be neither sent nor lent."""
    lent = LentToCall()
    call: Any = header.get(CALL_KEY) or {}

    def lend_one(value: object) -> Ext | None:
        if type(value) is ByReference:
            return lent.lend(None, _methods_of(value.target))[1]
        name = name_if_function(value)
        if name is None:
            return None
        if inspect.iscoroutinefunction(value):
            lent.async_functions.append(name)
        return lent.lend(name, {name: value})[1]

    try:
        forms, data = _pack(header, called, args, True, lend_one)
        if lent.objects:
            lent = LentToCall()  # again, with what tells the server
            forms, data = _pack({**header, CALL_KEY: {**call, "lends": True}}, called, args, True, lend_one)
            return Packed(data, lent, (REFERENCES, *forms.needs))
        return Packed(data, None, forms.needs, _for_older(header, called, args) if forms.only_numbers else None)
    except Exception as error:
        why = unsendable(error)
        if isinstance(why, SerializationError) and _NO_FORM.match(str(why)):
            why = SerializationError(f"{why}; zerorpc.by_reference(object) passes an object without sending it")
        raise not_sent(method, why) from None


def _for_older(header: dict[str, object], called: str | bytes, args: object) -> bytes | None:
    with contextlib.suppress(Exception):
        return _pack(header, called, args, False)[1]
    return None


def _pack(
    header: dict[str, object], called: str | bytes, args: object, natural: bool, lend: Lend | None = None
) -> tuple[Forms, bytes]:
    """Keyword arguments stand in the header."""
    forms = Forms(natural, lend)
    call = header.get(CALL_KEY)
    if isinstance(call, dict) and "kwargs" in call:
        header = {**header, CALL_KEY: {**call, "kwargs": forms.of(call["kwargs"])}}
    return forms, encode_with(forms, header, called, args)


_NO_FORM = re.compile(r"a value of type (?!int\b)\S+ can't be sent$")


def _methods_of(target: object) -> Mapping[str, Any]:
    from zerorpc.service.collecting import collect  # it is the server's, and hardly any client needs it

    return {name: method.entered for name, method in collect(target).items()}


def lend_progress(channel: ClientChannel, function: Callable[..., object]) -> None:
    """Have it called with what the method reports."""
    if channel.lent is None:
        channel.lent = LentToCall()
    if inspect.iscoroutinefunction(function):
        channel.lent.async_functions.append(name_if_function(function) or "progress")

        async def tell(*report: object) -> None:
            with _logged(function):
                await function(*report)

        channel.lent.objects[PROGRESS] = {"progress": tell}
        return

    def tell_now(*report: object) -> None:
        with _logged(function):
            function(*report)

    channel.lent.objects[PROGRESS] = {"progress": tell_now}


@contextlib.contextmanager
def _logged(function: object) -> Iterator[None]:
    """The method, to which it would go otherwise, has nothing to do with it."""
    try:
        yield
    except Exception as error:
        logger.error("the progress function %s raised %s", name_if_function(function), name_of(error), raised=error)


def not_sent(method: str, error: Exception) -> Exception:
    if isinstance(error, SerializationError):
        error = SerializationError(f"the arguments of {method} can't be sent: {error}")
        error.method, error.ran = method, False
    return error


class Within:
    """The scope of functions that run for one attempt of a call: the calls that they make end with it, and say whose
    they are.
    """

    def __init__(self, channel: ClientChannel) -> None:
        self._channel = channel
        self._ended = False
        self._calls: weakref.WeakSet[Cancellable] = weakref.WeakSet()
        self._adopting = threading.RLock()  # one that lets a finalizer in, which may call, too

    @property
    def over(self) -> bool:
        """Whether nobody wants what the functions do."""
        return self._ended or self._channel.over

    @property
    def deadline(self) -> float:
        return inf if self.over else self._channel.deadline

    @property
    def answers(self) -> None:
        return None

    @property
    def within(self) -> object:
        return self._channel.message_id

    def adopt(self, call: Cancellable) -> None:
        with self._adopting:
            self._calls.add(call)
        if self.over:
            raise Cancelled(f"the call of {self._channel.method} is over, and so is what its functions do")

    def end(self) -> None:
        """The call is over, or this attempt of it."""
        self._ended = True
        with self._adopting:
            calls = list(self._calls)
        for call in calls:
            call.cancel()


def tell_outcome(channel: ClientChannel, scope: Within, number: int, returned: bool, what: object) -> None:
    """Send what a function returned, or the error that it raised, unless the attempt that it ran for is over: the
    server that has the next one numbers its calls alike.
    """
    if scope.over or channel.peer is None or channel.lent is None:
        return
    channel.lent.under_way -= 1
    if not returned:
        assert isinstance(what, BaseException)
        what = _told(what)
    try:
        channel.peer.emit(channel, OUTCOME, (number, returned, what))
    except SerializationError as error:
        kind = type(error).__name__
        why = f"the result of a function that was passed to {channel.method} can't be sent: {error}"
        channel.peer.emit(channel, OUTCOME, (number, False, (kind, why, f"{kind}: {why}")))


def _told(error: BaseException) -> tuple[str, str, str]:
    text, _ = traceback_of(error, error.__traceback__)
    return name_of(error), message_of(error), text
