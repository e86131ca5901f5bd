"""An exception that travels from one process to another, with what a traceback shows of it.

Pickle alone drops the traceback and what the exception was raised from, and fails on many a class. Here the frames
travel as text and are made again on the other side, and what can't be unpickled arrives as an exception of the same
name and message: to a caller, to the log and to hooks it looks as if it had been raised here.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import types
from typing import Any, NamedTuple

__all__ = ["CarriedError", "pack_error"]


class _Frame(NamedTuple):
    file: str
    line: int
    function: str
    module: Any


class CarriedError(NamedTuple):
    """An exception in parts, each of a type that any process can unpickle."""

    pickled: bytes | None
    module: str
    name: str
    message: str | None  # None: it can't be shown
    frames: list[_Frame]
    cause: Any  # a CarriedError or None
    context: Any  # the same
    suppress_context: bool

    def unpack(self) -> BaseException:
        """The exception, as it was raised."""
        error = self._unpickled() or self._stand_in()
        error.__traceback__ = _traceback(self.frames)
        error.__cause__ = self.cause.unpack() if self.cause else None
        error.__context__ = self.context.unpack() if self.context else None
        error.__suppress_context__ = self.suppress_context
        return error

    def _unpickled(self) -> BaseException | None:
        """The original's copy; None if there is none, or it came out as something else."""
        if self.pickled is None:
            return None
        try:
            error = pickle.loads(self.pickled)
            faithful = type(error).__name__ == self.name and (self.message is None or str(error) == self.message)
        except Exception:  # its __init__ takes other arguments than those that it keeps, for one
            return None
        return error if faithful and isinstance(error, BaseException) else None

    def _stand_in(self) -> BaseException:
        message = "<its message can't be shown>" if self.message is None else self.message
        stand_in: type[Exception] = type(self.name, (Exception,), {"__module__": self.module})
        return stand_in(message)


def pack_error(error: BaseException, ours: str) -> CarriedError:
    """Take an exception apart; ``ours`` is the module whose frames at the top of the traceback help nobody."""
    return _pack(error, ours, set())


def _pack(error: BaseException, ours: str, seen: set[int]) -> CarriedError:
    seen.add(id(error))
    pickled = message = None
    with contextlib.suppress(Exception):
        pickled = pickle.dumps(error)
    with contextlib.suppress(Exception):
        message = str(error)
    cause, context = error.__cause__, error.__context__
    kind = type(error)
    return CarriedError(
        pickled=pickled,
        module=kind.__module__,
        name=kind.__name__,
        message=message,
        frames=_frames(error.__traceback__, ours),
        cause=_pack(cause, ours, seen) if cause is not None and id(cause) not in seen else None,
        context=_pack(context, ours, seen) if context is not None and id(context) not in seen else None,
        suppress_context=error.__suppress_context__,
    )


def _frames(trace: types.TracebackType | None, ours: str) -> list[_Frame]:
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == ours:
        trace = trace.tb_next
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        module = trace.tb_frame.f_globals.get("__name__")
        frames.append(_Frame(code.co_filename, trace.tb_lineno, code.co_name, module))
        trace = trace.tb_next
    return frames


def _traceback(frames: list[_Frame]) -> types.TracebackType | None:
    """A traceback through frames that were elsewhere; its lines are shown if their files are here too."""
    trace = None
    for frame in reversed(frames):
        # -1: no instruction of the stand-in is where it happened, and so no part of the line gets underlined
        trace = types.TracebackType(trace, _stand_in_frame(frame), -1, frame.line)
    return trace


def _stand_in_frame(frame: _Frame) -> types.FrameType:
    code = compile("frame = this_frame()", frame.file, "exec").replace(co_name=frame.function)
    names: dict[str, Any] = {"this_frame": sys._getframe, "__name__": frame.module}
    exec(code, names)
    made = names.pop("frame")
    assert isinstance(made, types.FrameType)
    return made
