"""Our loggers. A program's logging (a filter, a handler, a record factory) may raise: no caller of these notices.

What they log may be a peer's words: a method's name, or what an exception says. Each argument is one line, and short; a
traceback has no control characters, and no line of a message begins where a line of the log would.

``logging`` is imported with the first line that is logged: a blocking client's start would take 3 ms longer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from zerorpc.shown import block, line, text_of, trace_of, traceback_of

if TYPE_CHECKING:
    import logging
    from types import TracebackType

__all__ = ["Logger", "Sparing", "is_ctrl_c"]

_DEBUG, _INFO, _WARNING, _ERROR = 10, 20, 30, 40  # as logging has them
_TOLD_MAX = 4096  # characters on stderr of what a program's logging raised
_TRACE_MAX = 32 * 1024  # characters of a traceback in a log: 300 frames, which a recursion may have, and some message
_CHAIN_MAX = 100  # exceptions of one traceback whose names are looked at


ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"


class Shown(Protocol):
    """An exception whose traceback is known as a text."""

    @property
    def exc_info(self) -> ExcInfo: ...

    @property
    def text(self) -> str: ...

    @property
    def usual(self) -> bool:
        """Whether the text is as Python prints it."""


class _Raised(NamedTuple):
    exc_info: ExcInfo
    text: str
    usual: bool


class Logger:
    """The logger of a name, whose methods never raise. Only Ctrl-C gets through, on the main thread."""

    __slots__ = ("_logger", "name")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self._logger: logging.Logger | None = None

    def debug(self, message: str, *args: object) -> None:
        self._log(_DEBUG, message, args)

    def info(self, message: str, *args: object, extra: Mapping[str, object] | None = None) -> None:
        """``extra`` becomes attributes of the record, for programs that read these."""
        self._log(_INFO, message, args, extra=extra)

    def warning(self, message: str, *args: object) -> None:
        self._log(_WARNING, message, args)

    def error(
        self, message: str, *args: object, raised: BaseException | None = None, failure: Shown | None = None
    ) -> None:
        """``raised`` is shown with its traceback, whatever it is like; of ``failure`` that is known already."""
        if raised is not None:
            trace = trace_of(raised)
            failure = _Raised((type(raised), raised, trace), *traceback_of(raised, trace))
        self._log(_ERROR, message, args, failure)

    def shows_debug(self) -> bool:
        """Whether ``debug`` is of any use."""
        try:
            return self._get().isEnabledFor(_DEBUG)
        except BaseException as error:
            self._failed(error, "", ())
            return False

    def _log(
        self,
        level: int,
        message: str,
        args: tuple[object, ...],
        failure: Shown | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        try:
            logger = self._get()
            if not logger.isEnabledFor(level):
                return
            shown = tuple(map(_shown, args))
            # 3: what records tell is the line of our caller's caller
            if failure is None:
                told = None if extra is None else {name: _shown(value) for name, value in extra.items()}
                logger.log(level, message, *shown, stacklevel=3, extra=told)
                return
            text = _safe(failure)
            if not failure.usual:
                message = f"{message}\n%s"
                logger.log(level, message, *shown, text, stacklevel=3)
            elif text == failure.text:
                logger.log(level, message, *shown, exc_info=failure.exc_info, stacklevel=3)
            else:  # handlers get the exception as it is, and formatters the text in place of what they would make of it
                file, number, function, _ = logger.findCaller(False, 3)
                record = logger.makeRecord(logger.name, level, file, number, message, shown, failure.exc_info, function)
                record.exc_text = text.rstrip("\n")
                logger.handle(record)
        except BaseException as error:
            self._failed(error, message, args)

    def _get(self) -> logging.Logger:
        if self._logger is None:
            import logging

            self._logger = logging.getLogger(self.name)
        return self._logger

    def _failed(self, error: BaseException, message: str, args: tuple[object, ...]) -> None:
        """Tell of it on stderr, as ``logging`` does of handlers that catch it themselves."""
        if is_ctrl_c(error):
            raise error
        try:
            import logging

            if logging.raiseExceptions and sys.stderr is not None:
                text = block(traceback_of(error, trace_of(error))[0][-_TOLD_MAX:])
                said = line(message % tuple(map(_shown, args)), _TOLD_MAX)
                sys.stderr.write(f"--- Logging error: {self.name} ---\n{text}Message: {said}\n")
        except BaseException as nested:
            if is_ctrl_c(nested):
                raise


class Sparing:
    """Counts lines that anybody can cause, so that not all are written: ``_AT_ONCE``, and one a second from then on::

        if (more := sparing.turn()) is not None:
            logger.warning("refused %s%s", name, more)

    On one thread.
    """

    _AT_ONCE = 20

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left = float(self._AT_ONCE)
        self._since = clock()
        self._omitted = 0

    def turn(self) -> str | None:
        """None: leave this line out. Else what stands at its end, which says how many were left out before it."""
        now = self._clock()
        self._left = min(self._left + now - self._since, self._AT_ONCE)
        self._since = now
        if self._left < 1:
            self._omitted += 1
            return None
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        return f" ({omitted} more like this were not logged)" if omitted else ""


class _InOneLine:
    """An argument of a line that is no text: what becomes of it is one."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return line(text_of(self._value, str))

    def __repr__(self) -> str:
        return line(text_of(self._value))


def _shown(value: object) -> object:
    if type(value) is str:
        return line(value)
    return value if type(value) in (int, float) else _InOneLine(value)


def _safe(failure: Shown) -> str:
    """Its text. Further lines of a message, and whatever else is none of Python's own, are moved to the right: at their
    place they could pass for lines of the log.
    """
    begins = (*_HEADS, *_names(failure.exc_info[1]))
    lines = block(failure.text, _TRACE_MAX).split("\n")
    return "\n".join(each if each[:1] in _INDENTED or each.startswith(begins) else f"    {each}" for each in lines)


_INDENTED = ("", " ", "\t")
_HEADS = (
    "Traceback (most recent call last):",
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


def _names(error: BaseException) -> Iterator[str]:
    """How the lines of an exception, and of those that led to it, begin: with their classes."""
    ahead, seen = [error], 0
    while ahead and seen < _CHAIN_MAX:
        seen += 1
        one = ahead.pop()
        kind = type(one)
        try:
            names = kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"
            yield from (block(name.partition("\n")[0]) for name in names if name)
            ahead += [other for other in (one.__cause__, one.__context__) if other is not None]
        except BaseException:  # a program's class
            continue


def is_ctrl_c(error: BaseException) -> bool:
    """Whether the user wants the program to end: nothing else raises KeyboardInterrupt on the main thread."""
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    import threading

    return threading.current_thread() is threading.main_thread()
