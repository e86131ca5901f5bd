"""An exception that travels from one process to another, with what a traceback shows of it.

Pickle alone drops the traceback and what the exception was raised from, and fails on many a class. Here the frames
travel as text and are made again on the other side, and what can't be unpickled arrives as an exception of the same
name and message: to a caller, to the log and to hooks it looks as if it had been raised here.
"""

from __future__ import annotations

import contextlib
import inspect
import pickle
import types
from typing import Any, NamedTuple, TypeGuard

from zerorpc.shown import message_of, module_of, name_of, readable, trace_of, without_frames_of

__all__ = ["CarriedError", "pack_error"]


class _Frame(NamedTuple):
    file: str
    line: int
    function: str
    module: str


class _Part(NamedTuple):
    """One exception of a chain, in pieces of types that any process can unpickle."""

    pickled: bytes | None
    module: str
    name: str
    message: str | None  # None: it can't be shown
    frames: list[_Frame]
    cause: int | None  # its place in the chain
    context: int | None  # the same
    suppress_context: bool


class CarriedError(NamedTuple):
    """An exception, and after it all that it was raised from: a list, since that may be deeper than pickle goes."""

    chain: list[_Part]

    def unpack(self) -> BaseException:
        """The exception, as it was raised."""
        errors = [_made_again(part) for part in self.chain]
        for part, error in zip(self.chain, errors, strict=True):
            BaseException.with_traceback(error, _traceback(part.frames))
            _CAUSE.__set__(error, None if part.cause is None else errors[part.cause])
            _CONTEXT.__set__(error, None if part.context is None else errors[part.context])
            _SUPPRESS_CONTEXT.__set__(error, part.suppress_context)
        return errors[0]


# Python's own way to these: an exception's class may have others of the same names, or forbid to set any.
_CAUSE, _CONTEXT, _SUPPRESS_CONTEXT = (
    vars(BaseException)[name] for name in ("__cause__", "__context__", "__suppress_context__")
)
_MODULE = vars(type)["__module__"]


def _made_again(part: _Part) -> BaseException:
    """The original's copy; a stand-in if there is none, or it came out as something else."""
    if part.pickled is not None:
        try:
            error = pickle.loads(part.pickled)
            if _is_faithful(error, part):
                return error
        except BaseException:  # its __init__ takes other arguments than those that it keeps, for one
            pass
    message = "<its message can't be shown>" if part.message is None else part.message
    stand_in: type[Exception] = type(part.name, (Exception,), {"__module__": part.module})
    return stand_in(message)


def _is_faithful(error: Any, part: _Part) -> TypeGuard[BaseException]:
    if not issubclass(type(error), BaseException) or name_of(error) != part.name:
        return False
    return part.message is None or message_of(error) == part.message


def pack_error(error: BaseException, ours: str) -> CarriedError:
    """Take an exception apart; ``ours`` is the module whose frames at the top of the traceback help nobody.

    Whatever the exception is like, its name and the text of its traceback arrive.
    """
    chain, places = [error], {id(error): 0}

    def place_of(related: BaseException | None) -> int | None:
        if related is None:
            return None
        if id(related) not in places:
            places[id(related)] = len(chain)
            chain.append(related)
        return places[id(related)]

    parts = []
    for each in chain:  # which grows meanwhile
        cause, context = place_of(_CAUSE.__get__(each)), place_of(_CONTEXT.__get__(each))
        parts.append(_pack(each, ours, cause, context))
    return CarriedError(parts)


def _pack(error: BaseException, ours: str, cause: int | None, context: int | None) -> _Part:
    pickled = message = None
    # a signal that cancels the call may be swallowed, too: the server ends the process all the same
    with contextlib.suppress(BaseException):
        pickled = pickle.dumps(error)
    with contextlib.suppress(BaseException):
        message = readable(str(error))
    return _Part(
        pickled=pickled,
        module=_module_of_class(type(error)),
        name=name_of(error),
        message=message,
        frames=_frames(without_frames_of((ours,), trace_of(error))),
        cause=cause,
        context=context,
        suppress_context=_SUPPRESS_CONTEXT.__get__(error),
    )


def _module_of_class(kind: type) -> str:
    try:
        module = _MODULE.__get__(kind)
    except AttributeError:
        module = None
    return module if type(module) is str else "<unknown>"  # as Python shows it


def _frames(trace: types.TracebackType | None) -> list[_Frame]:
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(_Frame(code.co_filename, trace.tb_lineno, code.co_name, module_of(trace)))
        trace = trace.tb_next
    return frames


def _traceback(frames: list[_Frame]) -> types.TracebackType | None:
    """A traceback through frames that were elsewhere; its lines are shown if their files are here too."""
    trace = None
    for frame in reversed(frames):
        # -1: no instruction of the stand-in is where it happened, and so no part of the line gets underlined
        trace = types.TracebackType(trace, _stand_in_frame(frame), -1, frame.line)
    return trace


_STAND_IN = compile("frame = this_frame()", "", "exec")


def _stand_in_frame(frame: _Frame) -> types.FrameType:
    code = _STAND_IN.replace(co_filename=frame.file, co_name=frame.function)
    names: dict[str, Any] = {"this_frame": inspect.currentframe, "__name__": frame.module}
    exec(code, names)
    made = names.pop("frame")
    assert isinstance(made, types.FrameType)
    return made
