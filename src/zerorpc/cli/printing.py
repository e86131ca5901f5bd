"""Text out: results on stdout, everything else on stderr.

What a remote peer said is data here: before a terminal sees it, control characters are made visible.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TypeVar

from zerorpc.errors import RemoteError, ZeroRPCError
from zerorpc.shown import block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

# Longer values are laid out over several lines by pprint, at this width.
LINE_WIDTH = 80
TOO_DEEP = "<nested too deep to show>"

LONGEST_NOTE = 64 * 1024  # characters on stderr: a remote traceback is shorter, and nobody reads more


class OutputClosed(Exception):
    """Whoever read our stdout has gone: nobody waits for the rest."""


_forms: list[Callable[[str], str]] = []  # of notes: a server's may have that of its log


def note_as(form: Callable[[str], str]) -> None:
    """Have each note written as ``form`` makes it, in one line."""
    _forms[:] = [form]


def note(text: str) -> None:
    """Tell the user something that is not the result. A stderr that can't be written to silences us only."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            shown = block(text, LONGEST_NOTE)
            for form in _forms:
                shown = form(shown)
            sys.stderr.write(shown + "\n")
            sys.stderr.flush()


def one_line(error: BaseException) -> str:
    """An exception's message in one line."""
    return "; ".join(str(error).split("\n")) or type(error).__name__


def remote_report(error: RemoteError) -> str:
    """What a remote exception looks like here: its own traceback, whose last line names it.

    A version 1 peer sends no traceback, and that of a peer in another language may lack the message.
    """
    summary = f"{error.name}: {error.msg}"
    traceback = str(error.traceback or "").rstrip()
    if traceback and str(error.msg) in traceback:
        return traceback
    return f"{traceback}\n{summary}".lstrip()


def report(error: ZeroRPCError) -> str:
    """What any error of ours looks like at a prompt."""
    return remote_report(error) if isinstance(error, RemoteError) else f"{type(error).__name__}: {one_line(error)}"


def show(value: object, as_json: bool) -> None:
    """Print one result."""
    write((to_json(value) if as_json else harmless(pretty(value))) + "\n")


def harmless(text: str) -> str:
    """A whole text, with characters that could command the terminal shown as what they are. Newlines and tabs stay."""
    return block(text, len(text))


def show_stream(items: Iterable[object], as_json: bool) -> None:
    """Print results as they arrive, a line or more for each.

    As JSON they are one array, which is closed and so stays valid even when the stream ends in an error.
    """
    if not as_json:
        for item in items:
            show(item, as_json)
        return
    separator = ""
    write("[")
    try:
        for item in items:
            line = f"{separator}{to_json(item)}\n"
            separator = ","  # before the line is out: wherever Ctrl-C strikes, the bracket below fits
            write(line)
    finally:
        write("]\n")


def pretty(value: object) -> str:
    """A value as Python writes it, over several lines when it is long."""
    if isinstance(value, memoryview):
        value = value.tolist()
    try:
        text = repr(value)
    except RecursionError:
        return TOO_DEEP
    if len(text) <= LINE_WIDTH and not isinstance(value, dict | list | tuple):
        return text  # what pprint would say too, without the 10 ms that its import takes
    from pprint import pformat

    try:
        return pformat(value, width=LINE_WIDTH)
    except RecursionError:  # it needs more frames than repr, which needs more than reading did
        return text


def to_json(value: object) -> str:
    """A value as JSON in one line of ASCII, whatever it is; see `json_ready`."""
    import json

    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        pass
    except RecursionError:
        return json.dumps(TOO_DEEP)
    try:
        return json.dumps(json_ready(value), allow_nan=False)
    except RecursionError:
        return json.dumps(TOO_DEEP)


def json_ready(value: object) -> object:
    """The nearest thing to a value that JSON can say.

    Bytes become base64 whatever is in them, so that a reader needn't guess; NaN and infinities become null;
    a key that is no text becomes the JSON of it as text; times become ISO 8601, spans of time seconds; arrays become
    lists, and their numbers Python's; anything else its str().
    """
    if isinstance(value, dict):
        return {_json_key(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(item) for item in value]
    if isinstance(value, memoryview) and (value.format != "B" or value.ndim != 1):
        return json_ready(value.tolist())
    if isinstance(value, bytes | bytearray | memoryview):
        from base64 import b64encode

        return b64encode(value).decode()
    if isinstance(value, float):
        return value if value - value == 0 else None  # inf - inf is NaN, and NaN equals nothing
    if value is None or isinstance(value, str | int):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    # of NumPy's arrays and numbers, and of array.array
    return json_ready(value.tolist()) if hasattr(value, "tolist") else str(value)


def _json_key(key: object) -> str:
    if isinstance(key, str):
        return key
    ready = json_ready(key)
    return ready if isinstance(ready, str) else to_json(ready)


def write(text: str) -> None:
    """Write to stdout and flush, so that a reader gets each result as it arrives.

    Raises OutputClosed when the reader has gone, and OSError for what else can go wrong, such as a full disk.
    """
    _write(_write_in_its_encoding, text)


def write_octets(octets: bytes) -> None:
    """The same for octets, which go out as they are."""
    _write(_write_below_its_encoding, octets)


def _write(put: Callable[[T], object], what: T) -> None:
    if sys.stdout is None:
        raise OSError("the result can't be written: stdout is closed")
    try:
        put(what)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        raise OutputClosed from None
    except OSError as error:
        _abandon_stdout()
        raise OSError(f"the result can't be written: {error.strerror}") from None


def _write_in_its_encoding(text: str) -> None:
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _write_below_its_encoding(octets: bytes) -> None:
    sys.stdout.buffer.write(octets)


def _abandon_stdout() -> None:
    """Point stdout nowhere, or Python would try once more at its exit to send the rest, and complain."""
    with contextlib.suppress(OSError):  # a stdout without a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
