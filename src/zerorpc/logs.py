"""Our loggers. A program's logging (a filter, a handler, a record factory) may raise: no caller of these notices.

``logging`` is imported with the first line that is logged: a blocking client's start would take 3 ms longer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

from zerorpc.shown import trace_of, traceback_of

if TYPE_CHECKING:
    import logging
    from types import TracebackType

__all__ = ["Logger", "is_ctrl_c"]

_DEBUG, _WARNING, _ERROR = 10, 30, 40  # as logging has them
_TOLD_MAX = 4096  # characters on stderr of what a program's logging raised


ExcInfo: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None]"


class Logger:
    """The logger of a name, whose methods never raise. Only Ctrl-C gets through, on the main thread."""

    __slots__ = ("_logger", "name")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self._logger: logging.Logger | None = None

    def debug(self, message: str, *args: object) -> None:
        self._log(_DEBUG, message, args)

    def warning(self, message: str, *args: object) -> None:
        self._log(_WARNING, message, args)

    def error(
        self, message: str, *args: object, exc_info: ExcInfo | None = None, raised: BaseException | None = None
    ) -> None:
        """``raised`` is shown with its traceback, whatever it is like. ``exc_info`` goes to handlers as it is."""
        if raised is not None:
            trace = trace_of(raised)
            text, usual = traceback_of(raised, trace)
            if usual:
                exc_info = type(raised), raised, trace
            else:
                message, args = f"{message}\n%s", (*args, text)
        self._log(_ERROR, message, args, exc_info)

    def shows_debug(self) -> bool:
        """Whether ``debug`` is of any use."""
        try:
            return self._get().isEnabledFor(_DEBUG)
        except BaseException as error:
            self._failed(error, "", ())
            return False

    def _log(self, level: int, message: str, args: tuple[object, ...], exc_info: ExcInfo | None = None) -> None:
        try:
            # 3: what records tell is the line of our caller's caller
            self._get().log(level, message, *args, exc_info=exc_info, stacklevel=3)
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
                text = traceback_of(error, trace_of(error))[0]
                said = (message % args)[:_TOLD_MAX]
                sys.stderr.write(f"--- Logging error: {self.name} ---\n{text[-_TOLD_MAX:]}Message: {said}\n")
        except BaseException as nested:
            if is_ctrl_c(nested):
                raise


def is_ctrl_c(error: BaseException) -> bool:
    """Whether the user wants the program to end: nothing else raises KeyboardInterrupt on the main thread."""
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    import threading

    return threading.current_thread() is threading.main_thread()
