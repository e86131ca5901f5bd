"""What a user is told of a call that failed, and what may help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc import errors
from zerorpc.cli.asking import ask_names
from zerorpc.cli.parameters import parameters_of
from zerorpc.cli.printing import one_line, remote_report
from zerorpc.cli.usage import program_name
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zerorpc.cli.words import Words

NEAREST = 3  # names that are proposed for one that is wrong


def report(error: BaseException, typed: Sequence[str]) -> str:
    """An error of ours in words; ``typed`` are those of the command line."""
    if isinstance(error, errors.RemoteError):
        return remote_report(error)
    if isinstance(error, errors.HandshakeFailed):
        from zerorpc.cli.trusted import explained

        if (more := explained(error, typed)) is not None:
            return more
    return f"{program_name()}: {one_line(error)}"


def report_of_call(
    error: BaseException, typed: Sequence[str], ask: Callable[..., object], method: str, words: Words
) -> str:
    """The same for a call of ``method``, with what helps; ``ask`` is the client."""
    if is_unknown(error, method):
        return f"{program_name()}: {unknown_method(ask, method)}"
    told = report(error, typed)
    hint = _hint(error, ask, method, words)
    return told if hint is None else f"{told}\n{hint}"


def is_unknown(error: BaseException, method: str) -> bool:
    """Whether there is no such method. A server of zerorpc 0.6 says it by a NameError."""
    if isinstance(error, errors.UnknownMethod):
        return True
    return isinstance(error, errors.RemoteError) and (error.name, error.msg) == ("NameError", method)


def unknown_method(ask: Callable[..., object], method: str) -> str:
    """One line that says so, with the names that are nearest to it."""
    problem = f'there is no method "{line(method)}"'
    return f"{problem}{or_nearest(method, ask_names(ask))}"


def or_nearest(wrong: str, names: Sequence[str]) -> str:
    """What to add to a line about a wrong name: those that are nearest to it, if any is near."""
    near = [line(name) for name in _nearest(wrong, names)]
    return f"; did you mean {' or '.join(filter(None, [', '.join(near[:-1]), near[-1]]))}?" if near else ""


def _nearest(method: str, names: Sequence[str]) -> list[str]:
    from difflib import get_close_matches

    by_letters: dict[str, str] = {}
    for name in names:
        by_letters.setdefault(name.lower(), name)
    return [by_letters[found] for found in get_close_matches(method.lower(), by_letters, NEAREST)]


def _hint(error: BaseException, ask: Callable[..., object], method: str, words: Words) -> str | None:
    """How a TypeError may be avoided that comes of what the words became: of a mistyped name, or a number, a text."""
    if not isinstance(error, errors.RemoteError) or error.name != "TypeError":
        return None
    try:
        parameters = parameters_of(ask, method)
    except errors.ZeroRPCError:
        return None
    if parameters is not None and (unknown := words.unknown_names(parameters)):
        if or_nearest(unknown[0], parameters.names):
            return None  # which was said before the call
        return f"there is no parameter {line(unknown[0])}, so that its word was sent as it is"
    values = [] if words.as_json or error.ran is False else words.typed_values(parameters)
    if not values:
        return None
    what = "was" if len(values) == 1 else "were"
    return f"{', '.join(map(line, values))} {what} sent as text: add --json, or annotate the method's parameters"
