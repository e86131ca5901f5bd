"""What can be shown of an exception, whatever it is like, and of a text, whoever wrote it.

A program's exceptions may raise in each of their methods. A peer's texts may command a terminal, or forge lines of a
log.

Nothing here raises, and nothing relies on an exception's own attributes: they are read as Python itself reads them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Container
from types import TracebackType
from typing import TypeVar

__all__ = [
    "LONGEST",
    "block",
    "line",
    "message_of",
    "module_of",
    "name_of",
    "readable",
    "text_of",
    "trace_of",
    "traceback_of",
    "without_frames_of",
]

LONGEST = 1024 * 1024  # characters of a text: what is longer helps nobody, and three of these always fit a message
_FRAMES_MAX = 1000  # of one traceback: Python's own limit of recursion, unless a program raises it

# What a text must not bring to a terminal or a log: control characters, which command it; separators of lines and
# paragraphs; and those that turn the direction of writing, so that a text reads as another one (CVE-2021-42574).
_UNSAFE = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {chr(code): f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _UNSAFE}
_ESCAPES.update({"\n": "\\n", "\t": "\\t"})
_IN_A_LINE = re.compile("[" + "".join(_ESCAPES) + "]")
_IN_A_BLOCK = re.compile("[" + "".join(each for each in _ESCAPES if each not in "\n\t") + "]")

_T = TypeVar("_T")

_name: Callable[[type], str] = vars(type)["__name__"].__get__
_trace: Callable[[BaseException], TracebackType | None] = vars(BaseException)["__traceback__"].__get__


def name_of(error: BaseException) -> str:
    """The name of its class."""
    return readable(_name(type(error)))


def trace_of(error: BaseException) -> TracebackType | None:
    """Its traceback."""
    return _trace(error)


def without_frames_of(modules: Container[str], trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the method's own first frame on; what is above it is ours and helps nobody."""
    while trace is not None and module_of(trace) in modules:
        trace = trace.tb_next
    return trace


def module_of(trace: TracebackType) -> str:
    """The name of the module that a traceback's first frame is in."""
    name = dict.get(trace.tb_frame.f_globals, "__name__")
    return name if type(name) is str else ""


def message_of(error: BaseException, show: Callable[[BaseException], str] = str) -> str:
    """Its message."""
    return text_of(error, show, "its message")


def text_of(thing: _T, show: Callable[[_T], str] = repr, what: str = "it") -> str:
    """A text for anything, exception or not."""
    try:
        return readable(show(thing))
    except BaseException as nested:
        return f"<{what} can't be shown: {name_of(nested)}>"


def traceback_of(error: BaseException, trace: TracebackType | None) -> tuple[str, bool]:
    """Its traceback as Python prints it, and whether it is that: if Python fails, it is what else can be shown."""
    import traceback  # a blocking client, which has no need of it, starts sooner

    try:
        text = "".join(traceback.format_exception(type(error), error, trace, _limit()))
        return readable(text), len(text) <= LONGEST
    except BaseException:
        pass
    try:
        frames = "".join(traceback.format_tb(trace, _limit()))
    except BaseException as nested:
        frames = f"  <its frames can't be shown: {name_of(nested)}>\n"
    head = "Traceback (most recent call last):\n" if frames else ""
    return readable(f"{head}{frames}{name_of(error)}: {message_of(error)}\n"), False


def _limit() -> int:
    """How many frames to show; below 0: so many of the last."""
    limit = getattr(sys, "tracebacklimit", None)
    return -_FRAMES_MAX if limit is None else max(0, limit)


def readable(text: str) -> str:
    """A text that UTF-8 can carry, and without its middle if it is very long."""
    return _carried(_without_middle(str.__str__(text), LONGEST))


def line(text: str, longest: int = 1000) -> str:
    """A text in one line, harmless to a terminal and a log, and without its end beyond ``longest`` characters."""
    return _escaped(text[:longest], _IN_A_LINE) + ("…" if len(text) > longest else "")


def block(text: str, longest: int = LONGEST) -> str:
    """The same for several lines, without its middle."""
    return _escaped(_without_middle(text, longest), _IN_A_BLOCK)


def _escaped(text: str, unsafe: re.Pattern[str]) -> str:
    """Not by ``str.translate``: that raises a KeyError inside for each character that may stay, and each such walks
    through all that led to the exception that is just being told of.
    """
    return unsafe.sub(lambda found: _ESCAPES[found[0]], _carried(text))


def _without_middle(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters are left out here … {text[-half:]}"


def _carried(text: str) -> str:
    """UTF-8 has no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
