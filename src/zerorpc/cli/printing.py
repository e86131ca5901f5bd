"""Text out: results on stdout, everything else on stderr.

What a remote peer said is data here: before a terminal sees it, control characters are made visible.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TypeVar

from zerorpc.described import literal
from zerorpc.errors import RemoteError, ZeroRPCError
from zerorpc.shown import block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

# Longer values are laid out over several lines by pprint, at this width.
LINE_WIDTH = 80
TOO_DEEP = "<nested too deep to show>"
_EXT = "<msgspec.msgpack.Ext object at "  # a value of a registered type that isn't registered here
DIGITS_MAX = 100_000  # of a number that is shown: more take longer and longer, 0.1 s for these
_BITS_MAX = DIGITS_MAX * 332 // 100

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
    """An exception's message in one line; of the system's errors what they say, without their numbers."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ZeroRPCError):
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
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
    except ValueError:  # of an int with more than DIGITS_MAX digits
        return literal(value)
    if _EXT in text:
        value = _with_exts(value)
        text = repr(value)
    if len(text) <= LINE_WIDTH and not isinstance(value, dict | list | tuple | set | frozenset):
        return text  # what pprint would say too, without the 10 ms that its import takes
    from pprint import pformat

    try:
        return pformat(value, width=LINE_WIDTH)
    except RecursionError:  # it needs more frames than repr, which needs more than reading did
        return text


class _Written(str):
    """Shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _with_exts(value: object) -> object:
    """A value of a type that is registered elsewhere, and not here, shows its code and its octets."""
    if isinstance(value, dict):
        return {_with_exts(key): _with_exts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_with_exts, value))
    shown = repr(value)
    return _Written(f"Ext({value.code}, {value.data!r})") if shown.startswith(_EXT) else value  # type: ignore[attr-defined]


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
    a key that is no text becomes the JSON of it as text, unless two would be the same: then there is a list of keys and
    values; times become ISO 8601, spans of time seconds; arrays become lists, and their numbers Python's; a complex
    number its two parts, and one of too many digits hexadecimal; a value of a type that isn't registered here its code
    and its octets; anything else its str().
    """
    if isinstance(value, dict):
        pairs = [(_json_key(key), json_ready(item)) for key, item in value.items()]
        ready = dict(pairs)
        return ready if len(ready) == len(pairs) else [[json_ready(key), json_ready(value[key])] for key in value]
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, set | frozenset):
        return [json_ready(item) for item in _in_order(value)]
    if isinstance(value, memoryview) and (value.format != "B" or value.ndim != 1):
        return json_ready(value.tolist())
    if isinstance(value, bytes | bytearray | memoryview):
        from base64 import b64encode

        return b64encode(value).decode()
    if isinstance(value, float):
        return value if value - value == 0 else None  # inf - inf is NaN, and NaN equals nothing
    if isinstance(value, int) and value.bit_length() > _BITS_MAX:
        return hex(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, complex):
        return [json_ready(value.real), json_ready(value.imag)]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if repr(value).startswith(_EXT):
        return {"$ext": [value.code, json_ready(value.data)]}  # type: ignore[attr-defined]
    # of NumPy's arrays and numbers, and of array.array
    return json_ready(value.tolist()) if hasattr(value, "tolist") else str(value)


def _in_order(elements: set[object] | frozenset[object]) -> list[object]:
    """The same each time, as far as there is an order."""
    try:
        return sorted(elements)  # type: ignore[type-var] # or a TypeError
    except TypeError:
        return sorted(elements, key=literal)


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
    if _is_unbuffered():
        lines = text if os.linesep == "\n" else text.replace("\n", os.linesep)
        _write_all(lines.encode(sys.stdout.encoding, "backslashreplace"))
        return
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _write_below_its_encoding(octets: bytes) -> None:
    if _is_unbuffered():
        _write_all(octets)
    else:
        sys.stdout.buffer.write(octets)


def _is_unbuffered() -> bool:
    """As PYTHONUNBUFFERED has it. Then Python writes what the system takes in one go, and drops the rest."""
    return isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase)


def _write_all(octets: bytes) -> None:
    left = memoryview(octets)
    while left:
        count = sys.stdout.buffer.write(left)
        if count is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left = left[count:]


def _abandon_stdout() -> None:
    """Point stdout nowhere, or Python would try once more at its exit to send the rest, and complain."""
    with contextlib.suppress(OSError):  # a stdout without a file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
