"""A method's exception as its caller is told of it: a name, a message, a traceback, and whether the method ran."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple

from zerorpc.errors import SERVER_ERRORS, RemoteError, SerializationError, ZeroRPCError
from zerorpc.shown import message_of, name_of, traceback_of

__all__ = ["Failure", "plain", "refusal_of"]

_HEAD = "Traceback (most recent call last):\n"
# Stand-in classes of the same names: their ``str()`` is the message alone, where that of a RemoteError says more.
_PLAIN: dict[type[BaseException], type[Exception]] = {
    kind: type(name, (Exception,), {"__module__": kind.__module__}) for name, kind in SERVER_ERRORS.items()
}


class Failure(NamedTuple):
    """What became of an invocation that has no value."""

    error: BaseException
    name: str
    message: str
    text: str  # the traceback
    usual: bool  # the text is as Python prints it
    exc_info: tuple[Any, Any, Any]
    ran: bool | None  # whether the method ran; None: that isn't known
    refused: type[RemoteError] | None  # the server's own error class; None if the method raised
    forwarded: bool = False  # another server has said it, or couldn't be asked

    @classmethod
    def of(
        cls, error: BaseException, trace: TracebackType | None, ran: bool | None, refused: type[RemoteError] | None
    ) -> Failure:
        """Of any exception; ``trace`` is the part of its traceback that is shown."""
        kind = type(error)
        if issubclass(kind, SerializationError):
            name = "TypeError"  # as 0.6 calls it
        elif kind in _PLAIN:  # the method called another server, and this is that one's error
            name = "RemoteError"
        else:
            name = name_of(error)
        text, usual = traceback_of(error, trace)
        if trace is None and not text.startswith(_HEAD):  # raised by a built-in: no frame is left to show
            text = f"{_HEAD}{text}"
        return cls(error, name, message_of(error), text, usual, (kind, error, trace), ran, refused)

    @classmethod
    def of_other(cls, error: BaseException) -> Failure | None:
        """Of a method that only forwards the call to another server: as if its caller had called that one. None for an
        error that isn't about that server.
        """
        kind = type(error)
        if not isinstance(error, ZeroRPCError) or (isinstance(error, SerializationError) and error.ran):
            return None  # the latter is of a result that came, and that this server can't send
        if isinstance(error, RemoteError):
            name, message, text = error.name, error.msg, error.traceback
        else:
            name, message, text = kind.__name__, message_of(error), None
        refused = SERVER_ERRORS.get(kind.__name__)
        text = text or f"{_HEAD}{name}: {message}\n"
        return cls(error, name, message, text, True, (kind, error, None), error.ran, refused, True)


def refusal_of(error: BaseException) -> RemoteError | None:
    """An error of the server's own kinds that was raised here, and not by another server that was called."""
    return error if isinstance(error, RemoteError) and type(error) in _PLAIN and error.method is None else None


def plain(error: RemoteError) -> Exception:
    """What is told of in place of an error of the server's own."""
    stand_in = _PLAIN[type(error)](error.msg)
    stand_in.__cause__ = error.__cause__
    return stand_in
