"""Functions and objects among the arguments of a call: lending them, and what is needed to run one for the server."""

from __future__ import annotations

import inspect
import re
import threading
import weakref
from collections.abc import Mapping
from math import inf
from typing import Any

from msgspec.msgpack import Ext

from zerorpc.errors import Cancelled, SerializationError
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.events import CALL_KEY
from zerorpc.protocol.lent import LentToCall, encode_lending
from zerorpc.protocol.packing import unsendable
from zerorpc.protocol.references import OUTCOME
from zerorpc.remote_objects import ByReference, name_if_function
from zerorpc.scope import Cancellable
from zerorpc.shown import message_of, name_of, traceback_of

__all__ = ["Within", "lend", "not_sent", "tell_outcome"]


def lend(
    method: str, header: dict[str, object], called: str, args: tuple[object, ...]
) -> tuple[LentToCall | None, bytes]:
    """Pack a request that has values which don't travel as they are; what was lent, if something was.

    Raises SerializationError, naming the method, for what can be neither sent nor lent.
    """
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
        data = encode_lending((header, called, args), lend_one)
        if not lent.objects:
            return None, data
        lent = LentToCall()  # again, with what tells the server
        return lent, encode_lending(({**header, CALL_KEY: {**call, "lends": True}}, called, args), lend_one)
    except Exception as error:
        why = unsendable(error)
        if isinstance(why, SerializationError) and _NO_FORM.match(str(why)):
            why = SerializationError(f"{why}; zerorpc.by_reference(object) passes an object without sending it")
        raise not_sent(method, why) from None


_NO_FORM = re.compile(r"a value of type (?!int\b)\S+ can't be sent$")


def _methods_of(target: object) -> Mapping[str, Any]:
    from zerorpc.service.collecting import collect  # it is the server's, and hardly any client needs it

    return {name: method.entered for name, method in collect(target).items()}


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
